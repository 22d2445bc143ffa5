"""Where plans, manifests and tasks are: all below one folder of the working directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from snakemake_executor_plugin_hpcctr.dsl.model import ROOT


@dataclass(frozen=True)
class Layout:
    """Paths below the folder of a pipeline's tasks.

    Args:
        root: That folder, absolute or relative to the working directory.
    """

    root: Path = Path(ROOT)

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.root / "plan.json"

    @property
    def snakefile(self) -> Path:
        """What it is compiled to."""
        return self.root / "Snakefile"

    def segment(self, name: str) -> Path:
        """Return the file of a part of the plan that a checkpoint writes."""
        return self.root / "segments" / f"{name}.json"

    def manifest(self, rule: str, key: str) -> Path:
        """Return a task's manifest."""
        return self.root / rule / f"{key}.json"

    def folder(self, rule: str, key: str) -> Path:
        """Return the folder with a task's script and logs."""
        return self.root / rule / key

    def work(self, rule: str, key: str) -> Path:
        """Return the folder in which a task runs."""
        return self.folder(rule, key) / "work"
