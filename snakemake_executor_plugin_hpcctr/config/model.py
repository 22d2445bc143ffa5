"""The shape of hpcctr.yaml: one model for the project's file and the site's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from snakemake_executor_plugin_hpcctr.config import units
from snakemake_executor_plugin_hpcctr.config.fields import (
    Amount,
    Binds,
    Count,
    Engines,
    Extra,
    Files,
    GpuCount,
    GpuModel,
    Gres,
    ImageReference,
    Items,
    Joined,
    Minutes,
    Names,
    OneOrMore,
    Path,
    Positive,
    Program,
    Section,
    StageFolder,
    Switch,
    Text,
    Variables,
    Words,
    about,
    one_of,
    plain,
)


class ApptainerSettings(Section):
    """Options that only Apptainer and Singularity have; names are those of their flags."""

    program: Text | None = about("Program to start: apptainer, singularity, or a path.")
    cleanenv: Switch | None = about("Keep the host's variables out (--cleanenv).")
    containall: Switch | None = about("Contain files, processes and variables (--containall).")
    no_home: Switch | None = about("Do not mount the home folder (--no-home).")
    fakeroot: Switch | None = about("Appear as root inside (--fakeroot).")
    writable_tmpfs: Switch | None = about("Writable root, changes are lost (--writable-tmpfs).")
    overlay: OneOrMore | None = about("Overlay image or folder, or a list (--overlay).")
    scratch: OneOrMore | None = about("Folder inside that is empty and lost (--scratch).")
    extra_args: Words | None = about("More flags for `apptainer exec`.")


class EnrootSettings(Section):
    """Options of `enroot start`, and how its containers are kept."""

    root: Switch | None = about("Appear as root inside (--root).")
    rw: Switch | None = about("Writable root, changes are lost (--rw).")
    mount_home: Switch | None = about("Mount the home folder.")
    create: Switch | None = about("Unpack the image once per node and start that container.")
    keep: Switch | None = about("Leave such a container on the node.")
    paths: Variables | None = about("ENROOT_* variables, e.g. ENROOT_DATA_PATH.")
    extra_args: Words | None = about("More flags for `enroot start`.")


class PyxisSettings(Section):
    """The `--container-*` options of pyxis that no other setting covers."""

    name: Text | None = about("Name of the container (--container-name).")
    save: Text | None = about("Save the container to this squashfs (--container-save).")
    mount_home: Switch | None = about("Mount the home folder.")
    remap_root: Switch | None = about("Appear as root inside (--container-remap-root).")
    entrypoint: Switch | None = about("Run the image's entry point (--container-entrypoint).")
    entrypoint_log: Switch | None = about("Show its output (--container-entrypoint-log).")
    writable: Switch | None = about("Writable root (--container-writable).")
    env: Items | None = about("Host variables that win over the image's (--container-env).")
    unshare: Items | None = about("Namespaces to leave (--container-unshare): net, ipc, uts.")
    extra_args: Words | None = about("More flags for srun.")


class StageSettings(Section):
    """Copies on a node's own disk, for file systems that are slow or busy."""

    images: StageFolder | None = about(
        "Copy the image once per node: true, or a folder on the node's own disk."
    )
    limit: Amount | None = about("How large the folder of copies may become. Default: 100GiB.")
    data: Switch | None = about("Copy inputs to the node's /tmp, and outputs back.")


class RuleSettings(Section):
    """What can be said of a rule, or of all rules under `defaults:`."""

    engine: Engines | None = about("Container engine, a list in order of preference, or auto.")
    image: ImageReference | None = about("Image for rules without `container:`.")
    binds: Binds | None = about("Host paths to show inside, SRC[:DST[:ro]].")
    env: Variables | None = about("Variables that the command finds, taken literally.")
    env_file: Path | None = about("File of NAME=VALUE lines, taken literally.")
    pass_env: Names | None = about("Variables whose value comes from where Snakemake runs.")
    clean_env: Switch | None = about("Keep all other variables of the host out.")
    tmpdir: Path | None = about("Folder for TMPDIR, in place of one made for the task.")
    gpu: GpuCount | None = about("GPUs of the job: 2, or MODEL:2.")
    gpu_model: GpuModel | None = about("GPU model, by the scheduler's name.")
    gpu_vendor: Annotated[Literal["nvidia", "amd"], one_of("nvidia", "amd")] | None = about(
        "Maker of the GPUs: nvidia or amd."
    )
    cpus_per_task: Positive | None = about("CPUs, where the rule's `threads` is 1.")
    cpus_per_gpu: Count | None = about("CPUs for each GPU, in place of cpus_per_task.")
    mem: Amount | None = about("Memory per node: 32GB, 2GiB, or MB.")
    mem_per_cpu: Amount | None = about("Memory per CPU, in place of mem.")
    runtime: Minutes | None = about("Time limit: 90 (minutes), 1h30m, 2d, 1-12:00:00.")
    tmp: Amount | None = about("Disk on the node: 100GB, or MB.")
    nodes: Positive | None = about("Nodes.")
    tasks: Positive | None = about("Tasks (MPI ranks).")
    tasks_per_node: Positive | None = about("Tasks on each node.")
    tasks_per_gpu: Count | None = about("Tasks for each GPU.")
    launch: Words | None = about(
        "Starts the command once for each task (MPI rank): srun, or another with its options."
    )
    mpi: Text | None = about("Launcher that the command itself starts, e.g. srun or mpiexec.")
    tasks_per_element: Positive | None = about("Tasks one after another in one array element.")
    max_parallel: Count | None = about("Elements of one array that run at once; 0 for no limit.")
    gres: Gres | None = about("Generic resources as in Slurm, e.g. gpu:a100:2.")
    partition: Joined | None = about("Partition, or a list.")
    account: Text | None = about("Account.")
    qos: Text | None = about("Quality of service.")
    reservation: Text | None = about("Reservation.")
    constraint: Text | None = about("Required node features.")
    clusters: Joined | None = about("Cluster, or a list.")
    wckey: Text | None = about("Workload characterization key.")
    requeue: Switch | None = about("Let the scheduler start the task again after a node failure.")
    extra: Extra | None = about("More options for sbatch.")
    stage: StageSettings | None = about("Copies on the node's own disk.")
    apptainer: ApptainerSettings | None = about("Options of Apptainer.")
    enroot: EnrootSettings | None = about("Options of Enroot.")
    pyxis: PyxisSettings | None = about("Options of pyxis.")


class LogSettings(Section):
    """Where the tasks' logs are, and which of them stay."""

    dir: Path | None = about("Folder for the tasks' logs.")
    keep: Annotated[Literal["all", "failed"], one_of("all", "failed")] | None = about(
        "Which logs stay after the task ended: all, or failed."
    )


class ProfileSettings(Section):
    """What a profile of DSL pipelines changes."""

    process: dict[str, Any] | None = about("Directives, as `process:` at the top level.")
    params: dict[str, Any] | None = about("Values of the pipeline's parameters.")


class ImageRecipe(Section):
    """An image that is built: another one, with packages and files added."""

    base: ImageReference = Field(alias="from", description="Image that it begins with.")
    apt: Items | None = about("Debian packages.")
    pip: Items | None = about("Python packages, as pip takes them.")
    conda: Items | None = about("Packages of conda-forge.")
    files: Files | None = about("Files or folders here, and their absolute paths in the image.")


#: Words for the two kinds of an image; pydantic puts them into the place of an error.
KINDS = ("<name>", "<recipe>")


def _kind_of_image(value: object) -> str:
    return KINDS[isinstance(value, (dict, ImageRecipe))]


Image = Annotated[
    Annotated[ImageReference, Tag(KINDS[0])] | Annotated[ImageRecipe, Tag(KINDS[1])],
    Discriminator(_kind_of_image),
]


class HpcctrConfig(Section):
    """A whole hpcctr.yaml, or the site's file of the same shape."""

    scheduler: Annotated[Literal["slurm", "local"], one_of("slurm", "local")] | None = about(
        "What runs the tasks: slurm, or local (this machine)."
    )
    engine: Engines | None = about("Engines in order of preference, for `auto`.")
    python: Program | None = about(
        "Python of the nodes, for jobs that need Snakemake there: a path, or a program's name."
    )
    image_dir: Path | None = about("Folder for pulled images.")
    image_build_on: Annotated[Literal["head", "slurm"], one_of("head", "slurm")] | None = about(
        "Where images are pulled and converted: head (where Snakemake runs), or slurm (in a job)."
    )
    images: dict[str, Image] | None = about(
        "Short names for image references, or images that are built."
    )
    logs: LogSettings | None = about("Logs of the tasks.")
    array: (
        Annotated[
            Literal["auto", "off"] | int,
            plain(units.parse_array),
            WithJsonSchema(
                {"anyOf": [{"enum": ["auto", "off"]}, {"type": "integer", "minimum": 1}]}
            ),
        ]
        | None
    ) = about("Job arrays: auto, off, or the largest number of tasks in one.")
    defaults: RuleSettings | None = about("Settings for all rules.")
    rules: dict[str, RuleSettings | None] | None = about(
        "Settings by rule name or pattern; a later entry beats an earlier one."
    )
    process: dict[str, Any] | None = about(
        "DSL: directives for all processes, and by `withLabel:` and `withName:`."
    )
    params: dict[str, Any] | None = about("DSL: values of the pipeline's parameters.")
    profiles: dict[str, ProfileSettings] | None = about(
        "DSL: `process:` and `params:` that --profile puts on top."
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of hpcctr.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hpcctr.yaml",
        **{k: v for k, v in HpcctrConfig.model_json_schema().items() if k != "title"},
    }
