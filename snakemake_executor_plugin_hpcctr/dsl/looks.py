"""What `view`, `dump` and `subscribe` show of a run: each item once, as soon as it is known."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.graph import Pending
from snakemake_executor_plugin_hpcctr.dsl.values import ABSENT, promises, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.graph import Look, Results
    from snakemake_executor_plugin_hpcctr.dsl.trace import Trace


@dataclass
class Viewer:
    """Shows items.

    Args:
        tags: What `--dump-channels` names; globs.
    """

    tags: Sequence[str] = ()
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def lines(self, trace: Trace, results: Results) -> Iterator[str]:
        """Yield what is to be printed now, of items that are known and were not shown before.

        Raises:
            DslError: A function of the user raised.
        """
        for number, look in enumerate(trace.looks):
            if look.dump and not any(fnmatch.fnmatchcase(look.tag, tag) for tag in self.tags):
                continue
            state = look.node.state
            for index, item in enumerate([] if isinstance(state, Pending) else state):
                if (number, index) not in self._seen and _is_due(item, results):
                    self._seen.add((number, index))
                    yield from _shown(look, resolve(item, results.give))


def _is_due(item: Any, results: Results) -> bool:
    return all(results.done(promise._call, promise._key) for promise in promises(item))


def _shown(look: Look, item: Any) -> Iterator[str]:
    if item is ABSENT:
        return
    text = look.text(item)
    if text is not None:
        yield f"{look.tag}: {text}" if look.tag else text
