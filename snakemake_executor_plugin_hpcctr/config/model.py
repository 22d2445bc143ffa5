"""The shape of hpcctr.yaml: one model for the project's file and the site's.

Every value may be text, as it stands in the file: the readers in `units` and `texts` turn it
into what its field holds. Paths and variables are resolved with the help of `Surroundings`,
which the caller passes as validation context.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from snakemake_executor_plugin_hpcctr.config import texts, units
from snakemake_executor_plugin_hpcctr.config.sbatch_words import check_extra
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.task import Bind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENGINES = ("apptainer", "enroot", "pyxis", "host")
AUTO = "auto"


@dataclass(frozen=True)
class Surroundings:
    """What the texts of a file refer to.

    Args:
        environ: Variables that binds and paths may name.
        base: Folder from which relative paths count.
    """

    environ: Mapping[str, str] = field(default_factory=dict)
    base: str = "."


def _checked(read: Callable[[Any, Surroundings], object]) -> BeforeValidator:
    """Turn a reader into a validator, its ConfigError into an error that pydantic collects."""

    def validate(value: Any, info: ValidationInfo) -> object:
        if value is None:
            return None
        context = info.context if isinstance(info.context, Surroundings) else Surroundings()
        try:
            return read(value, context)
        except ConfigError as error:
            raise PydanticCustomError(
                "hpcctr", "{what}", {"what": error.what, "next_step": error.next_step}
            ) from error

    return BeforeValidator(validate)


def _plain(read: Callable[[Any], object]) -> BeforeValidator:
    return _checked(lambda value, _context: read(value))


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, os.PathLike)):
        raise ConfigError(f"expected text, got {value!r}")
    return str(value).strip()


def _one_of(*words: str) -> BeforeValidator:
    def read(value: object) -> str:
        word = _text(value).lower()
        if word not in words:
            raise ConfigError(f"expected {' or '.join(words)}, got {value!r}")
        return word

    return _plain(read)


def _engines(value: object) -> tuple[str, ...]:
    names = tuple(name.lower() for name in texts.parse_list(value))
    names = tuple("apptainer" if name == "singularity" else name for name in names)
    for name in names:
        if name not in ENGINES and names != (AUTO,):
            raise ConfigError(
                f"expected an engine or a list of engines, got {name!r}",
                next_step=f"the engines are {', '.join(ENGINES)}, singularity (apptainer); "
                "`auto` stands alone",
            )
    if not names:
        raise ConfigError("expected an engine, got an empty list")
    return tuple(dict.fromkeys(names))


def _path(value: object, context: Surroundings) -> str:
    path = texts.expand(_text(value), context.environ)
    return os.path.normpath(os.path.join(context.base, path))  # noqa: PTH118 (text in, text out)


def _program(value: object, context: Surroundings) -> str:
    """Return a path made absolute; a bare name is looked for where the program runs."""
    program = _text(value)
    if not program:
        raise ConfigError("expected a program, got nothing")
    return _path(program, context) if program[0] in "~$" or "/" in program else program


def _image(value: object, context: Surroundings) -> str:
    reference = _text(value)
    return _path(reference, context) if texts.is_image_file(reference) else reference


def _binds(value: object, context: Surroundings) -> tuple[Bind, ...]:
    items = value if isinstance(value, (list, tuple)) else texts.split_items(_text(value))
    return tuple(texts.parse_bind(item, context.environ) for item in items)


def _files(value: object, context: Surroundings) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ConfigError("expected a mapping of files here to paths in the image")
    found = {_path(source, context): _text(target) for source, target in value.items()}
    for target in found.values():
        if not target.startswith("/"):
            raise ConfigError(f"the path {target!r} in the image is not absolute")
    return found


def _env(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return texts.parse_assignments(texts.parse_list(value))
    for name, content in value.items():
        if content is None or isinstance(content, (dict, list)):
            raise ConfigError(
                f"the variable {name} needs a single value, got {content or 'nothing'}",
                next_step='write "" for an empty value',
            )
    return {texts.check_name(str(name)): str(content) for name, content in value.items()}


def _names(value: object) -> tuple[str, ...]:
    return tuple(texts.check_name(name) for name in texts.parse_list(value))


def _joined(value: object) -> str:
    """Join a list as Slurm writes it; a single value stays as it is."""
    if isinstance(value, (list, tuple)):
        return ",".join(texts.parse_list(value))
    return _text(value)


def _gres(value: object) -> str:
    text = _joined(value)
    for entry in filter(None, text.split(",")):
        if texts.GRES.fullmatch(entry) is None:
            raise ConfigError(
                f"expected generic resources as in `gpu:a100:2`, got {entry!r}",
                next_step="write NAME, NAME:COUNT or NAME:TYPE:COUNT, several with commas",
            )
    return text


def _extra(value: object) -> tuple[str, ...]:
    words = texts.parse_words(value)
    check_extra(words)
    return words


def _single_or_list(value: object) -> tuple[str, ...]:
    return texts.parse_list(value if isinstance(value, (list, tuple)) else [value])


def _model(value: object) -> str:
    model = _text(value)
    if units.GPU.fullmatch(f"{model}:1") is None:
        raise ConfigError(
            f"expected the name of one GPU model, got {value!r}",
            next_step="write the name that `scontrol show node` gives, e.g. a100",
        )
    return model


TEXT = {"type": ["string", "integer"]}
WORDS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number"]}}]}
VARIABLES = {
    "type": "object",
    "propertyNames": {"pattern": f"^{texts.NAME.pattern}$"},
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
BIND = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "required": ["source"],
            "additionalProperties": False,
            "properties": {
                "source": {"type": "string"},
                "target": {"type": "string"},
                "read_only": {"type": "boolean"},
            },
        },
    ]
}
BINDS = {"anyOf": [{"type": "string"}, {"type": "array", "items": BIND}]}
FILES = {"type": "object", "additionalProperties": {"type": "string", "pattern": "^/"}}
ENGINE = {
    "anyOf": [
        {"enum": [AUTO, "singularity", *ENGINES]},
        {"type": "array", "minItems": 1, "items": {"enum": ["singularity", *ENGINES]}},
    ]
}


def _count_schema(least: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": least})


Text = Annotated[str, _plain(_text), WithJsonSchema(TEXT)]
Joined = Annotated[str, _plain(_joined), WithJsonSchema(WORDS)]
Gres = Annotated[str, _plain(_gres), WithJsonSchema(WORDS)]
Path = Annotated[str, _checked(_path), WithJsonSchema({"type": "string"})]
StageFolder = Annotated[
    str,
    _checked(lambda value, around: texts.parse_stage_folder(value, around.environ)),
    WithJsonSchema({"type": ["boolean", "string"]}),
]
ImageReference = Annotated[str, _checked(_image), WithJsonSchema({"type": "string"})]
Switch = Annotated[bool, _plain(units.parse_switch), WithJsonSchema({"type": "boolean"})]
Amount = Annotated[int, _plain(units.parse_memory), WithJsonSchema(TEXT)]
Minutes = Annotated[int, _plain(units.parse_minutes), WithJsonSchema(TEXT)]
Count = Annotated[int, _plain(units.parse_count), _count_schema(0)]
Positive = Annotated[int, _plain(partial(units.parse_count, least=1)), _count_schema(1)]
GpuCount = Annotated[tuple[int, str | None], _plain(units.parse_gpu), WithJsonSchema(TEXT)]
GpuModel = Annotated[str, _plain(_model), WithJsonSchema(TEXT)]
Engines = Annotated[tuple[str, ...], _plain(_engines), WithJsonSchema(ENGINE)]
Binds = Annotated[tuple[Bind, ...], _checked(_binds), WithJsonSchema(BINDS)]
Variables = Annotated[dict[str, str], _plain(_env), WithJsonSchema(VARIABLES)]
Names = Annotated[tuple[str, ...], _plain(_names), WithJsonSchema(WORDS)]
Words = Annotated[tuple[str, ...], _plain(texts.parse_words), WithJsonSchema(WORDS)]
Extra = Annotated[tuple[str, ...], _plain(_extra), WithJsonSchema(WORDS)]
OneOrMore = Annotated[tuple[str, ...], _plain(_single_or_list), WithJsonSchema(WORDS)]
Items = Annotated[tuple[str, ...], _plain(texts.parse_list), WithJsonSchema(WORDS)]


def _about(text: str) -> Any:
    return Field(default=None, description=text)


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, an absent key is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ApptainerSettings(Section):
    """Options that only Apptainer and Singularity have; names are those of their flags."""

    program: Text | None = _about("Program to start: apptainer, singularity, or a path.")
    cleanenv: Switch | None = _about("Keep the host's variables out (--cleanenv).")
    containall: Switch | None = _about("Contain files, processes and variables (--containall).")
    no_home: Switch | None = _about("Do not mount the home folder (--no-home).")
    fakeroot: Switch | None = _about("Appear as root inside (--fakeroot).")
    writable_tmpfs: Switch | None = _about("Writable root, changes are lost (--writable-tmpfs).")
    overlay: OneOrMore | None = _about("Overlay image or folder, or a list (--overlay).")
    scratch: OneOrMore | None = _about("Folder inside that is empty and lost (--scratch).")
    extra_args: Words | None = _about("More flags for `apptainer exec`.")


class EnrootSettings(Section):
    """Options of `enroot start`, and how its containers are kept."""

    root: Switch | None = _about("Appear as root inside (--root).")
    rw: Switch | None = _about("Writable root, changes are lost (--rw).")
    mount_home: Switch | None = _about("Mount the home folder.")
    create: Switch | None = _about("Unpack the image once per node and start that container.")
    keep: Switch | None = _about("Leave such a container on the node.")
    paths: Variables | None = _about("ENROOT_* variables, e.g. ENROOT_DATA_PATH.")
    extra_args: Words | None = _about("More flags for `enroot start`.")


class PyxisSettings(Section):
    """The `--container-*` options of pyxis that no other setting covers."""

    name: Text | None = _about("Name of the container (--container-name).")
    save: Text | None = _about("Save the container to this squashfs (--container-save).")
    mount_home: Switch | None = _about("Mount the home folder.")
    remap_root: Switch | None = _about("Appear as root inside (--container-remap-root).")
    entrypoint: Switch | None = _about("Run the image's entry point (--container-entrypoint).")
    entrypoint_log: Switch | None = _about("Show its output (--container-entrypoint-log).")
    writable: Switch | None = _about("Writable root (--container-writable).")
    env: Items | None = _about("Host variables that win over the image's (--container-env).")
    unshare: Items | None = _about("Namespaces to leave (--container-unshare): net, ipc, uts.")
    extra_args: Words | None = _about("More flags for srun.")


class StageSettings(Section):
    """Copies on a node's own disk, for file systems that are slow or busy."""

    images: StageFolder | None = _about(
        "Copy the image once per node: true, or a folder on the node's own disk."
    )
    limit: Amount | None = _about("How large the folder of copies may become. Default: 100GiB.")
    data: Switch | None = _about("Copy inputs to the node's /tmp, and outputs back.")


class RuleSettings(Section):
    """What can be said of a rule, or of all rules under `defaults:`."""

    engine: Engines | None = _about("Container engine, a list in order of preference, or auto.")
    image: ImageReference | None = _about("Image for rules without `container:`.")
    binds: Binds | None = _about("Host paths to show inside, SRC[:DST[:ro]].")
    env: Variables | None = _about("Variables that the command finds, taken literally.")
    env_file: Path | None = _about("File of NAME=VALUE lines, taken literally.")
    pass_env: Names | None = _about("Variables whose value comes from where Snakemake runs.")
    clean_env: Switch | None = _about("Keep all other variables of the host out.")
    tmpdir: Path | None = _about("Folder for TMPDIR, in place of one made for the task.")
    gpu: GpuCount | None = _about("GPUs of the job: 2, or MODEL:2.")
    gpu_model: GpuModel | None = _about("GPU model, by the scheduler's name.")
    gpu_vendor: Annotated[Literal["nvidia", "amd"], _one_of("nvidia", "amd")] | None = _about(
        "Maker of the GPUs: nvidia or amd."
    )
    cpus_per_task: Positive | None = _about("CPUs, where the rule's `threads` is 1.")
    cpus_per_gpu: Count | None = _about("CPUs for each GPU, in place of cpus_per_task.")
    mem: Amount | None = _about("Memory per node: 32GB, 2GiB, or MB.")
    mem_per_cpu: Amount | None = _about("Memory per CPU, in place of mem.")
    runtime: Minutes | None = _about("Time limit: 90 (minutes), 1h30m, 2d, 1-12:00:00.")
    tmp: Amount | None = _about("Disk on the node: 100GB, or MB.")
    nodes: Positive | None = _about("Nodes.")
    tasks: Positive | None = _about("Tasks (MPI ranks).")
    tasks_per_node: Positive | None = _about("Tasks on each node.")
    tasks_per_gpu: Count | None = _about("Tasks for each GPU.")
    launch: Words | None = _about(
        "Starts the command once for each task (MPI rank): srun, or another with its options."
    )
    mpi: Text | None = _about("Launcher that the command itself starts, e.g. srun or mpiexec.")
    tasks_per_element: Positive | None = _about("Tasks one after another in one array element.")
    max_parallel: Count | None = _about("Elements of one array that run at once; 0 for no limit.")
    gres: Gres | None = _about("Generic resources as in Slurm, e.g. gpu:a100:2.")
    partition: Joined | None = _about("Partition, or a list.")
    account: Text | None = _about("Account.")
    qos: Text | None = _about("Quality of service.")
    reservation: Text | None = _about("Reservation.")
    constraint: Text | None = _about("Required node features.")
    clusters: Joined | None = _about("Cluster, or a list.")
    wckey: Text | None = _about("Workload characterization key.")
    requeue: Switch | None = _about("Let the scheduler start the task again after a node failure.")
    extra: Extra | None = _about("More options for sbatch.")
    stage: StageSettings | None = _about("Copies on the node's own disk.")
    apptainer: ApptainerSettings | None = _about("Options of Apptainer.")
    enroot: EnrootSettings | None = _about("Options of Enroot.")
    pyxis: PyxisSettings | None = _about("Options of pyxis.")


class LogSettings(Section):
    """Where the tasks' logs are, and which of them stay."""

    dir: Path | None = _about("Folder for the tasks' logs.")
    keep: Annotated[Literal["all", "failed"], _one_of("all", "failed")] | None = _about(
        "Which logs stay after the task ended: all, or failed."
    )


class ProfileSettings(Section):
    """What a profile of DSL pipelines changes."""

    process: dict[str, Any] | None = _about("Directives, as `process:` at the top level.")
    params: dict[str, Any] | None = _about("Values of the pipeline's parameters.")


class ImageRecipe(Section):
    """An image that is built: another one, with packages and files added."""

    base: ImageReference = Field(alias="from", description="Image that it begins with.")
    apt: Items | None = _about("Debian packages.")
    pip: Items | None = _about("Python packages, as pip takes them.")
    conda: Items | None = _about("Packages of conda-forge.")
    files: Annotated[dict[str, str], _checked(_files), WithJsonSchema(FILES)] | None = _about(
        "Files or folders here, and their absolute paths in the image."
    )


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

    scheduler: Annotated[Literal["slurm", "local"], _one_of("slurm", "local")] | None = _about(
        "What runs the tasks: slurm, or local (this machine)."
    )
    engine: Engines | None = _about("Engines in order of preference, for `auto`.")
    python: Annotated[str, _checked(_program), WithJsonSchema({"type": "string"})] | None = _about(
        "Python of the nodes, for jobs that need Snakemake there: a path, or a program's name."
    )
    image_dir: Path | None = _about("Folder for pulled images.")
    image_build_on: Annotated[Literal["head", "slurm"], _one_of("head", "slurm")] | None = _about(
        "Where images are pulled and converted: head (where Snakemake runs), or slurm (in a job)."
    )
    images: dict[str, Image] | None = _about(
        "Short names for image references, or images that are built."
    )
    logs: LogSettings | None = _about("Logs of the tasks.")
    array: (
        Annotated[
            Literal["auto", "off"] | int,
            _plain(units.parse_array),
            WithJsonSchema(
                {"anyOf": [{"enum": ["auto", "off"]}, {"type": "integer", "minimum": 1}]}
            ),
        ]
        | None
    ) = _about("Job arrays: auto, off, or the largest number of tasks in one.")
    defaults: RuleSettings | None = _about("Settings for all rules.")
    rules: dict[str, RuleSettings | None] | None = _about(
        "Settings by rule name or pattern; a later entry beats an earlier one."
    )
    process: dict[str, Any] | None = _about(
        "DSL: directives for all processes, and by `withLabel:` and `withName:`."
    )
    params: dict[str, Any] | None = _about("DSL: values of the pipeline's parameters.")
    profiles: dict[str, ProfileSettings] | None = _about(
        "DSL: `process:` and `params:` that --profile puts on top."
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of hpcctr.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hpcctr.yaml",
        **{k: v for k, v in HpcctrConfig.model_json_schema().items() if k != "title"},
    }
