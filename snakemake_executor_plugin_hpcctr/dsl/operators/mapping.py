"""Operators that look at one item at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.operators.base import DROP, Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import spread

if TYPE_CHECKING:
    from collections.abc import Callable


def map_(function: Callable[..., Any]) -> Operator:
    """Return `map`: each item becomes what the function makes of it; None drops it."""
    call = spread(function, "map")

    def one(item: Any) -> Any:
        result = call(item)
        return DROP if result is None else result

    return Operator("map", one=one, touched="manifest", absent="pass", functions=(function,))
