"""The shape of sweep.yaml."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from snakemake_executor_plugin_hpcctr.config.fields import (
    Count,
    Positive,
    Section,
    about,
    one_of,
    plain,
)
from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.config.units import parse_count
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.values import parse_number, parse_value

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.config.problems import Place

#: More than any cluster's queue takes; a slip of the pen is more probable.
MOST_TRIALS = 100_000
#: Dotted names set keys inside sections of a workflow's configuration.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
COMBINE = ("grid", "zip", "random", "latin_hypercube", "sobol")
DISTRIBUTIONS = ("uniform", "loguniform", "integer", "normal", "lognormal")
SCALES = ("lin", "log")
DIRECTIONS = ("maximize", "minimize")

#: Keys that say where a parameter's values come from, and what else may stand beside each.
WAYS: dict[str, frozenset[str]] = {
    "values": frozenset({"type"}),
    "file": frozenset({"type", "column"}),
    "from": frozenset({"to", "count", "step", "scale"}),
    "distribution": frozenset({"low", "high", "mean", "std"}),
}


def _values(value: object) -> tuple[Any, ...]:
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ConfigError("the list is empty", next_step="write at least one value")
    return tuple(parse_value(item) for item in items)


def _texts(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if any(not isinstance(item, str) for item in items):
        raise ConfigError(f"expected a list of words, got {value!r}")
    return tuple(str(item) for item in items)


def _keys(value: object) -> dict[str, str]:
    if isinstance(value, dict):
        return {str(name): str(path) for name, path in value.items()}
    return {name: name for name in _texts(value)}


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.strip("/. "):
        raise ConfigError(f"expected a path, got {value!r}")
    return value.rstrip("/")


def _seeds(value: object) -> tuple[int, ...]:
    if isinstance(value, list):
        return tuple(parse_count(item) for item in value)
    number = parse_count(value, least=1)
    if number > MOST_TRIALS:
        raise ConfigError(f"{number:,} replicates are more than the {MOST_TRIALS:,} of a sweep")
    return tuple(range(1, number + 1))


def _names(value: object) -> object:
    if isinstance(value, dict):
        for name in value:
            if NAME.fullmatch(str(name)) is None:
                raise ConfigError(
                    f"{name!r} cannot be the name of a parameter",
                    next_step="use letters, digits and `_`, a letter first; a dot leads into a "
                    "section of the configuration",
                )
    return value


def _shorthand(value: object) -> object:
    """Let a list or a single value stand for `values:`."""
    return value if isinstance(value, dict) else {"values": value}


VALUE = {"type": ["string", "number", "boolean"]}
VALUES = {"anyOf": [VALUE, {"type": "array", "minItems": 1, "items": VALUE}]}
WORDS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
KEYS = {"anyOf": [*WORDS["anyOf"], {"type": "object", "additionalProperties": {"type": "string"}}]}
NUMBER = {"type": "number"}


Number = Annotated[float, plain(parse_number), WithJsonSchema(NUMBER)]
AnyNumber = Annotated[Any, plain(parse_number), WithJsonSchema(NUMBER)]
Factor = Annotated[
    int, plain(partial(parse_count, least=2)), WithJsonSchema({"type": "integer", "minimum": 2})
]
Texts = Annotated[tuple[str, ...], plain(_texts), WithJsonSchema(WORDS)]
Path = Annotated[str, plain(_path), WithJsonSchema({"type": "string"})]


class Parameter(Section):
    """Where a parameter's values come from: a list, a file, a range or a distribution."""

    values: Annotated[tuple[Any, ...], plain(_values), WithJsonSchema(VALUES)] | None = about(
        "The values; a list in place of the section means the same."
    )
    file: Path | None = about("Text file with one value per line, or a CSV/TSV table.")
    column: str | None = about("Column of the table, if it is not called as the parameter.")
    type: Annotated[Literal["auto", "text"], one_of("auto", "text")] | None = about(
        "text: take values as they stand; auto (default): numbers and true/false are such."
    )
    start: AnyNumber | None = Field(default=None, alias="from", description="First value.")
    to: AnyNumber | None = about("Last value.")
    count: Positive | None = about("How many values, evenly spread.")
    step: AnyNumber | None = about("Distance between values, in place of count.")
    scale: Annotated[Literal["lin", "log"], one_of(*SCALES)] | None = about(
        "How they are spread: lin (default) or log."
    )
    distribution: (
        Annotated[
            Literal["uniform", "loguniform", "integer", "normal", "lognormal"],
            one_of(*DISTRIBUTIONS),
        ]
        | None
    ) = about("Draw values: uniform, loguniform, integer, normal or lognormal.")
    low: Number | None = about("Least value of uniform, loguniform and integer.")
    high: Number | None = about("Greatest value of these.")
    mean: Number | None = about("Mean of normal; of the logarithm for lognormal.")
    std: Number | None = about("Standard deviation of these.")

    @model_validator(mode="before")
    @classmethod
    def _one_way(cls, data: Any) -> Any:
        given = [way for way in WAYS if isinstance(data, dict) and data.get(way) is not None]
        if isinstance(data, dict) and len(given) != 1:
            raise PydanticCustomError(
                "hpcctr",
                "{what}",
                {
                    "what": "a parameter's values come from exactly one of "
                    + ", ".join(WAYS)
                    + (f", got {' and '.join(given)}" if given else ""),
                    "next_step": "write [0.1, 0.2], {file: values.txt}, {from: 1, to: 9, count: 5} "
                    "or {distribution: uniform, low: 0, high: 1}",
                },
            )
        _refuse_strangers(given[0] if given else "", data)
        return data


def _refuse_strangers(way: str, data: Any) -> None:
    known = {name for names in WAYS.values() for name in names}
    for key in data if way else ():
        if key in known and key not in WAYS[way]:
            raise PydanticCustomError(
                "hpcctr",
                "{what}",
                {
                    "what": f"`{key}` has no meaning beside `{way}`",
                    "next_step": f"beside `{way}` may stand {', '.join(sorted(WAYS[way]))}",
                },
            )


class Metrics(Section):
    """Where each trial leaves its results."""

    file: Path = Field(description="JSON, YAML or CSV file in the trial's folder of the stage.")
    stage: str | None = about("The stage that writes it; without it, the trial's own folder.")
    keys: Annotated[dict[str, str], plain(_keys), WithJsonSchema(KEYS)] | None = about(
        "Keys in the file, `a.b` inside sections; of a CSV, columns of the last row. "
        "All numbers at the top of the file if absent."
    )
    goal: dict[str, Annotated[Literal["maximize", "minimize"], one_of(*DIRECTIONS)]] | None = about(
        "The metric that counts: {accuracy: maximize}."
    )


class Halving(Section):
    """Successive halving: many trials with a small budget, few with a large one."""

    parameter: str = Field(description="The parameter that is the budget, such as epochs.")
    start: Positive = Field(alias="from", description="Budget of the first round.")
    to: Positive = Field(description="Budget of the last round.")
    factor: Factor = Field(
        default=3, description="By how much the budget grows and the number of trials shrinks."
    )


class SweepConfig(Section):
    """A whole sweep.yaml."""

    parameters: (
        Annotated[dict[str, Annotated[Parameter, BeforeValidator(_shorthand)]], plain(_names)]
        | None
    ) = about("Name: list, or a section that says where the values come from.")
    rows: Path | None = about("CSV or TSV table: each row is one combination of its columns.")
    combine: (
        Annotated[Literal["grid", "zip", "random", "latin_hypercube", "sobol"], one_of(*COMBINE)]
        | None
    ) = about("grid (default), zip, random, latin_hypercube or sobol.")
    trials: Positive | None = about("How many trials random, latin_hypercube and sobol draw.")
    sampling_seed: Count | None = about("Decides what is drawn. Default: 0.")
    include: Texts | None = about("Conditions that a trial must fulfil, all of them.")
    exclude: Texts | None = about("Conditions that no trial may fulfil.")
    constants: Annotated[dict[str, Any], plain(_names)] | None = about(
        "Values that are equal in all trials."
    )
    replicates: (
        Annotated[
            tuple[int, ...],
            plain(_seeds),
            WithJsonSchema(
                {
                    "anyOf": [
                        {"type": "integer", "minimum": 1},
                        {"type": "array", "items": {"type": "integer"}},
                    ]
                }
            ),
        ]
        | None
    ) = about("Run each trial so many times, or once per seed; adds the parameter `seed`.")
    stages: dict[str, Texts | None] | None = about(
        "Stage: the parameters that it uses; stages that use fewer run once for several trials."
    )
    output: Path | None = about("Folder of the results. Default: results/ and the file's name.")
    max_parallel: Count | None = about("How many tasks of a stage run at once; 0 for no limit.")
    metrics: Metrics | None = about("Where each trial leaves its results.")
    halving: Halving | None = about("Successive halving, for `hpcctr sweep run`.")


def section_at(place: Place) -> type[Section]:
    """Return the model of the section that a path leads to."""
    match place:
        case ("parameters", _):
            return Parameter
        case ("metrics",):
            return Metrics
        case ("halving",):
            return Halving
        case _:
            return SweepConfig


def suggestion(place: Place) -> str:
    """Return what an unknown key may have meant."""
    section = section_at(place[:-1])
    names = [field.alias or name for name, field in section.model_fields.items()]
    near = did_you_mean(str(place[-1]), names)
    if section is SweepConfig and not near:
        near = "a parameter belongs under `parameters:`, a fixed value under `constants:`"
    return near or f"the keys here are {', '.join(names)}"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of sweep.yaml, for editors."""
    found = SweepConfig.model_json_schema()
    parameters = found["properties"]["parameters"]["anyOf"][0]
    parameters["additionalProperties"] = {"anyOf": [{"$ref": "#/$defs/Parameter"}, VALUES]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **{key: value for key, value in found.items() if key != "title"},
        "title": "sweep.yaml",
    }
