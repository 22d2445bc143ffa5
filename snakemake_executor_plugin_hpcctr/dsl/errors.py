"""What is wrong with a pipeline, placed in the user's own code."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.dsl.spans import here, raised_at
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.dsl.spans import Span


class DslError(ConfigError):
    """A pipeline cannot be planned or run as it is written.

    Args:
        what: One sentence without a full stop.
        span: The user's code that is concerned; None for the line that is being traced.
        next_step: What the user can do.
        history: The channel's operators so far, as `describe_history` gives them; "" if no
            channel is concerned.
        item: The item that was looked at, as text; "" if there is none.
    """

    def __init__(
        self,
        what: str,
        *,
        span: Span | None = None,
        next_step: str = "",
        history: str = "",
        item: str = "",
    ) -> None:
        span = span or here()
        super().__init__(what, where=str(span) if span.file else "", next_step=next_step)
        self.span = span
        self.history = history
        self.item = item
        lines = [what]
        lines += [f"  item: {item}"] if item else []
        lines += [f"  channel: {history}"] if history else []
        self.what = "\n".join(lines)


class SymbolicUse(DslError, TypeError):  # noqa: N818 (reads as what it is)
    """A channel was used as if it were a Python value."""


@contextmanager
def users_code(what: str, span: Span | None, *, item: str = "") -> Iterator[None]:
    """Say where a function of the user's failed that is called within.

    Args:
        what: What is called, in words: `` `train`: a function ``.
        span: What is named where the traceback shows no line of the user's.
        item: What it was called for, as text.

    Raises:
        DslError: It raised.
    """
    try:
        yield
    except DslError:
        raise
    except Exception as error:
        raise DslError(
            f"{what} raised {type(error).__name__}: {error}",
            span=raised_at(error.__traceback__) or span,
            item=item,
        ) from error
