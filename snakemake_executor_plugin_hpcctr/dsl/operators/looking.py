"""Operators that change nothing: `view`, `dump`, `subscribe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import spread
from snakemake_executor_plugin_hpcctr.dsl.values import describe, unknowns

if TYPE_CHECKING:
    from collections.abc import Callable


def look(name: str) -> Operator:
    """Return an operator that passes items on as they are."""
    return Operator(name, one=lambda item: item, absent="pass")


def shown(function: Callable[..., Any] | None, name: str) -> Callable[[Any], str]:
    """Return how an item is printed: as a function makes it, else as it is."""
    if function is None:
        return lambda item: item if isinstance(item, str) else describe(item, 1000)
    call = spread(function, name)

    def text(item: Any) -> str:
        made = call(item)
        return made if isinstance(made, str) else describe(made, 1000)

    return text


def called(function: Callable[..., Any], name: str) -> Callable[[Any], None]:
    """Return a function that calls the user's and prints nothing."""
    call = spread(function, name)

    def quiet(item: Any) -> None:
        call(item)

    return quiet


def is_known(item: Any) -> bool:
    """Whether every part of an item is known."""
    return not any(True for _ in unknowns(item))
