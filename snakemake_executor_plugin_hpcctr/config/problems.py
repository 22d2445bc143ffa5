"""What pydantic finds wrong → sentences that name file, line, key and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from snakemake_executor_plugin_hpcctr.config.model import (
    KINDS,
    ApptainerSettings,
    EnrootSettings,
    HpcctrConfig,
    ImageRecipe,
    LogSettings,
    ProfileSettings,
    PyxisSettings,
    RuleSettings,
    StageSettings,
)
from snakemake_executor_plugin_hpcctr.config.names import RESOURCES
from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic import BaseModel, ValidationError

Place: TypeAlias = "tuple[str | int, ...]"

#: Sections of a rule's settings.
BLOCKS: dict[str, type[BaseModel]] = {
    "apptainer": ApptainerSettings,
    "enroot": EnrootSettings,
    "pyxis": PyxisSettings,
    "stage": StageSettings,
}


class Problem(NamedTuple):
    """One thing that is wrong in a file.

    Args:
        place: Path of the key, e.g. `("defaults", "mem")`.
        what: A sentence without a full stop.
        next_step: What to do; "" if nothing more helpful than `what` can be said.
        line: Where, if it is not the line on which the key was first seen.
    """

    place: Place
    what: str
    next_step: str = ""
    line: int | None = None


def problems_of(
    error: ValidationError, suggest: Callable[[Place], str] | None = None
) -> list[Problem]:
    """Return what pydantic found, in words.

    Args:
        error: What it found.
        suggest: Says what an unknown key may have meant; knows hpcctr.yaml if None.
    """
    known = suggest or _suggestion
    return [_problem(dict(detail), known) for detail in error.errors(include_url=False)]


def _problem(detail: dict[str, Any], suggest: Callable[[Place], str]) -> Problem:
    place: Place = tuple(part for part in detail["loc"] if part not in KINDS)
    given = detail["input"]
    match detail["type"]:
        case "hpcctr":
            return Problem(place, detail["ctx"]["what"], detail["ctx"]["next_step"])
        case "extra_forbidden":
            return Problem(place, f"unknown key `{place[-1]}`", suggest(place))
        case "model_type" | "dict_type":
            return Problem(
                place,
                f"expected a section with keys, got {given!r}",
                f"write its keys below `{place[-1]}:`, indented",
            )
        case "string_type" if given is None:
            return Problem(place, "expected text, got nothing")
        case _:
            return Problem(place, f"{detail['msg']}, got {given!r}")


def section_at(place: Place) -> type[BaseModel]:
    """Return the model of the section that a path leads to."""
    match place:
        case ("defaults",) | ("rules", _):
            return RuleSettings
        case ("profiles", _):
            return ProfileSettings
        case ("logs",):
            return LogSettings
        case ("images", _):
            return ImageRecipe
        case (*_, str(name)) if name in BLOCKS:
            return BLOCKS[name]
        case _:
            return HpcctrConfig


def _suggestion(place: Place) -> str:
    key, section = str(place[-1]), section_at(place[:-1])
    fields = {field.alias or name: field for name, field in section.model_fields.items()}
    same = RESOURCES[key].setting if key in RESOURCES else None
    if same in fields:
        return f"did you mean `{same}`?"
    near = did_you_mean(key, fields)
    if section is HpcctrConfig and (key in RuleSettings.model_fields or (same and not near)):
        return f"`{same or key}` belongs under `defaults:`, or under a rule in `rules:`"
    if section is RuleSettings and key in HpcctrConfig.model_fields:
        return f"`{key}` belongs at the top level of the file"
    return near or f"the keys here are {', '.join(fields)}"


def placed(
    name: str, problems: Sequence[Problem], lines: Mapping[Place, int]
) -> list[tuple[str, Problem]]:
    """Return problems of a file in the order of its lines, each with `FILE:LINE: key.path`."""
    found = [(problem.line or line_of(lines, problem.place), problem) for problem in problems]
    found.sort(key=lambda pair: pair[0])
    return [(f"{name}:{line}: {path_text(p.place)}".rstrip(": "), p) for line, p in found]


def error_of(name: str, found: Sequence[tuple[str, Problem]]) -> ConfigError:
    """Return one error that lists problems, at least one, each with the words for its place."""
    where, problem = found[0]
    if len(found) == 1:
        return ConfigError(problem.what, where=where, next_step=problem.next_step)
    listed = [
        f"  {where}: {problem.what}" + (f" ({problem.next_step})" if problem.next_step else "")
        for where, problem in found
    ]
    return ConfigError("\n".join([f"{len(found)} problems", *listed]), where=name)


def line_of(lines: Mapping[Place, int], place: Place) -> int:
    """Return the line of a key, or of the nearest section round it that has one."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def path_text(place: Place) -> str:
    """Return a key path for people: `defaults.binds[0]`."""
    words = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]
    return "".join(words).removeprefix(".")
