"""What stands in a process's class: inputs, outputs, and how each is taken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.model import Input, Leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from snakemake_executor_plugin_hpcctr.dsl.channels import Channel

T = TypeVar("T")
ARITY = re.compile(r"(\d+)(?:\.\.(\d+|\*))?")


class In(Generic[T]):
    """An input: a call gives it a channel or a plain value, methods of a task see the value.

    Without a specification, `In[Path]` and `In[list[Path]]` are staged as files, `In[tuple[…]]`
    element by element, and everything else is a value.
    """

    each = False

    def __init__(self, spec: Input) -> None:
        self.spec = spec

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> T: ...
        def __set__(self, instance: object, value: T | Channel[T]) -> None: ...


class Each(Generic[T]):
    """An input that repeats the process: the task runs once for every element.

    A call gives it a list or a channel; the process runs for the product of what the other
    inputs give and of these elements.
    """

    each = True

    def __init__(self, spec: Input) -> None:
        self.spec = spec

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> T: ...
        def __set__(self, instance: object, value: Sequence[T] | Channel[T]) -> None: ...


class Out(Generic[T]):
    """An output: an attribute of a call, a channel of what its tasks give."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: object, owner: type) -> Channel[T]: ...
        def __get__(self, instance: object, owner: type) -> Any: ...


class Spec:
    """How one input is taken, or one element of an output is found.

    Args:
        kind: As in `model.Input` and `model.Leaf`; `tuple` for inputs only.
        text: What was given first: a name, pattern or command.
        function: What was given in its place, called with the task.
        options: As keywords of `model.Input` or `model.Leaf`.
        parts: Elements of a tuple, with their names.
    """

    def __init__(
        self,
        kind: str,
        text: str = "",
        *,
        function: Callable[..., Any] | None = None,
        parts: dict[str, Spec] | None = None,
        **options: Any,
    ) -> None:
        self.kind, self.text, self.function, self.parts = kind, text, function, parts or {}
        self.options = {name: value for name, value in options.items() if value is not None}

    def as_input(self, name: str, *, each: bool = False) -> Input:
        """Return the declared input that this specification makes of a name."""
        fields: dict[str, Any] = {"name": name, "kind": self.kind, "each": each}
        if self.kind == "path":
            fields["stage_as"] = self.text
        if self.kind == "env":
            fields["variable"] = self.text
        if "optional" in self.options:
            fields["optional"] = True
        if "arity" in self.options:
            fields["arity"] = parse_arity(self.options["arity"])
        fields["parts"] = [
            part.as_input("" if key.startswith("_") else key) for key, part in self.parts.items()
        ]
        return Input(**fields)

    def as_leaf(self) -> Leaf:
        """Return the element of an output that this specification makes."""
        options = dict(self.options)
        if "arity" in options:
            options["arity"] = parse_arity(options["arity"])
        return Leaf(
            kind=self.kind,  # pydantic checks it
            text=self.text,
            function=self.function is not None,
            **options,
        )


class OutSpec:
    """What `out(…)` was given."""

    def __init__(self, leaves: tuple[Spec, ...], *, optional: bool, topic: str) -> None:
        self.leaves, self.optional, self.topic = leaves, optional, topic


def parse_arity(text: str | int) -> tuple[int, int | None]:
    """Read `'1'`, `'2'`, `'1..*'` or `'0..1'`; return the smallest and largest number.

    Raises:
        DslError: Another form.
    """
    found = ARITY.fullmatch(str(text))
    if found is None:
        raise DslError(f"an arity cannot be {text!r}", next_step="write '1', '2', '0..1' or '1..*'")
    least, most = found.groups()
    if most == "*":
        return int(least), None
    return int(least), int(most or least)


def val(text: str | Callable[..., Any] = "") -> Any:
    """Take a value: for an input as it is; for an output an input's name, `${…}` text or function.

    Args:
        text: Of an output: the name of an input or script variable, text with `${…}`, or a
            function that gets the task's process object.
    """
    return _text_or_function("val", text)


def path(
    text: str | Callable[..., Any] = "",
    *,
    arity: str | int | None = None,
    includeInputs: bool | None = None,
    hidden: bool | None = None,
    followLinks: bool | None = None,
    glob: bool | None = None,
    type: Literal["file", "dir", "any"] | None = None,  # noqa: A002 (Nextflow's name)
    maxDepth: int | None = None,
) -> Any:
    """Take files: for an input, `text` names them in the task's folder; for an output it is a glob.

    Args:
        text: Of an input: a name, or a pattern with `*` and `?` that number the files. Of an
            output: a glob below the task's folder; `*` does not cross `/`, `**` does.
        arity: How many files: `'1'`, `'2'`, `'1..*'`, `'0..1'`.
        includeInputs: Whether a glob also matches staged inputs.
        hidden: Whether `*` matches names that begin with a dot.
        followLinks: Whether `**` goes through links to folders.
        glob: False takes the text as a plain name.
        type: What a glob matches; `any`, or `file` if it has `**`.
        maxDepth: How many folders deep `**` looks.
    """
    return _text_or_function(
        "path",
        text,
        arity=arity,
        include_inputs=includeInputs,
        hidden=hidden,
        follow_links=followLinks,
        glob=glob,
        type=type,
        max_depth=maxDepth,
    )


def env(name: str) -> Any:
    """Take an environment variable: exported for an input, read at the end for an output."""
    return Spec("env", name)


def stdin() -> Any:
    """Give an input to the script's standard input."""
    return Spec("stdin")


def stdout() -> Any:
    """Take what the script printed."""
    return Spec("stdout")


def eval_(command: str) -> Any:
    """Take what a command prints that runs in the task's folder after the script."""
    return Spec("eval", command)


def tuple_(**parts: Any) -> Any:
    """Take a tuple, each element in its own way and under its own name.

    Example:
        `sample: In[tuple[str, list[Path]]] = tuple_(id=val(), reads=path("r?.fq"))`
    """
    return Spec("tuple", parts=parts)


def out(
    *leaves: Any,
    optional: bool = False,
    topic: str = "",
    init: Literal[False] = False,  # noqa: ARG001 (type checkers look for it)
) -> Any:
    """Declare an output: one element, or several for a tuple.

    Args:
        leaves: `val`, `path`, `stdout`, `env` or `eval_`.
        optional: Whether the task may end without it; then there is no item.
        topic: A topic that its items feed.
        init: Tells type checkers that a call takes no argument for it.
    """
    return OutSpec(leaves, optional=optional, topic=topic)


def _text_or_function(kind: str, text: str | Callable[..., Any], **options: Any) -> Spec:
    if callable(text):
        return Spec(kind, function=text, **options)
    return Spec(kind, text, **options)
