"""`Sweep` for Snakefiles: patterns, output files and values of a sweep's trials."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.suggest import nearest
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.load import Loaded, load
from snakemake_executor_plugin_hpcctr.sweep.model import SweepConfig
from snakemake_executor_plugin_hpcctr.sweep.trials import (
    Trial,
    expand,
    project,
    stages_of,
    trial_of,
    unique,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from snakemake_executor_plugin_hpcctr.sweep.naming import Value

    Key = tuple[Value, ...]

#: Values that a trial may have; others, such as dates, become text.
PLAIN = (bool, int, float, str)
#: Names a file with the trials that a round of `hpcctr sweep run` asks for.
ROUND_VARIABLE = "HPCCTR_SWEEP_ROUND"
#: Lists the trials that a search has tried, in the folder of the results.
SEARCHED = "searched.json"
WILDCARD = "trial"

#: Results folder → file of the sweep that uses it, in this process.
_folders: dict[str, str] = {}


class Sweep:
    """The trials of a sweep.yaml, for the rules of a Snakefile.

    Args:
        source: Path of the sweep.yaml, relative to the working directory; or a Snakemake
            Paramspace (anything with a pandas `dataframe`), whose rows are the trials.
        output: Folder of the results, in place of the file's own; needed for a Paramspace.

    Raises:
        ConfigError: The source cannot be used; says where and why.
    """

    def __init__(self, source: Any, output: str | None = None) -> None:
        if isinstance(source, (str, os.PathLike)):
            loaded, trials = _open(Path(source), output)
        else:
            loaded = Loaded(SweepConfig(), "Paramspace", Path("paramspace"), {})
            trials = unique(loaded, map(trial_of, _rows_of(source)))
        if not trials:
            raise ConfigError(
                "the Paramspace has no rows", next_step="give it a row for each trial"
            )
        self.loaded = loaded
        self.output = output or loaded.output
        self.trials = tuple(trials)
        self.names = tuple(self.trials[0].values)
        self.stages = stages_of(loaded, self.names)
        self._constants = loaded.constants
        self._views: dict[tuple[str, ...], list[Trial]] = {}
        self._found: dict[tuple[tuple[str, ...], ...], dict[Key, list[Trial]]] = {}
        self._known: dict[str, Trial] = {}
        for used in {*self.stages.values(), self.names}:
            self._known |= {view.name: view for view in self._view(used)}
        self._refuse_shared_folder()

    def _refuse_shared_folder(self) -> None:
        name = self.loaded.name
        other = _folders.setdefault(os.path.abspath(self.output), name)  # noqa: PTH100 (text)
        if other != name:
            raise ConfigError(
                f"the results of {name} would go to `{self.output}`, where those of {other} are",
                where=self.loaded.at("output"),
                next_step="give one of the two another folder with `output:`",
            )

    @property
    def max_parallel(self) -> int:
        """How many tasks of a stage run at once, for the resource of this name; 0: no limit."""
        return self.loaded.config.max_parallel or 0

    def pattern(self, stage: str, file: str = "") -> str:
        """Return the path of a stage's file, with the wildcard `{trial}` if trials differ there.

        Args:
            stage: Name of the stage.
            file: A file in its folder; the folder itself if empty.

        Raises:
            ConfigError: There is no such stage.
        """
        name = f"{{{WILDCARD}}}" if self._used(stage) else ""
        return self._path(stage, name, file)

    def outputs(self, stage: str, file: str = "") -> list[str]:
        """Return the paths of a stage's file for all trials.

        Raises:
            ConfigError: There is no such stage.
        """
        used = self._used(stage)
        if not used:
            return [self._path(stage, "", file)]
        return [self._path(stage, view.name, file) for view in self._view(used)]

    def inputs(self, stage: str, file: str = "") -> Callable[[Any], list[str]]:
        """Return a function for `input:` that finds another stage's file for the same trial.

        If that stage has parameters that this one has not, these are several files.

        Raises:
            ConfigError: There is no such stage.
        """
        used = self._used(stage)

        def find(wildcards: Any) -> list[str]:
            here = self.trial(wildcards)
            if not used or here is None:
                return self.outputs(stage, file)
            shared = tuple(name for name in used if name in here.values)
            views = self._by(used, shared)[tuple(here.values[name] for name in shared)]
            return [self._path(stage, view.name, file) for view in views]

        return find

    def trial(self, wildcards: Any) -> Trial | None:
        """Return the trial that a job's wildcards name, as its stage sees it; None if none.

        Raises:
            ConfigError: The sweep has no such trial.
        """
        name = getattr(wildcards, WILDCARD, None)
        if name is None:
            return None
        if name not in self._known:
            near = nearest(str(name), self._known)
            raise ConfigError(
                f"the sweep has no trial `{name}`",
                where=self.loaded.name,
                next_step=f"did you mean `{near}`?" if near else "hpcctr sweep table lists them",
            )
        return self._known[name]

    def path_of(self, stage: str, trial: Trial, file: str = "") -> str:
        """Return the path of a stage's file for one of the sweep's trials.

        Raises:
            ConfigError: There is no such stage.
        """
        view = project(trial, self._used(stage))
        return self._path(stage, view.name if view else "", file)

    def params(self, wildcards: Any) -> dict[str, Value]:
        """Return the values of a job's trial, constants included, for `params:`.

        In a command they read `{params.trial[lr]}` after `params: trial=sweep.params`.

        Raises:
            ConfigError: The sweep has no such trial.
        """
        trial = self.trial(wildcards)
        return {**self._constants, **(trial.values if trial else {})}

    def paramspace(self, **options: Any) -> Any:
        """Return the trials as a Snakemake Paramspace; needs pandas.

        Args:
            options: What else Paramspace takes, such as `filename_params`.
        """
        import pandas as pd  # noqa: PLC0415 (not a dependency of hpcctr)
        from snakemake.utils import Paramspace  # noqa: PLC0415 (start-up time)

        return Paramspace(pd.DataFrame([dict(t.values) for t in self.trials]), **options)

    def _used(self, stage: str) -> tuple[str, ...]:
        if not self.stages:
            return self.names
        if stage not in self.stages:
            near = nearest(stage, self.stages)
            raise ConfigError(
                f"the sweep has no stage `{stage}`",
                where=self.loaded.at("stages"),
                next_step=f"did you mean `{near}`?"
                if near
                else f"its stages are {', '.join(self.stages)}",
            )
        return self.stages[stage]

    def _view(self, used: tuple[str, ...]) -> list[Trial]:
        """Return the different trials that a stage sees which uses these parameters."""
        if used not in self._views:
            views = (project(trial, used) for trial in self.trials)
            self._views[used] = list(dict.fromkeys(view for view in views if view is not None))
        return self._views[used]

    def _by(self, used: tuple[str, ...], shared: tuple[str, ...]) -> Mapping[Key, list[Trial]]:
        """Return the trials of a stage by their values of some of its parameters."""
        if (used, shared) not in self._found:
            found: dict[Key, list[Trial]] = {}
            for view in self._view(used):
                found.setdefault(tuple(view.values[name] for name in shared), []).append(view)
            self._found[used, shared] = found
        return self._found[used, shared]

    def _path(self, stage: str, trial: str, file: str) -> str:
        return "/".join(filter(None, (self.output, stage, trial, file)))


def _rows_of(paramspace: Any) -> Iterator[Mapping[str, Value]]:
    """Return the rows of its data frame, with Python's own numbers."""
    for row in paramspace.dataframe.to_dict(orient="records"):
        yield {str(name): value if isinstance(value, PLAIN) else str(value)
               for name, value in row.items()}  # fmt: skip


def _open(file: Path, output: str | None) -> tuple[Loaded, list[Trial]]:
    """Return a sweep and its trials.

    While `hpcctr sweep run` is at work these are the trials of its round; after a search, all
    that it has tried; otherwise sweep.yaml says which there are.
    """
    loaded = load(file, searched=True)
    found = Path(os.environ.get(ROUND_VARIABLE, ""))
    if not found.is_file() or json.loads(found.read_text())["sweep"] != str(file.resolve()):
        found = Path(output or loaded.output, SEARCHED)
    if found.is_file():
        return loaded, trials_in(found)[2]
    loaded = load(file)
    return loaded, expand(loaded)


def trials_in(file: Path) -> tuple[str, dict[str, Value], list[Trial]]:
    """Return the folder of results, the constants and the trials that a file lists."""
    content = json.loads(file.read_text(encoding="utf-8"))
    trials = [trial_of(values) for values in content["trials"]]
    return content["output"], content["constants"], trials
