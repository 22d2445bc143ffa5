"""Items of channels: known values, and values that a task will give.

An item is a tree of tuples, lists and dicts; its leaves are *known* (any Python value) or
*unknown*: a `Promise` (one output of a task that may not have run yet) or a `Lazy` (a function
that waits for promises). Unknown leaves may be packed, unpacked and passed on; looking at one
raises `Touched`, and the planner then knows that the operator depends on content.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import TypeIs


class Touched(BaseException):
    """A function looked at a value that only a task's run can give."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__()
        self.unknown = unknown


def _touch(self: Any, *_: Any, **__: Any) -> NoReturn:
    raise Touched(self)


class Unknown:
    """Base of leaves that have no value yet; every look at one raises `Touched`.

    Our own code asks `is_unknown` and uses the names with an underscore.
    """

    __slots__ = ("_maybe", "_one")
    _maybe: bool  # whether it may turn out absent
    _one: bool  # whether it is known to be one value, not a list

    # `isinstance(promise, list)` in a user's function must not answer before the task has run.
    def _get_class(self) -> type:
        if self._one and type(self) is Promise and self._kind is not object:
            return self._kind
        raise Touched(self)

    __class__ = property(_get_class)  # isinstance() asks it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # copy, pickle and inspect look for methods of their own
        raise Touched(self)

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _touch
    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __call__ = _touch
    __str__ = __format__ = __int__ = __float__ = __index__ = __fspath__ = _touch
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _touch
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _touch
    __pow__ = __neg__ = __abs__ = __or__ = __ror__ = __and__ = __rand__ = _touch
    __hash__ = _touch  # a key that is not known yet


class Promise(Unknown):
    """One value that a task will give.

    Args:
        call: Qualified name of the process call.
        key: The task's key.
        emit: Number of the output, from 0.
        leaf: Number of the element within the output's tuple, from 0.
        name: The file's name where it is known ahead; `.name`, `.stem`, `.suffix` then work.
        one: Whether it is known to be one value and not a list of files.
        maybe: Whether it may be absent (optional output, ignored failure).
        kind: The value's type; object if that is not known.
    """

    __slots__ = ("_call", "_emit", "_key", "_kind", "_leaf", "_name")

    def __init__(
        self,
        call: str,
        key: str,
        emit: int,
        leaf: int = 0,
        *,
        name: str | None = None,
        one: bool = False,
        maybe: bool = False,
        kind: type = Path,
    ) -> None:
        self._call, self._key, self._emit, self._leaf = call, key, emit, leaf
        self._kind = kind
        self._name, self._one, self._maybe = name, one or name is not None, maybe

    @property
    def name(self) -> str:
        """The file's name, if its declaration has no wildcard."""
        return self._known().name

    @property
    def stem(self) -> str:
        """The file's name without its last suffix, if it is known."""
        return self._known().stem

    @property
    def suffix(self) -> str:
        """The file's last suffix, if it is known."""
        return self._known().suffix

    @property
    def suffixes(self) -> list[str]:
        """The file's suffixes, if they are known."""
        return self._known().suffixes

    def _known(self) -> PurePath:
        if self._name is None:
            raise Touched(self)
        return PurePath(self._name)

    def __repr__(self) -> str:
        what = self._name or f"output {self._emit}.{self._leaf}"
        return f"<{what} of {self._call} {self._key}>"


class Lazy(Unknown):
    """A function that waits for the values of its arguments.

    Args:
        node: Id of the operator whose function it is.
        apply: Takes the arguments' real values; returns the value, or ABSENT.
        arguments: Items, with unknown leaves.
        maybe: Whether the result may be absent.
    """

    __slots__ = ("_apply", "_arguments", "_node")

    def __init__(
        self,
        node: str,
        apply: Callable[[list[Any]], Any],
        arguments: tuple[Any, ...],
        *,
        maybe: bool,
    ) -> None:
        self._node, self._apply, self._arguments = node, apply, arguments
        self._maybe, self._one = maybe, False

    def __repr__(self) -> str:
        return f"<{self._node} of {len(self._arguments)} items>"


class _Absent:
    def __repr__(self) -> str:
        return "absent"


#: What a promise becomes whose task gave nothing.
ABSENT = _Absent()


def is_unknown(value: object) -> TypeIs[Promise | Lazy]:
    """Whether a value is an unknown leaf; never touches it."""
    return type(value) is Promise or type(value) is Lazy


def is_sequence(value: object) -> bool:
    """Whether a value is a tuple or a list.

    Raises:
        Touched: A promise that may turn out to be one file or several.
    """
    kind = type(value)
    if kind is Promise or kind is Lazy:
        if value._one:  # type: ignore[attr-defined]
            return False
        raise Touched(value)  # type: ignore[arg-type]
    return isinstance(value, (tuple, list))


class _KnownText(str):  # noqa: SLOT000 (it has an attribute, as the others)
    _after: tuple[Promise | Lazy, ...]


class _KnownInt(int):
    _after: tuple[Promise | Lazy, ...]


class _KnownFloat(float):
    _after: tuple[Promise | Lazy, ...]


class _KnownPath(type(Path())):  # type: ignore[misc]  # PosixPath, by its public name
    _after: tuple[Promise | Lazy, ...]


CARRIERS: dict[type, type] = {
    str: _KnownText,
    int: _KnownInt,
    float: _KnownFloat,
    type(Path()): _KnownPath,
}
KNOWN = frozenset(CARRIERS.values())


def attach(value: Any, after: tuple[Promise | Lazy, ...]) -> Any:
    """Return a known item that remembers which unknown ones it was made from.

    Its consumers wait for those, as they would in Nextflow, and it is absent if one of them is.

    Raises:
        TypeError: Nothing in the item can carry that (True, None, an empty list …).
    """
    carrier = CARRIERS.get(type(value))
    if carrier is not None:
        carried = carrier(value)
        carried._after = after
        return carried
    if isinstance(value, (tuple, list)):
        return _rebuilt(value, _attach_first(list(value), after))
    if isinstance(value, dict):
        return FrozenDict(zip(value, _attach_first(list(value.values()), after), strict=True))
    raise TypeError(type(value).__name__)


def _attach_first(parts: list[Any], after: tuple[Promise | Lazy, ...]) -> list[Any]:
    for number, part in enumerate(parts):
        try:
            parts[number] = attach(part, after)
        except TypeError:
            continue
        return parts
    raise TypeError("no part")


def unknowns(value: object) -> Iterator[Promise | Lazy]:
    """Yield the unknown leaves of an item, from left to right, and those it was made from."""
    if is_unknown(value):
        yield value
    elif type(value) in KNOWN:
        yield from getattr(value, "_after", ())
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from unknowns(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from unknowns(part)


def promises(value: object) -> Iterator[Promise]:
    """Yield the promises that an item waits for, those behind functions included."""
    for leaf in unknowns(value):
        if type(leaf) is Promise:
            yield leaf
        elif type(leaf) is Lazy:
            for argument in leaf._arguments:
                yield from promises(argument)


def may_be_absent(value: object) -> bool:
    """Whether an item may turn out to be none at all."""
    return any(leaf._maybe for leaf in unknowns(value))


def resolve(value: Any, give: Callable[[Promise], Any]) -> Any:
    """Return an item with every unknown leaf replaced by its value.

    Args:
        value: The item.
        give: Returns what a promise became; ABSENT for nothing.

    Returns:
        The item, frozen, or ABSENT if one of its leaves is absent.
    """
    if type(value) is Promise:
        return give(value)
    if type(value) is Lazy:
        arguments = [resolve(argument, give) for argument in value._arguments]
        return freeze(value._apply([a for a in arguments if a is not ABSENT]))
    if type(value) in KNOWN:
        after = [resolve(leaf, give) for leaf in unknowns(value)]
        return ABSENT if any(leaf is ABSENT for leaf in after) else plain(value)
    if isinstance(value, (tuple, list)):
        parts = [resolve(part, give) for part in value]
        return ABSENT if any(p is ABSENT for p in parts) else _rebuilt(value, parts)
    if isinstance(value, dict):
        pairs = {key: resolve(part, give) for key, part in value.items()}
        return ABSENT if any(p is ABSENT for p in pairs.values()) else FrozenDict(pairs)
    return value


def plain(value: Any) -> Any:
    """Return a known leaf without what it remembers."""
    base = next(base for base, carrier in CARRIERS.items() if carrier is type(value))
    return base(value)


def _rebuilt(like: tuple[Any, ...] | list[Any], parts: list[Any]) -> Any:
    if isinstance(like, list):
        return FrozenList(parts)
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


class FrozenError(TypeError):
    """A function tried to change an item."""


def _refuse(self: object, *_: Any, **__: Any) -> NoReturn:
    kind = "dict" if isinstance(self, dict) else "list"
    raise FrozenError(f"a {kind} that belongs to a channel cannot be changed")


class FrozenList(list[Any]):
    """A list that other consumers of a channel see, too."""

    __slots__ = ()
    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # it cannot change, so it may be a key
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenList, (list(self),))


class FrozenDict(dict[Any, Any]):
    """A dict that other consumers of a channel see, too."""

    __slots__ = ()
    update = pop = popitem = clear = setdefault = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # it cannot change, so it may be a key
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenDict, (dict(self),))


PLAIN = frozenset({str, int, float, bool, type(None), Promise, Lazy, FrozenList, FrozenDict})


def freeze(value: Any) -> Any:
    """Return a value in which nothing can be changed in place: lists and dicts become frozen.

    Frozen lists and dicts are hashable, equal to plain ones, and may be keys.
    """
    if type(value) in PLAIN:
        return value
    if type(value) is tuple:
        return tuple(freeze(part) for part in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(freeze(part) for part in value))
    if isinstance(value, list):
        return FrozenList(freeze(part) for part in value)
    if isinstance(value, dict):
        return FrozenDict((key, freeze(part)) for key, part in value.items())
    return value


def describe(value: object, limit: int = 200) -> str:
    """Return an item as text for a message, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
