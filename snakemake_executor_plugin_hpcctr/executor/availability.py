"""Which engines the nodes have: asked on a node of the partition, remembered for an hour."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.engines import ENGINES
from snakemake_executor_plugin_hpcctr.script.quote import words
from snakemake_executor_plugin_hpcctr.trace.folder import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler
    from snakemake_executor_plugin_hpcctr.task import EngineName, Resources

REMEMBER_S = 3600.0
ANSWER_WITHIN_S = 20.0
PROBE_S = 8


@dataclass
class Availability:
    """Asks nodes for their engines.

    Args:
        scheduler: Runs the question on a node.
        memory: File in which answers are kept between runs.
        warn: Takes a sentence that the user should see.
        ask: False asks no node: where nothing is remembered, every engine is taken for available.
        assumed: Whether that was done.
    """

    scheduler: Scheduler
    memory: Path
    warn: Callable[[str], None]
    ask: bool = True
    assumed: bool = False
    _known: dict[str, frozenset[EngineName]] = field(default_factory=dict)

    def engines(
        self, preference: tuple[EngineName, ...], resources: Resources
    ) -> frozenset[EngineName]:
        """Return the engines that a node for this request has.

        If no node answers in time (all are busy), every engine is taken for available: the
        task's own script checks again before its command starts.
        """
        if set(preference) <= {"host"}:
            return frozenset(preference)
        place = self.where(resources)
        if place not in self._known:
            remembered = self._remembered(place)
            # An engine that was missing may have been installed since: ask again.
            usable = remembered is not None and bool(remembered & set(preference))
            if not usable and not self.ask:
                self.assumed = True
                return frozenset(ENGINES)
            self._known[place] = (
                remembered if usable and remembered else self._ask(place, resources)
            )
        return self._known[place]

    def where(self, resources: Resources) -> str:
        """Name the nodes that a request may get, for people and as a key."""
        parts = [
            f"partition {resources.partition}" if resources.partition else "the default partition"
        ]
        parts += [f"constraint {resources.constraint}"] if resources.constraint else []
        parts += [f"cluster {resources.clusters}"] if resources.clusters else []
        return "this machine" if self.scheduler.name == "local" else ", ".join(parts)

    def advice(self, have: frozenset[EngineName]) -> str:
        """Say what the user can do when no engine of the list is there."""
        if have:
            return f"it has {', '.join(sorted(have))}: name one of them, e.g. `engine: auto`"
        return (
            "install Apptainer or Enroot there, load the module that provides it before you "
            "start Snakemake, or set `engine: host` to run without a container"
        )

    def _ask(self, place: str, resources: Resources) -> frozenset[EngineName]:
        # With scheduler local, pyxis's srun would leave this machine for the cluster.
        names = [n for n in ENGINES if n != "pyxis" or self.scheduler.name != "local"]
        answer = self.scheduler.ask_node(
            resources.model_copy(update={"gpu": None}), probe_script(names), ANSWER_WITHIN_S
        )
        if answer is None:
            self.warn(
                f"No node of {place} was free to tell which container engines it has; "
                "each task checks that itself before its command starts"
            )
            return frozenset(names)
        found = parse_probe(answer)
        self._remember(place, found)
        return found

    def _remembered(self, place: str) -> frozenset[EngineName] | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            entry = json.loads(self.memory.read_text(encoding="utf-8"))[self._key(place)]
            if time.time() - float(entry["asked"]) < REMEMBER_S:
                return parse_probe("\n".join(entry["engines"]))
        return None

    def _remember(self, place: str, found: frozenset[EngineName]) -> None:
        known: dict[str, object] = {}
        with suppress(OSError, ValueError, TypeError):
            known = dict(json.loads(self.memory.read_text(encoding="utf-8")))
        known[self._key(place)] = {"asked": time.time(), "engines": sorted(found)}
        with suppress(OSError):
            write_atomically(self.memory, json.dumps(known, indent=1) + "\n")

    def _key(self, place: str) -> str:
        return f"{self.scheduler.identity()}: {place}"


def probe_script(names: Iterable[EngineName]) -> str:
    """Return a POSIX shell script that prints the name of each engine it finds, one a line.

    An engine that does not answer in PROBE_S seconds is not there; the others still count.
    """
    return "".join(
        f"if timeout {PROBE_S} {words(ENGINES[name].PROBE)} >/dev/null 2>&1; then echo {name}; fi\n"
        for name in names
    )


def parse_probe(text: str) -> frozenset[EngineName]:
    """Read the probe's output; other lines (a site's greeting) are ignored."""
    said = {line.strip() for line in text.splitlines()}
    return frozenset(name for name in ENGINES if name in said)
