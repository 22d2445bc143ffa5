"""A sweep's trials, with their names, and what each stage needs of them: pure but for files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.combine import PATIENCE, combinations
from snakemake_executor_plugin_hpcctr.sweep.conditions import parse_condition
from snakemake_executor_plugin_hpcctr.sweep.model import MOST_TRIALS
from snakemake_executor_plugin_hpcctr.sweep.naming import MARK, name_of
from snakemake_executor_plugin_hpcctr.sweep.space import axes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from snakemake_executor_plugin_hpcctr.sweep.load import Loaded
    from snakemake_executor_plugin_hpcctr.sweep.naming import Value


@dataclass(frozen=True)
class Trial:
    """One combination of values.

    Args:
        name: One component of a path; the same in every run.
        values: Parameter → value, in the order of sweep.yaml.
    """

    name: str
    values: Mapping[str, Value] = field(hash=False)

    @property
    def digest(self) -> str:
        """The hash in its name."""
        return self.name.rpartition(MARK)[2]


def trial_of(values: Mapping[str, Value]) -> Trial:
    """Return the trial of some values."""
    return Trial(name_of(values), values)


def expand(loaded: Loaded) -> list[Trial]:
    """Return all trials of a sweep, in order.

    Raises:
        ConfigError: Something in sweep.yaml or a file of values cannot be used.
    """
    axes = axes_of(loaded)
    names = [name for axis in axes for name in axis.names]
    accept = accept_of(loaded, names)
    found = combinations(loaded, axes)
    if loaded.config.combine in {None, "grid", "zip"}:
        chosen = [values for values in found if accept(values)]
        if len(chosen) > MOST_TRIALS:
            raise ConfigError(
                f"the sweep has {len(chosen):,} trials, more than {MOST_TRIALS:,}",
                where=loaded.at("combine"),
            )
    else:
        chosen = _take(loaded, found, accept)
    if not chosen:
        raise ConfigError(
            "the conditions leave no trial",
            where=loaded.at("exclude" if loaded.config.exclude else "include"),
        )
    return unique(loaded, map(trial_of, chosen))


def unique(loaded: Loaded, trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials, each once; for rows that were combined in a list.

    Raises:
        ConfigError: A trial stands twice.
    """
    seen: dict[str, Trial] = {}
    for trial in trials:
        if trial.name in seen:
            raise ConfigError(
                f"the trial {_shown(trial.values)} stands twice",
                where=loaded.at("combine"),
                next_step="remove the value or row that makes it a second time",
            )
        seen[trial.name] = trial
    return list(seen.values())


def _shown(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _take(
    loaded: Loaded,
    found: Iterator[dict[str, Value]],
    accept: Callable[[Mapping[str, Value]], bool],
) -> list[dict[str, Value]]:
    """Take as many trials as are wanted; draws that were there already do not count."""
    wanted = loaded.config.trials or 0
    if wanted > MOST_TRIALS:
        raise ConfigError(
            f"{wanted:,} trials are more than {MOST_TRIALS:,}", where=loaded.at("trials")
        )
    chosen: dict[tuple[Value, ...], dict[str, Value]] = {}
    vain = 0
    for values in found:
        key = tuple(values.values())
        if key in chosen or not accept(values):
            vain += 1
        else:
            chosen[key], vain = values, 0
        if len(chosen) == wanted or vain == PATIENCE:
            break
    if vain == PATIENCE:
        raise ConfigError(
            f"only {len(chosen)} of {wanted} different trials could be drawn",
            where=loaded.at("trials"),
            next_step="ask for fewer trials, give more values, or relax the conditions",
        )
    return list(chosen.values())


def accept_of(loaded: Loaded, names: Sequence[str]) -> Callable[[Mapping[str, Value]], bool]:
    """Return a function that tells whether the conditions keep a combination.

    Raises:
        ConfigError: A condition cannot be read.
    """
    config, constants = loaded.config, loaded.constants
    known = (*names, *constants)
    include, exclude = (
        [_condition(loaded, key, index, text, known) for index, text in enumerate(texts or ())]
        for key, texts in (("include", config.include), ("exclude", config.exclude))
    )

    def accept(values: Mapping[str, Value]) -> bool:
        everything = {**constants, **values}
        return all(test(everything) for test in include) and not any(
            test(everything) for test in exclude
        )

    return accept if include or exclude else lambda _values: True


def _condition(
    loaded: Loaded, key: str, index: int, text: str, names: Sequence[str]
) -> Callable[[Mapping[str, Value]], bool]:
    place = loaded.at(key, index)
    try:
        test = parse_condition(text, names)
    except ConfigError as error:
        raise error.at(place) from None

    def placed_test(values: Mapping[str, Value]) -> bool:
        try:
            return bool(test(values))
        except ConfigError as error:
            raise error.at(place) from None

    return placed_test


def stages_of(loaded: Loaded, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the parameters of each declared stage, in the order of the sweep.

    Raises:
        ConfigError: A stage names a parameter that is not there, or no stage uses one.
    """
    stages = {stage: tuple(used or ()) for stage, used in (loaded.config.stages or {}).items()}
    for stage, used in stages.items():
        for name in used:
            if name not in names:
                raise ConfigError(
                    f"the stage `{stage}` uses `{name}`, which is no parameter",
                    where=loaded.at("stages", stage),
                    next_step=did_you_mean(name, names)
                    or f"the parameters are {', '.join(names)}; constants need not be listed",
                )
    unused = [name for name in names if all(name not in used for used in stages.values())]
    if stages and unused:
        raise ConfigError(
            f"no stage uses the parameter `{unused[0]}`",
            where=loaded.at("stages"),
            next_step=f"add it to a stage, as in `train: [{unused[0]}]`, or remove it",
        )
    return {stage: tuple(name for name in names if name in used) for stage, used in stages.items()}


def project(trial: Trial, used: Sequence[str]) -> Trial | None:
    """Return a trial as a stage sees it: the parameters that it uses; None if it uses none."""
    if len(used) == len(trial.values):
        return trial
    return trial_of({name: trial.values[name] for name in used}) if used else None
