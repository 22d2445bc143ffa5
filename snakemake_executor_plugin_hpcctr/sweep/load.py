"""sweep.yaml → a checked configuration, all mistakes at once, each with its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from snakemake_executor_plugin_hpcctr.config.problems import (
    Problem,
    error_of,
    placed,
    problems_of,
)
from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.config.yamlfile import Reader, read_text
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.model import SweepConfig, suggestion
from snakemake_executor_plugin_hpcctr.sweep.values import parse_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.config.problems import Place
    from snakemake_executor_plugin_hpcctr.sweep.naming import Value

ABOUT = ("parameters: {lr: [0.1, 0.2]}", "docs/reference/sweep-yaml.md")
SEED = "seed"


@dataclass(frozen=True)
class Loaded:
    """A sweep.yaml that was read.

    Args:
        config: Its content.
        name: The file as messages name it.
        file: Its path; paths in it are relative to its folder.
        lines: Key path → line, from 1.
    """

    config: SweepConfig
    name: str
    file: Path
    lines: Mapping[Place, int]

    def at(self, *place: str | int) -> str:
        """Return `FILE:LINE: key.path` for a message."""
        return placed(self.name, [Problem(place, "")], self.lines)[0][0]

    @property
    def output(self) -> str:
        """The folder of the results, relative to the working directory or absolute."""
        return self.config.output or f"results/{self.file.stem}"

    @property
    def constants(self) -> dict[str, Value]:
        """Values that are equal in all trials."""
        return {name: parse_value(value) for name, value in (self.config.constants or {}).items()}


def load(file: Path, *, searched: bool = False) -> Loaded:
    """Read and check a sweep.yaml.

    Args:
        file: What to read.
        searched: A sampler draws the trials, whatever the file says of how many there are.

    Raises:
        ConfigError: The file cannot be read or used; says where and why.
    """
    return parse_sweep(read_text(file, str(file), "sweep"), file, str(file), searched=searched)


def parse_sweep(text: str, file: Path, name: str, *, searched: bool = False) -> Loaded:
    """Check the text of a sweep.yaml.

    Raises:
        ConfigError: Names line and key of everything that is wrong.
    """
    reader = Reader(name, ABOUT)
    data = reader.read(text)
    problems, config = reader.problems, None
    try:
        config = SweepConfig.model_validate({} if data is None else data)
    except ValidationError as error:
        problems = [*problems, *problems_of(error, suggestion)]
    else:
        problems = [*problems, *_contradictions(config, searched=searched)]
    if config is None or problems:
        raise error_of(name, placed(name, problems, reader.lines))
    return Loaded(config, name, file, reader.lines)


def _contradictions(config: SweepConfig, *, searched: bool) -> Iterator[Problem]:
    """Yield what no single key shows to be wrong."""
    if not config.parameters and not config.rows:
        yield Problem(
            ("parameters",), "the sweep has no parameters", "write `parameters:` or `rows:`"
        )
    if not searched:
        yield from _about_drawing(config)
    yield from _about_constants(config)
    yield from _about_metrics(config)


def _about_drawing(config: SweepConfig) -> Iterator[Problem]:
    drawn = config.combine in {"random", "latin_hypercube", "sobol"}
    if drawn and config.trials is None:
        yield Problem(
            ("combine",), f"{config.combine} needs to know how many trials", "add `trials: 20`"
        )
    if not drawn and config.trials is not None:
        yield Problem(
            ("trials",),
            "the number of trials follows from the values here",
            "add `combine: random`, or remove it",
        )
    for name, parameter in (config.parameters or {}).items():
        if parameter.distribution and not drawn:
            yield Problem(
                ("parameters", name),
                f"a distribution has no list of values for a {config.combine or 'grid'}",
                "add `combine: random` and `trials: 20`, or give a range with `from`, `to` and "
                "`count`",
            )


def _about_constants(config: SweepConfig) -> Iterator[Problem]:
    parameters, constants = config.parameters or {}, config.constants or {}
    for name, value in constants.items():
        if name in parameters:
            yield Problem(("constants", name), f"`{name}` is a parameter, too", "keep one of them")
        try:
            parse_value(value)
        except ConfigError as error:
            yield Problem(("constants", name), error.what, error.next_step)
    if config.replicates and SEED in {*parameters, *constants}:
        yield Problem(
            ("replicates",),
            "replicates add the parameter `seed`, which is there already",
            "call yours differently",
        )


def _about_metrics(config: SweepConfig) -> Iterator[Problem]:
    metrics = config.metrics
    if metrics is None:
        return
    if metrics.goal is not None and len(metrics.goal) != 1:
        yield Problem(
            ("metrics", "goal"), "expected one metric, such as `goal: {accuracy: maximize}`"
        )
    for goal in metrics.goal or ():
        if metrics.keys is not None and goal not in metrics.keys:
            yield Problem(
                ("metrics", "goal"),
                f"`{goal}` is not among the keys",
                did_you_mean(goal, metrics.keys) or f"the keys are {', '.join(metrics.keys)}",
            )
    if metrics.stage and config.stages is not None and metrics.stage not in config.stages:
        yield Problem(
            ("metrics", "stage"),
            f"`{metrics.stage}` is no stage",
            did_you_mean(metrics.stage, config.stages)
            or f"the stages are {', '.join(config.stages)}",
        )
