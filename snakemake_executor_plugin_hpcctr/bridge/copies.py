"""A workflow that was not written for sweeps, copied once per trial by Snakemake's modules.

The Snakefile that `hpcctr sweep run` writes loads the workflow once as it is, to learn what its
rules make, and then once per trial, with the trial's configuration and all that the rules make
moved into the trial's folder. What they only read stays where it is.
"""

from __future__ import annotations

import copy
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.naming import rule_of_trial
from snakemake_executor_plugin_hpcctr.sweep.snakefile import trials_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Suffix of the rules of the copy that is only looked at.
ORIGINAL = "__original"


class Copies:
    """What the copies of a workflow need to know.

    Args:
        round_file: The trials, see `sweep.run`.
        config: The workflow's configuration.
    """

    def __init__(self, round_file: str, config: Mapping[str, Any]) -> None:
        self.output, self.constants, self.trials = trials_in(Path(round_file))
        self._config = config
        self._names = {trial.digest: trial for trial in self.trials}
        self._made: list[str] = []
        self._first = ""

    def learn(self, workflow: Any) -> None:
        """Look at the rules of the copy that is loaded as it is.

        Raises:
            ConfigError: It has no rules.
        """
        rules = [rule for rule in workflow.rules if rule.name.endswith(ORIGINAL)]
        if not rules:
            raise ConfigError("the workflow has no rules")
        self._first = rules[0].name.removesuffix(ORIGINAL)
        made, read = set(), set()
        for rule in rules:
            made |= _paths([*rule.output, *rule.log, *([rule.benchmark] if rule.benchmark else [])])
            read |= _paths(rule.input)
        self._made = prefixes(made, read - made)

    def config(self, digest: str) -> dict[str, Any]:
        """Return a trial's configuration.

        Raises:
            ConfigError: A parameter is no key of the workflow's configuration.
        """
        return configured(self._config, {**self.constants, **self._names[digest].values})

    def places(self, digest: str) -> dict[str, str]:
        """Return what each beginning of a path becomes for a trial."""
        folder = posixpath.join(self.output, self._names[digest].name)
        return {made: posixpath.join(folder, made) for made in self._made}

    def targets(self, rules: Any) -> list[Any]:
        """Return what the copies' first rules ask for or make."""
        wanted: list[Any] = []
        for digest in self._names:
            first = getattr(rules, rule_of_trial(self._first, digest))
            wanted += list(first.output) or list(first.input)
        return wanted


def _paths(items: Iterable[Any]) -> set[str]:
    """Return relative paths; functions and absolute paths stay what they are for all trials."""
    texts = (str(item) for item in items if isinstance(item, str))
    return {text for text in texts if not text.startswith(("/", "..")) and "://" not in text}


def prefixes(made: Iterable[str], read: Iterable[str]) -> list[str]:
    """Return the shortest beginnings of paths that cover what is made and nothing that is read.

    Args:
        made: Outputs, logs and benchmarks, with wildcards.
        read: Inputs that no rule makes.
    """
    kept = sorted({_constant(path) for path in read})
    chosen: set[str] = set()
    for path in sorted(made):
        parts = _constant(path).split("/")
        candidates = [
            "/".join(parts[: n + 1]) + "/" * (n + 1 < len(parts)) for n in range(len(parts))
        ]
        free = (c for c in candidates if not any(k.startswith(c) for k in kept))
        chosen.add(next(free, candidates[-1]))
    return [
        one for one in sorted(chosen) if not any(one != o and one.startswith(o) for o in chosen)
    ]


def _constant(path: str) -> str:
    """Return a path up to its first wildcard."""
    return path.partition("{")[0]


def configured(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with some values changed; `a.b` is a key in a section.

    Where the configuration has a list, a value becomes a list of one.

    Raises:
        ConfigError: A key is not there: the workflow would not notice the value.
    """
    changed = copy.deepcopy(dict(config))
    for name, value in values.items():
        *sections, key = name.split(".")
        place: Any = changed
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or key not in place:
            known = list(place if isinstance(place, dict) else changed)
            raise ConfigError(
                f"the workflow's configuration has no key `{name}`",
                where="sweep",
                next_step=did_you_mean(key, known)
                or f"add it to the configuration file; its keys are {', '.join(known) or 'none'}",
            )
        place[key] = [value] if isinstance(place[key], list) else value
    return changed
