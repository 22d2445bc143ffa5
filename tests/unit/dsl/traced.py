"""Traces a few lines as a workflow would be, with results of tasks given by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.trace import Pending, Trace, tracing
from snakemake_executor_plugin_hpcctr.dsl.values import ABSENT, Promise, freeze

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.dsl import Channel


@dataclass
class Given:
    """Results of tasks, as a test gives them.

    Args:
        values: (call, emit, leaf) → what every task of the call gave there, or a function of
            the task's key; ABSENT for nothing.
    """

    values: dict[tuple[str, int, int], Any] = field(default_factory=dict)

    def done(self, call: str, _key: str) -> bool:
        """Whether the test gave anything for this call."""
        return any(name == call for name, _, _ in self.values)

    def give(self, promise: Promise) -> Any:
        """Return the value."""
        value = self.values[promise._call, promise._emit, promise._leaf]
        value = value(promise._key) if callable(value) else value
        return value if value is ABSENT else freeze(value)


def items(build: Callable[[], Channel[Any]], results: Given | None = None) -> list[Any]:
    """Return the items of the channel that a function builds."""
    state = state_of(build, results)
    assert not isinstance(state, Pending), f"waits for {state.barriers}"
    return state


def state_of(
    build: Callable[[], Channel[Any]], results: Given | None = None
) -> list[Any] | Pending:
    """Return the items, or what they wait for."""
    with tracing(Trace(results or Given())):
        return build()._node.state


def kind_of(build: Callable[[], Channel[Any]]) -> str:
    """Return `queue` or `value`."""
    with tracing(Trace()):
        return build()._node.kind
