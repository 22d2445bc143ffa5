"""Types that the user's code declares, for parameters and for columns of samplesheets."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.dsl.spans import Span


def type_hints(owner: Any, span: Span | None = None) -> dict[str, Any]:
    """Return the types of a function's parameters or of a class's fields.

    `Path` is known even where it is imported for type checkers only.

    Raises:
        DslError: A name in them is not known when the file is run.
    """
    missing: str | None = None
    for known in (None, {"Path": Path}):
        try:
            return typing.get_type_hints(owner, localns=known)
        except NameError as error:
            missing = error.name
    raise DslError(
        f"`{owner.__name__}`: the type `{missing}` is not known when the file is run",
        span=span,
        next_step="import it at the top of the file, not below `if TYPE_CHECKING:`",
    )


def to_number(value: Any, kind: type[int | float]) -> int | float:
    """Return a number of a type; nothing is cut off.

    Raises:
        ValueError, TypeError: It is none.
    """
    if isinstance(value, bool) or (kind is int and isinstance(value, float) and value % 1):
        raise ValueError(value)
    return kind(value)
