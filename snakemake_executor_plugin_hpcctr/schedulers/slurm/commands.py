"""Run Slurm's commands: clean environment, cluster, time limits, a controller that is down."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.proc import Completed
from snakemake_executor_plugin_hpcctr.schedulers.slurm.refusals import UNREACHABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: A command whose controller is down gives up by itself after 9 to 18 s.
ANSWER_S = 30.0
DATABASE_S = 15.0
PING_S = 5.0
DOWN = "Unable to contact slurm controller (`scontrol ping` says that it is down)"
#: Without it, Slurm shortens a long list of array indices with `...` (squeue(1)).
WHOLE_LISTS = {"SLURM_BITSTR_LEN": "0"}


@dataclass
class Commands:
    """Runs Slurm's commands, and knows which controllers did not answer last time.

    Args:
        environ: The clean environment.
    """

    environ: Mapping[str, str]
    _silent: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, argv: Sequence[str], *, cluster: str = "") -> Completed:
        """Run a command that asks the controller, or tells it to cancel.

        Args:
            argv: The command without `-M`.
            cluster: Of which cluster; "" for the one at hand.
        """
        words = with_cluster(argv, cluster)
        return self.run(words, cluster, {**self.environ, **WHOLE_LISTS}, ANSWER_S)

    def ask_database(self, argv: Sequence[str], *, cluster: str = "") -> Completed:
        """Run a command that asks the accounting database, whatever the controller does."""
        words = with_cluster(argv, cluster)
        return proc.run(words, timeout_s=DATABASE_S, env={**self.environ, **WHOLE_LISTS})

    def run(
        self, argv: Sequence[str], cluster: str, environ: Mapping[str, str], timeout_s: float
    ) -> Completed:
        """Run a command, unless its controller is still silent since the last one.

        `scontrol ping` tells that within some milliseconds, where others wait for many seconds.
        """
        if cluster in self._silent and not self.answers(cluster):
            return Completed(tuple(argv), 1, "", DOWN)
        done = proc.run(argv, timeout_s=timeout_s, env=environ)
        silent = done.code == proc.TIMED_OUT or UNREACHABLE.search(done.err)
        with self._lock:
            if silent and not done.ok:
                self._silent.add(cluster)
            else:
                self._silent.discard(cluster)
        return done

    def answers(self, cluster: str = "") -> bool:
        """Tell whether a controller (or its backup) is up."""
        argv = with_cluster(["scontrol", "ping"], cluster)
        return " is UP" in proc.run(argv, timeout_s=PING_S, env=self.environ).out


def with_cluster(argv: Sequence[str], cluster: str) -> list[str]:
    """Return a command for another cluster than the one at hand."""
    return [argv[0], *(("-M", cluster) if cluster else ()), *argv[1:]]
