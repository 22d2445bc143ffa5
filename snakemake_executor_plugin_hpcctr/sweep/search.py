"""Search beyond a grid: Optuna's samplers by ask and tell, and successive halving.

Both go in rounds: the trials of a round are one Snakemake run. What was asked and told is in
files of the results folder, so that a search that was killed goes on where it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import CommandError, ConfigError
from snakemake_executor_plugin_hpcctr.sweep.snakefile import Sweep
from snakemake_executor_plugin_hpcctr.sweep.space import DRAWN_DIGITS, axis_of
from snakemake_executor_plugin_hpcctr.sweep.table import (
    DONE,
    FAILED,
    Line,
    declared_goal,
    lines_of,
    number_of,
    ranked,
)
from snakemake_executor_plugin_hpcctr.sweep.trials import Trial, accept_of, expand, trial_of
from snakemake_executor_plugin_hpcctr.sweep.values import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snakemake_executor_plugin_hpcctr.sweep.load import Loaded
    from snakemake_executor_plugin_hpcctr.sweep.model import Parameter
    from snakemake_executor_plugin_hpcctr.sweep.naming import Value
    from snakemake_executor_plugin_hpcctr.sweep.rounds import Rounds

STUDY = "optuna.sqlite3"
SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
}
#: So many asked in a row against the conditions.
PATIENCE = 1000


@dataclass(frozen=True)
class Plan:
    """What a search is asked for.

    Args:
        sampler: A name of SAMPLERS.
        trials: How many trials there shall be in all, those of earlier runs included.
        parallel: How many in one round.
        retry_failed: Try the failed ones again, besides.
    """

    sampler: str
    trials: int
    parallel: int
    retry_failed: bool = False


def optimize(rounds: Rounds, plan: Plan) -> int:
    """Run rounds until the study has as many trials as the plan says; return how many failed.

    Raises:
        ConfigError: The sweep cannot be searched.
        CommandError: A round failed altogether.
    """
    study = Study(rounds.loaded, plan)
    while asked := study.ask():
        rounds.remember([trial for trial, _ in study.all_trials()])
        rounds.run([trial for trial, _ in asked])
        lines = _lines(rounds.loaded)
        study.tell(asked, {line.trial.name: line for line in lines})
        rounds.say(study.progress())
    return study.failed


class Study:
    """Optuna's study of a sweep, in SQLite in the results folder.

    Args:
        loaded: The sweep.
        plan: What is asked for.

    Raises:
        ConfigError: Optuna is missing, or the sweep cannot be searched.
    """

    def __init__(self, loaded: Loaded, plan: Plan) -> None:
        self._optuna = _optuna()
        self._loaded = loaded
        self._plan = plan
        self._space = self._distributions()
        self._accept = accept_of(loaded, list(self._space))
        self._metric, direction = declared_goal(loaded)
        Path(loaded.output).mkdir(parents=True, exist_ok=True)
        storage = f"sqlite:///{Path(loaded.output, STUDY).absolute()}"
        self._study = self._optuna.create_study(
            storage=storage, study_name=loaded.file.stem, direction=direction, load_if_exists=True
        )
        self._refuse_another_search(direction)
        self._study.sampler = self._sampler(plan.sampler)
        self._wanted = plan.trials
        if plan.retry_failed:
            self._retry()

    def ask(self) -> list[tuple[Trial, Any]]:
        """Return the trials of the next round, each with Optuna's; [] when all are told.

        Those that a killed run left behind come first.
        """
        known = self.all_trials()
        left = [(trial, one) for trial, one in known if not one.state.is_finished()]
        room = min(self._plan.parallel - len(left), self._wanted - len(known))
        return [*left, *(self._ask_one() for _ in range(room))]

    def _ask_one(self) -> tuple[Trial, Any]:
        for _ in range(PATIENCE):
            asked = self._study.ask(self._space)
            trial = self._trial(asked.params)
            if self._accept(trial.values):
                return trial, asked
            self._study.tell(asked, state=self._states.PRUNED)
        raise ConfigError(
            f"{PATIENCE} trials in a row were against the conditions",
            where=self._loaded.at("exclude"),
        )

    def tell(self, asked: Sequence[tuple[Trial, Any]], lines: Mapping[str, Line]) -> None:
        """Note what the trials of a round measured; those that ended without a number have failed.

        Those that have not ended are asked for again.

        Raises:
            CommandError: None has a number, and none has failed: they did not run.
        """
        numbers = {trial.name: self._number(lines.get(trial.name)) for trial, _ in asked}
        failed = [trial for trial, _ in asked if _has_failed(lines.get(trial.name))]
        if not failed and all(number is None for number in numbers.values()):
            raise CommandError(
                f"no trial of the round has a number for `{self._metric}`",
                next_step="see what Snakemake said above, and `metrics:` in sweep.yaml; the same "
                "command goes on from here",
            )
        for trial, one in asked:
            number, line = numbers[trial.name], lines.get(trial.name)
            if number is None and (line is None or line.state not in {DONE, FAILED}):
                continue
            state = self._states.FAIL if number is None else self._states.COMPLETE
            self._study.tell(one.number, number, state=state)

    def all_trials(self) -> list[tuple[Trial, Any]]:
        """Return all trials but those against the conditions, with Optuna's."""
        trials = self._study.get_trials(deepcopy=False)
        states = (self._states.PRUNED, self._states.WAITING)
        return [(self._trial(one.params), one) for one in trials if one.state not in states]

    def progress(self) -> str:
        """Say how far the search is, and what is best."""
        told = [one for _, one in self.all_trials() if one.state.is_finished()]
        words = f"{len(told)} of {self._wanted} trials"
        if self.failed:
            words += f", {self.failed} failed"
        good = [one for one in told if one.state == self._states.COMPLETE]
        if good:
            best = self._study.best_trial
            words += f"; best {self._metric} {best.value:.6g}: {self._trial(best.params).name}"
        return words

    @property
    def failed(self) -> int:
        """How many trials have failed."""
        return len(self._failed())

    def _failed(self) -> dict[str, Any]:
        """Return the trials that failed, by name; one that a retry repaired is none."""
        known = [(trial.name, one) for trial, one in self.all_trials()]
        done = {name for name, one in known if one.state == self._states.COMPLETE}
        failed = {name: one for name, one in known if one.state == self._states.FAIL}
        return {name: one for name, one in failed.items() if name not in done}

    @property
    def _states(self) -> Any:
        return self._optuna.trial.TrialState

    def _trial(self, params: Mapping[str, Any]) -> Trial:
        values: dict[str, Value] = {
            name: rounded(params[name], DRAWN_DIGITS)
            if isinstance(params[name], float)
            else params[name]
            for name in self._space
        }
        return trial_of(values)

    def _number(self, line: Line | None) -> float | None:
        return number_of(line, self._metric) if line else None

    def _refuse_another_search(self, direction: str) -> None:
        """Refuse to go on with a study of other parameters, or of another direction."""
        fits = self._study.direction.name.lower() == direction and all(
            self._is_of_this_space(one) for one in self._study.get_trials(deepcopy=False)
        )
        if not fits:
            file = Path(self._loaded.output, STUDY)
            raise ConfigError(
                f"the search in {file} was begun with other parameters or another goal",
                where=self._loaded.name,
                next_step=f"give `output:` another folder, or remove {file} to begin anew",
            )

    def _is_of_this_space(self, one: Any) -> bool:
        before = one.distributions  # none yet: it is still to be asked for
        if not before:
            return True
        check = self._optuna.distributions.check_distribution_compatibility
        try:
            for name in before | self._space:
                check(before[name], self._space[name])
        except (KeyError, ValueError):
            return False
        return True

    def _retry(self) -> None:
        failed = self._failed()
        for one in failed.values():
            self._study.enqueue_trial(one.params)
        self._wanted = max(self._wanted, len(self.all_trials())) + len(failed)

    def _sampler(self, name: str) -> Any:
        if name not in SAMPLERS:
            raise ConfigError(
                f"there is no sampler `{name}`",
                where="--sampler",
                next_step=did_you_mean(name, SAMPLERS) or f"the samplers are {', '.join(SAMPLERS)}",
            )
        # Another seed after each start: a sampler would ask again for what it asked for before.
        seed = (self._loaded.config.sampling_seed or 0) + len(self._study.get_trials())
        return getattr(self._optuna.samplers, SAMPLERS[name])(seed=seed)

    def _distributions(self) -> dict[str, Any]:
        config = self._loaded.config
        for key in ("rows", "replicates", "halving"):
            if getattr(config, key):
                raise ConfigError(
                    f"`{key}` has no meaning for a sampler",
                    where=self._loaded.at(key),
                    next_step="remove it, or run the sweep without --sampler",
                )
        return {
            name: self._distribution(name, one) for name, one in (config.parameters or {}).items()
        }

    def _distribution(self, name: str, parameter: Parameter) -> Any:
        kinds = self._optuna.distributions
        kind = parameter.distribution
        if kind in {"normal", "lognormal"}:
            raise ConfigError(
                f"a sampler does not know the distribution {kind}",
                where=self._loaded.at("parameters", name),
                next_step="write uniform or loguniform with `low` and `high`",
            )
        if kind is None and parameter.start is None:
            return kinds.CategoricalDistribution(
                [value for (value,) in axis_of(self._loaded, name, parameter).points]
            )
        axis_of(self._loaded, name, parameter)  # its checks
        ends: Any = (parameter.low, parameter.high) if kind else (parameter.start, parameter.to)
        low, high = sorted(ends)
        log = kind == "loguniform" or parameter.scale == "log"
        step = None if parameter.step is None else abs(parameter.step)
        if kind == "integer" or all(isinstance(one, int) for one in (low, high, step or 1)):
            return kinds.IntDistribution(int(low), int(high), log=log, step=step or 1)
        return kinds.FloatDistribution(low, high, log=log, step=step)


def halve(rounds: Rounds) -> int:
    """Run successive halving: all trials with the smallest budget, the best with a larger one.

    Nothing is remembered but the trials' own results, so that a killed search goes on.

    Raises:
        ConfigError: The sweep says nothing of halving or of a goal.
        CommandError: No trial of a round has a number.
    """
    loaded = rounds.loaded
    halving = loaded.config.halving
    if halving is None:
        raise ConfigError(
            "the sweep says nothing of halving",
            where=loaded.name,
            next_step="add `halving: {parameter: epochs, from: 1, to: 27}`",
        )
    metric, direction = declared_goal(loaded)
    rounds.forget()
    tried: list[Trial] = []
    current = expand(loaded)
    budget = halving.start
    while True:
        current = [trial_of({**one.values, halving.parameter: budget}) for one in current]
        tried += current
        rounds.remember(tried)
        rounds.run(current)
        measured = _measured(loaded, current, metric, direction)
        rounds.say(f"{len(current)} trials with {halving.parameter}={budget}; best {metric} "
                   f"{measured[0].metrics[metric]:.6g}: {measured[0].trial.name}")  # fmt: skip
        if budget >= halving.to:
            return len(current) - len(measured)
        budget = min(budget * halving.factor, halving.to)
        current = [line.trial for line in measured[: math.ceil(len(current) / halving.factor)]]


def _measured(loaded: Loaded, trials: Sequence[Trial], metric: str, direction: str) -> list[Line]:
    """Return the lines of some trials that have a number, best first."""
    names = {trial.name for trial in trials}
    lines = [line for line in _lines(loaded) if line.trial.name in names]
    measured = [line for line in lines if number_of(line, metric) is not None]
    if not measured:
        raise CommandError(
            f"no trial of the round has a number for `{metric}`",
            next_step="see what Snakemake said above, and `metrics:` in sweep.yaml",
        )
    return ranked(measured, metric, direction)


def _lines(loaded: Loaded) -> list[Line]:
    return lines_of(Sweep(loaded.file), Path.cwd())


def _has_failed(line: Line | None) -> bool:
    return line is not None and (line.state == FAILED or bool(line.problem))


def _optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415 (an extra, and slow to load)
    except ImportError:
        raise ConfigError(
            "a sampler needs Optuna, which is not installed",
            where="--sampler",
            next_step="pip install 'snakemake-executor-plugin-hpcctr[optuna]'",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
