"""Results that no plan of the working directory names any more."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.dsl.runtime.stale import OTHERS
from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout


def left_over(layout: Layout) -> list[Path]:
    """Return folders and manifests of tasks that the current plan does not name.

    Raises:
        ConfigError: There is no plan.
    """
    named = {
        (call.rule, key)
        for plan in Store(layout).plans()
        for call in plan.calls
        for key in call.tasks
    }
    return [
        path
        for rule in sorted(layout.root.iterdir())
        if rule.is_dir() and rule.name not in OTHERS
        for path in sorted(rule.iterdir())
        if (rule.name, path.name.removesuffix(".json")) not in named
    ]


def remove(paths: Iterable[Path]) -> None:
    """Remove files and folders."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def forget(layout: Layout, rules: Iterable[str]) -> None:
    """Remove the manifests of all tasks of some rules: they run again."""
    for rule in rules:
        for manifest in (layout.root / rule).glob("*.json"):
            manifest.unlink()
