"""Rules with something wrong or odd in them, and what is to be said about it."""

from __future__ import annotations

#: Rule → its lines in the Snakefile, what the message holds.
REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown_engine": (
        'container: SIF\n    resources: engine="aptainer"',
        ("rule unknown_engine", "engine: ", "'aptainer'", "the engines are apptainer, enroot"),
    ),
    "image_missing": (
        'container: "images/none.sif"',
        ("rule image_missing", "images/none.sif does not exist", "check the path"),
    ),
    "image_is_text": (
        'container: "text.sif"',
        ("rule image_is_text", "text.sif is neither a SIF nor a squashfs image", "`file /"),
    ),
    "sif_cut_short": (
        'container: SIF\n    resources: engine="enroot"',
        ("rule sif_cut_short", "image.sif is no SIF", "`file /"),
    ),
    "directory_for_enroot": (
        'container: "folder"\n    resources: engine="enroot"',
        ("rule directory_for_enroot", "cannot start a directory: folder", "starts a .sqsh"),
    ),
    "bind_relative": (
        'container: SIF\n    resources: binds="data:/data"',
        ("rule bind_relative", "binds: ", "not absolute: 'data'", "the whole path from `/`"),
    ),
    "bind_with_colons": (
        'container: SIF\n    resources: binds="/a:b:/data"',
        ("rule bind_with_colons", "'/a:b:/data' has too many `:`", "as a mapping in hpcctr.yaml"),
    ),
    "env_without_value": (
        'resources: env="NAME"',
        ("rule env_without_value", "env: ", "expected NAME=VALUE, got 'NAME'"),
    ),
    "gpu_negative": (
        "resources: gpu=-1",
        ("rule gpu_negative", "gpu: ", "at least 0, got -1", "write 0 for a task without a GPU"),
    ),
    "gpu_of_no_node": (
        'resources: gpu="a100:2", slurm_partition="gpu"',
        ("rule gpu_of_no_node", "`gpu` has no GPU of model `a100`; it has fake"),
    ),
    "gpus_too_many": (
        'resources: gpu=9, slurm_partition="gpu"',
        ("rule gpus_too_many", "no node of partition `gpu` has 9 GPUs; the largest has 2"),
    ),
    "no_such_partition": (
        'resources: slurm_partition="gpuu"',
        ("rule no_such_partition", "there is no partition `gpuu`", "did you mean `gpu`?"),
    ),
    "memory_too_much": (
        'resources: mem="320GB"',
        ("rule memory_too_much", "has 320000 MB of memory; the largest has 16000 MB", "ask for"),
    ),
    "cpus_too_many": (
        "threads: 500",
        ("rule cpus_too_many", "has 500 CPUs for one task; the largest has 8"),
    ),
    "nul_in_the_command": (
        r'params: given="a\0b"',
        ("rule nul_in_the_command: the command holds a NUL character", "look for `\\0`"),
    ),
    "nul_in_a_variable": (
        r'resources: env="NAME=a\0b"',
        ("rule nul_in_a_variable: the variable NAME holds a NUL character",),
    ),
    "option_of_ours": (
        'resources: slurm_extra="--array=1-3"',
        ("rule option_of_ours", "--array"),
    ),
    "two_names": (
        'resources: slurm_cluster="one", cluster="two"',
        ("rule two_names", "cluster='two'", "slurm_cluster='one'", "keep `cluster`"),
    ),
}

#: Rules that run; what is said about them.
ACCEPTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "gpu_zero": ("resources: gpu=0", ()),
    "gpu_with_model": (
        'resources: gpu="fake:2", slurm_partition="gpu"',
        ('gpu=2, gpu_model="fake"',),
    ),
    "misspelt": (
        'resources: slurm_partion="cpu"',
        ("rule misspelt: resource `slurm_partion`", "did you mean `slurm_partition`?"),
    ),
    "memory_in_words": ('resources: mem="2GB"', ()),
}
