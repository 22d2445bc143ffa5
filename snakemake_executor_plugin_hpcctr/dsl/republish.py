"""Published files of tasks that are done: claimed for this run, put back where they are gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.dsl.runtime.making import Making
from snakemake_executor_plugin_hpcctr.dsl.runtime.task import publish_files

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store


def republish(store: Store) -> int:
    """Publish what cached tasks have to publish; return how many tasks had something missing.

    Raises:
        DslError: Two tasks publish one target.
    """
    missing = 0
    for call in store.plan.calls:
        if not call.publish:
            continue
        for key in call.tasks:
            manifest = store.results.manifest(call.name, key)
            if manifest is None or manifest.state != "done":
                continue
            missing += not all(map(os.path.lexists, manifest.published))
            publish_files(Making(store, call.rule, key), manifest, cached=True)
    return missing
