"""Operators that make one value of all items."""

from __future__ import annotations

from typing import Any

from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.values import FrozenList, is_sequence


def first() -> Operator:
    """Return `first`: the first item, as a value; an empty value for an empty channel."""
    return Operator("first", run=lambda items: items[:1], absent="barrier")


def collect() -> Operator:
    """Return `collect`: one list of all items, one level of lists flattened.

    An empty channel gives no value at all.
    """

    def run(items: list[Any]) -> list[Any]:
        flat: list[Any] = []
        for item in items:
            flat.extend(item if is_sequence(item) else (item,))
        return [FrozenList(flat)] if items else []

    return Operator("collect", run=run, touched="manifest", absent="manifest")
