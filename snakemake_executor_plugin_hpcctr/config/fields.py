"""Kinds of values in configuration files: how each is read, and its JSON Schema.

Every value may be text, as it stands in the file: the readers in `units` and `texts` turn it
into what its field holds. Paths and variables are resolved with the help of `Surroundings`,
which the caller passes as validation context.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from snakemake_executor_plugin_hpcctr.config import texts, units
from snakemake_executor_plugin_hpcctr.config.sbatch_words import check_extra
from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
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


def checked(read: Callable[[Any, Surroundings], object]) -> BeforeValidator:
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


def plain(read: Callable[[Any], object]) -> BeforeValidator:
    """Turn a reader that needs no surroundings into a validator."""
    return checked(lambda value, _context: read(value))


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, os.PathLike)):
        raise ConfigError(f"expected text, got {value!r}")
    return str(value).strip()


def one_of(*words: str) -> BeforeValidator:
    """Return a validator that takes these words, in upper or lower case."""

    def read(value: object) -> str:
        word = _text(value).lower()
        if word not in words:
            raise ConfigError(
                f"expected {' or '.join(words)}, got {value!r}",
                next_step=did_you_mean(word, words),
            )
        return word

    return plain(read)


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


Text = Annotated[str, plain(_text), WithJsonSchema(TEXT)]
Joined = Annotated[str, plain(_joined), WithJsonSchema(WORDS)]
Gres = Annotated[str, plain(_gres), WithJsonSchema(WORDS)]
Path = Annotated[str, checked(_path), WithJsonSchema({"type": "string"})]
StageFolder = Annotated[
    str,
    checked(lambda value, around: texts.parse_stage_folder(value, around.environ)),
    WithJsonSchema({"type": ["boolean", "string"]}),
]
ImageReference = Annotated[str, checked(_image), WithJsonSchema({"type": "string"})]
Switch = Annotated[bool, plain(units.parse_switch), WithJsonSchema({"type": "boolean"})]
Amount = Annotated[int, plain(units.parse_memory), WithJsonSchema(TEXT)]
Minutes = Annotated[int, plain(units.parse_minutes), WithJsonSchema(TEXT)]
Count = Annotated[int, plain(units.parse_count), _count_schema(0)]
Positive = Annotated[int, plain(partial(units.parse_count, least=1)), _count_schema(1)]
GpuCount = Annotated[tuple[int, str | None], plain(units.parse_gpu), WithJsonSchema(TEXT)]
GpuModel = Annotated[str, plain(_model), WithJsonSchema(TEXT)]
Engines = Annotated[tuple[str, ...], plain(_engines), WithJsonSchema(ENGINE)]
Binds = Annotated[tuple[Bind, ...], checked(_binds), WithJsonSchema(BINDS)]
Variables = Annotated[dict[str, str], plain(_env), WithJsonSchema(VARIABLES)]
Names = Annotated[tuple[str, ...], plain(_names), WithJsonSchema(WORDS)]
Words = Annotated[tuple[str, ...], plain(texts.parse_words), WithJsonSchema(WORDS)]
Extra = Annotated[tuple[str, ...], plain(_extra), WithJsonSchema(WORDS)]
OneOrMore = Annotated[tuple[str, ...], plain(_single_or_list), WithJsonSchema(WORDS)]
Items = Annotated[tuple[str, ...], plain(texts.parse_list), WithJsonSchema(WORDS)]
Program = Annotated[str, checked(_program), WithJsonSchema({"type": "string"})]
Files = Annotated[dict[str, str], checked(_files), WithJsonSchema(FILES)]


def about(text: str) -> Any:
    """Return a key that may be absent, with the sentence that editors show."""
    return Field(default=None, description=text)


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, an absent key is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)
