"""Manifests whose files are gone or changed: such a task is not done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.dsl.runtime.store import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.model import Manifest
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout

#: Folders beside those of tasks.
OTHERS = frozenset({"segments", "failures", "runs", "files", "published"})


def drop_stale(layout: Layout) -> int:
    """Remove manifests that no longer describe what is there; return how many.

    One look at each file that a manifest names: its size and time must be as they were.
    """
    dropped = 0
    for rule in sorted(layout.root.iterdir()) if layout.root.is_dir() else ():
        if rule.name in OTHERS or not rule.is_dir():
            continue
        for entry in os.scandir(rule):
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                key = entry.name.removesuffix(".json")
                path = rule / entry.name
                manifest = read_manifest(path)
                if manifest is None or not is_whole(manifest, layout.work(rule.name, key)):
                    path.unlink()
                    dropped += 1
    return dropped


def is_whole(manifest: Manifest, work: Path) -> bool:
    """Whether all files of a task are there as it left them."""
    base = os.fspath(work)
    for produced in manifest.files:
        try:
            status = os.stat(os.path.join(base, produced.path))  # noqa: PTH116, PTH118 (speed)
        except OSError:
            return False
        if (status.st_size, status.st_mtime_ns) != (produced.size, produced.mtime):
            return False
    return True
