"""How a user's function is given an item: several parameters destructure a tuple."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl import spans
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.values import (
    FrozenError,
    describe,
    freeze,
    is_sequence,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MANY = -1


def spread(function: Callable[..., Any], operator: str) -> Callable[[Any], Any]:
    """Return a function of one item that calls the user's, and freezes what it returns.

    A function with more than one parameter gets the elements of a tuple or list.

    Raises:
        DslError: (when called) The function failed, changed its argument, or got a tuple of
            another length.
    """
    wanted = arity(function)

    def call(item: Any) -> Any:
        given = (item,) if wanted == 1 else _elements(item, wanted, function, operator)
        return attempt(function, operator, item, *given)

    return call


def attempt(function: Callable[..., Any], operator: str, item: Any, *arguments: Any) -> Any:
    """Call a user's function; return what it gives, frozen.

    Args:
        function: The function.
        operator: For messages.
        item: What is shown in messages.
        arguments: What the function gets.

    Raises:
        DslError: It raised, or tried to change its arguments.
    """
    try:
        return freeze(function(*arguments))
    except DslError:
        raise
    except Exception as error:
        raise _failure(function, operator, item, error) from error


def arity(function: Callable[..., Any]) -> int:
    """Return how many positional arguments a function takes; MANY for `*args`, 1 if unknown."""
    code = getattr(function, "__code__", None)
    if code is not None and not getattr(function, "__wrapped__", None):
        bound = 1 if inspect.ismethod(function) else 0
        return MANY if code.co_flags & inspect.CO_VARARGS else max(1, code.co_argcount - bound)
    return 1


def _elements(item: Any, wanted: int, function: Any, operator: str) -> Any:
    if not is_sequence(item):
        raise DslError(
            f"`{operator}`: the function takes {wanted} arguments, but the item is not a tuple",
            span=spans.of_code(function.__code__),
            item=describe(item),
            next_step="give it one parameter",
        )
    least = wanted - len(getattr(function, "__defaults__", None) or ())
    if wanted != MANY and not least <= len(item) <= wanted:
        raise DslError(
            f"`{operator}`: the function takes {wanted} arguments, the item has {len(item)} "
            "elements",
            span=spans.of_code(function.__code__),
            item=describe(item),
            next_step="give it a parameter for each element, or one for the whole tuple",
        )
    return item


def _failure(function: Any, operator: str, item: Any, error: Exception) -> DslError:
    """Return what to say of a user's function that raised."""
    code = getattr(function, "__code__", None)
    span = spans.raised_at(error.__traceback__) or (spans.of_code(code) if code else None)
    if isinstance(error, FrozenError):
        return DslError(
            f"`{operator}`: the function changes its argument: {error}",
            span=span,
            item=describe(item),
            next_step='return a new value, e.g. {**meta, "x": 1} or [*files, file]',
        )
    return DslError(
        f"`{operator}`: the function raised {type(error).__name__}: {error}",
        span=span,
        item=describe(item),
    )
