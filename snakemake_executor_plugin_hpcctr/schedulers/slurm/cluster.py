"""What a cluster is like: its name, limits and partitions, asked now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.schedulers.slurm.limits import (
    NODES_FORMAT,
    Partition,
    parse_partitions,
)
from snakemake_executor_plugin_hpcctr.schedulers.slurm.parse import parse_config

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.schedulers.slurm.commands import Commands

#: How long the partitions are believed to stay as they are.
BELIEVE_S = 600.0
#: How long to wait before a cluster that did not tell is asked again.
ASK_AGAIN_S = 30.0


@dataclass
class Cluster:
    """Facts about one cluster.

    Args:
        commands: Runs scontrol and sinfo.
        name: As in `--clusters`; "" for the one at hand.
    """

    commands: Commands
    name: str = ""
    _config: dict[str, str] = field(default_factory=dict)
    _partitions: dict[str, Partition] = field(default_factory=dict)
    _ask_from: float = 0.0

    def config(self, key: str) -> str | None:
        """Return a value of `scontrol show config`, None if it is unknown."""
        if not self._config:
            done = self.commands.ask(["scontrol", "show", "config"], cluster=self.name)
            self._config = parse_config(done.out) if done.ok else {}
        return self._config.get(key)

    def number(self, key: str) -> int | None:
        """Return a number of `scontrol show config`, None if it is unknown."""
        value = self.config(key) or ""
        return int(value) if value.isdecimal() else None

    def partitions(self) -> dict[str, Partition]:
        """Return the partitions; none if Slurm does not answer."""
        now = time.monotonic()
        if now >= self._ask_from:
            self._partitions = self._ask_partitions()
            self._ask_from = now + (BELIEVE_S if self._partitions else ASK_AGAIN_S)
        return self._partitions

    def _ask_partitions(self) -> dict[str, Partition]:
        # Hidden ones too (-a): whether you may use one, sbatch says better than a look.
        show = ["scontrol", "-a", "-o", "show", "partition"]
        partitions = self.commands.ask(show, cluster=self.name)
        nodes = self.commands.ask(["sinfo", *NODES_FORMAT], cluster=self.name)
        if not (partitions.ok and nodes.ok):
            return {}
        return parse_partitions(partitions.out, nodes.out)
