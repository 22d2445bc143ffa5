"""What the planner needs to know of an operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

#: What `Operator.one` returns for an item that yields nothing.
DROP = object()


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator with its options bound: a pure function from items to items.

    Neither function knows of plans. They get items whose leaves may be unknown (`values`), may
    pack and pass those on, ask `values.is_sequence` (never `isinstance`) whether an item is a
    list, and otherwise treat every leaf as a value: a look at an unknown one raises `Touched`,
    and the planner does the rest.

    Args:
        name: As the user writes it.
        run: Takes the items of each source, returns those of the result. Operators that give a
            value return one item, or none for an empty value.
        one: For operators that treat items one by one: item → item, or DROP. Then `run` is
            not called.
        touched: What to do if a function looks at an unknown leaf: `manifest` keeps the
            function and applies it when a consumer's task is made (only where the number of
            items does not depend on it: with `one`, and for operators that give a value);
            `barrier` waits for the tasks, then plans on.
        absent: What to do if an item may turn out to be none: `pass` treats it as an item (its
            results are then absent, too); `manifest` and `barrier` as above.
        functions: The user's functions, for their identity in keys.
        notes: Sentences for the user, which `run` adds.
    """

    name: str
    run: Callable[..., list[Any]] = field(default=lambda *_sources: [])
    one: Callable[[Any], Any] | None = None
    touched: Literal["manifest", "barrier"] = "barrier"
    absent: Literal["pass", "manifest", "barrier"] = "barrier"
    functions: tuple[Any, ...] = ()
    notes: list[str] = field(default_factory=list)
