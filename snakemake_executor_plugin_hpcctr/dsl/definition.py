"""What a process's class declares: read once, when Python has made the class."""

from __future__ import annotations

import ast
import inspect
import keyword
import sys
import textwrap
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.dsl.declare import Each, In, Out, OutSpec, Spec
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.interpolate import references
from snakemake_executor_plugin_hpcctr.dsl.keys import function_identity
from snakemake_executor_plugin_hpcctr.dsl.model import Body, Emit, Input, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.dsl.spans import Span

RESERVED = frozenset({"task", "params", "out", "script", "stub", "exec", "when", "template"})
PATHS = frozenset({"Path", "PosixPath", "PurePath"})
SECTIONS = ("script", "template", "exec")
#: Attributes of a class that are no script variables.
OWN = frozenset({"script", "stub", "exec", "when", "template", "alias", "definition"})


class raw(str):  # noqa: N801 (reads as a marker before a text)
    """A script in which hpcctr replaces nothing; inputs are shell variables only."""

    __slots__ = ()


@dataclass(frozen=True)
class Definition:
    """What a process's class declares, read once.

    Args:
        name: The class's name.
        span: Where it stands.
        inputs: In the order of declaration, inherited ones first.
        emits: Outputs, likewise.
        leaves: Specifications of each output's elements (for their functions).
        body: What a task runs.
        directives: As `directives.read_directives` returns them; functions stay functions.
        variables: Names of script variables: properties and plain class attributes.
        origin: Name of the process of which this is an alias; its own name if it is none.
        mentioned: Names that the script uses, `task.ext.…` and `params.…` in full.
    """

    name: str
    span: Span
    inputs: tuple[Input, ...] = ()
    emits: tuple[Emit, ...] = ()
    leaves: dict[str, tuple[Spec, ...]] = field(default_factory=dict)
    body: Body | None = None
    directives: dict[str, Any] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    origin: str = ""
    mentioned: frozenset[str] = frozenset()

    @cached_property
    def names(self) -> frozenset[str]:
        """Names that `${…}` may begin with."""
        return frozenset({*input_names(self.inputs), *self.variables, "task", "params"} - {""})


def input_names(inputs: tuple[Input, ...] | list[Input]) -> Iterator[str]:
    """Yield the names that a script sees: of inputs, and of the elements of tuples."""
    for declared in inputs:
        if declared.name:
            yield declared.name
        yield from input_names(declared.parts)


class Reader:
    """Reads one class.

    Args:
        cls: The class.
        span: Where it stands.
    """

    def __init__(self, cls: type, span: Span) -> None:
        self.cls, self.span = cls, span
        base = cls.__mro__[1]
        self.base: Definition | None = getattr(base, "definition", None)

    def definition(self, given: dict[str, Any]) -> Definition:
        """Return what the class declares, on top of its base.

        Args:
            given: Its directives, checked.

        Raises:
            DslError: Something is declared that cannot be.
        """
        base = self.base or Definition("Process", self.span)
        inputs = {declared.name: declared for declared in base.inputs}
        emits = {emit.name: emit for emit in base.emits}
        leaves = dict(base.leaves)
        self._read_annotations(inputs, emits, leaves)
        self._check_clashes(inputs, emits)
        body = self._body() or base.body
        ext = {**base.directives.get("ext", {}), **given.get("ext", {})}
        directives = {**base.directives, **given, **({"ext": ext} if ext else {})}
        found = Definition(
            name=self.cls.__name__,
            span=self.span,
            inputs=tuple(inputs.values()),
            emits=tuple(emits.values()),
            leaves=leaves,
            body=body,
            directives=directives,
            variables=self._variables({*inputs, *emits}),
            origin=base.origin if self._is_alias() else self.cls.__name__,
            mentioned=_mentioned(body),
        )
        self._check_script(found)
        return found

    def _read_annotations(
        self, inputs: dict[str, Input], emits: dict[str, Emit], leaves: dict[str, tuple[Spec, ...]]
    ) -> None:
        """Add what the class's own annotations declare."""
        for name, annotation in inspect.get_annotations(self.cls).items():
            kind, text = _annotation(annotation, self.cls)
            if kind in {"In", "Each"}:
                self._check_name(name)
                inputs[name] = self._input(name, text, each=kind == "Each")
                setattr(self.cls, name, In(inputs[name]))
            elif kind == "Out":
                self._check_name(name)
                emits[name], leaves[name] = self._output(name, text)
                setattr(self.cls, name, Out())

    def _is_alias(self) -> bool:
        own = {name for name in self.cls.__dict__ if not name.startswith("__")}
        return self.base is not None and self.base.body is not None and not own - {"definition"}

    def _check_name(self, name: str) -> None:
        if name in RESERVED or keyword.iskeyword(name) or name.startswith("_"):
            raise self._error(f"an input or output cannot be named `{name}`", "choose another name")

    def _check_clashes(self, inputs: dict[str, Input], emits: dict[str, Emit]) -> None:
        names = list(input_names(list(inputs.values())))
        names += [name for name in inputs if name not in names]
        both = [name for name in {*names} if names.count(name) > 1 or name in emits]
        if both:
            raise self._error(
                f"the name `{min(both)}` is declared twice", "give each input and output its own"
            )

    def _input(self, name: str, text: str, *, each: bool) -> Input:
        spec = self.cls.__dict__.get(name)
        if spec is None or not isinstance(spec, Spec):
            if name in self.cls.__dict__:
                raise self._error(
                    f"the input `{name}` cannot have the value {spec!r}",
                    "leave it out, or say how it is taken: path(…), val(), env(…), stdin()",
                )
            spec = _default_spec(text, vars(sys.modules[self.cls.__module__]))
        if spec.kind == "val" and spec.text:
            raise self._error(f"the input `{name}`: `val()` takes nothing here", "write `val()`")
        declared = spec.as_input(name, each=each)
        if each and declared.kind == "tuple":
            raise self._error(f"the input `{name}`: Each cannot be a tuple", "use `combine`")
        return declared

    def _output(self, name: str, text: str) -> tuple[Emit, tuple[Spec, ...]]:
        spec = self.cls.__dict__.get(name)
        if not isinstance(spec, OutSpec) or not spec.leaves:
            raise self._error(
                f"the output `{name}` does not say where it comes from",
                'write `= out(path("…"))`, `out(val("…"))`, `out(stdout())` …',
            )
        bad = next((leaf for leaf in spec.leaves if not isinstance(leaf, Spec)), None)
        if bad is not None or any(leaf.kind in {"tuple", "stdin"} for leaf in spec.leaves):
            raise self._error(
                f"the output `{name}` has an element that is none of val, path, env, stdout, eval_",
                'write e.g. out(val("id"), path("*.bam"))',
            )
        self._check_leaves(name, spec)
        emit = Emit(
            name=name,
            leaves=[leaf.as_leaf() for leaf in spec.leaves],
            tuple=len(spec.leaves) > 1 or text.startswith("tuple["),
            optional=spec.optional,
            topic=spec.topic,
            place=place_of(self.span),
        )
        return emit, spec.leaves

    def _check_leaves(self, name: str, spec: OutSpec) -> None:
        for leaf in spec.leaves:
            if leaf.kind == "path" and leaf.text.startswith("/"):
                raise self._error(
                    f"the output `{name}` has an absolute path, {leaf.text!r}",
                    "write it relative to the task's folder; publishDir puts it elsewhere",
                )

    def _body(self) -> Body | None:
        found = [name for name in SECTIONS if name in self.cls.__dict__]
        if len(found) > 1:
            raise self._error(f"it has both `{found[0]}` and `{found[1]}`", "keep one of them")
        stub = self._section(self.cls.__dict__["stub"]) if "stub" in self.cls.__dict__ else None
        if not found:
            return (
                None
                if stub is None or not self.base or not self.base.body
                else (self.base.body.model_copy(update={"stub": stub}))
            )
        section = self.cls.__dict__[found[0]]
        if found[0] == "exec":
            body = Body(kind="exec", text=digest_text(section))
        elif found[0] == "template":
            body = self._section(self._template(section))
        else:
            body = self._section(section)
        return body.model_copy(update={"stub": stub})

    def _template(self, name: str) -> str:
        file = Path(self.span.file).parent / "templates" / name
        try:
            return file.read_text(encoding="utf-8")
        except OSError as error:
            raise self._error(
                f"the template `{name}` cannot be read: {error.strerror}",
                f"templates are looked up in {file.parent}",
            ) from None

    def _section(self, section: Any) -> Body:
        if callable(section):
            return Body(kind="method", text=digest_text(section))
        if not isinstance(section, str):
            raise self._error(
                f"a script is text or a method, not {type(section).__name__}",
                'write script = r"""…""" or def script(self, task)',
            )
        text = textwrap.dedent(section.removeprefix("\n")).rstrip() + "\n"
        first, _, rest = text.partition("\n")
        interpreter = first[2:].split() if first.startswith("#!") else []
        return Body(
            kind="script",
            text=rest if interpreter else text,
            raw=isinstance(section, raw),
            interpreter=interpreter,
        )

    def _variables(self, declared: set[str]) -> tuple[str, ...]:
        found = []
        for cls in reversed(self.cls.__mro__):
            if cls is object or cls.__module__.startswith(__package__ or "?"):
                continue
            for name, value in cls.__dict__.items():
                plain_value = not callable(value) and not isinstance(
                    value, (classmethod, staticmethod)
                )
                hidden = name in OWN or name in declared or name.startswith("_")
                if not hidden and (isinstance(value, property) or plain_value):
                    found.append(name)
        return tuple(dict.fromkeys(found))

    def _check_script(self, found: Definition) -> None:
        """Refuse `${word}` that was probably meant to be a declared name."""
        body = found.body
        if body is None or body.kind != "script" or body.raw:
            return
        for reference in references(body.text):
            name = reference.name
            if name in found.names or name.isupper() or assigned(name, body.text):
                continue
            near = did_you_mean(name, found.names)
            if near:
                raise self._error(
                    f"the script names `{reference.text}`, which is not declared", near
                )

    def _error(self, what: str, next_step: str) -> DslError:
        return DslError(f"`{self.cls.__name__}`: {what}", span=self.span, next_step=next_step)


def assigned(name: str, script: str) -> bool:
    """Whether a bash script gives a variable its value."""
    words = (f"{name}=", f"{name}+=", f"for {name} ", f"read {name}", f"local {name}")
    return any(word in script for word in words) or f" {name}" in "".join(
        line for line in script.splitlines() if "read " in line or "declare " in line
    )


def place_of(span: Span) -> Place:
    """Return a span as the plan writes it."""
    return Place(
        file=span.file,
        line=span.line,
        column=span.column,
        end_line=span.end_line,
        end_column=span.end_column,
    )


def digest_text(section: Any) -> str:
    """Return what a method's source is in keys: its identity, as text."""
    return repr(function_identity(section))


def _mentioned(body: Body | None) -> frozenset[str]:
    if body is None or body.kind != "script":
        return frozenset()
    return frozenset(
        f"{reference.name}.{reference.steps[0][1]}.{reference.steps[1][1]}"
        if reference.name == "task" and len(reference.steps) > 1
        else f"params.{reference.steps[0][1]}"
        if reference.name == "params" and reference.steps
        else reference.name
        for reference in references(body.text)
    )


def _annotation(annotation: Any, cls: type) -> tuple[str, str]:
    """Return the form of an annotation (`In`, `Each`, `Out`) and the text of its argument."""
    text = annotation if isinstance(annotation, str) else _unparsed(annotation)
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return "", ""
    if not isinstance(node, ast.Subscript):
        return "", ""
    owner = node.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    module = sys.modules.get(cls.__module__)
    meant = getattr(module, name, None)
    form = next((kind.__name__ for kind in (In, Each, Out) if meant is kind), name)
    return form, ast.unparse(node.slice)


def _unparsed(annotation: Any) -> str:
    origin = getattr(annotation, "__origin__", None)
    if origin not in {In, Each, Out}:
        return repr(annotation)
    inner = ", ".join(map(_type_text, annotation.__args__))
    return f"{origin.__name__}[{inner}]"


def _default_spec(text: str, names: dict[str, Any]) -> Spec:
    """Return how an input is taken whose declaration names its type only."""
    return _spec_of(ast.parse(text, mode="eval").body, names)


def _spec_of(node: ast.expr, names: dict[str, Any]) -> Spec:
    if isinstance(node, ast.BinOp):  # Path | None
        return _optional(_spec_of(node.left, names))
    if isinstance(node, ast.Subscript):
        word = _word(node.value).lower()
        if word == "optional":
            return _optional(_spec_of(node.slice, names))
        if word == "tuple":
            elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return _tuple([_spec_of(element, names) for element in elements])
        files = word in {"list", "sequence"} and _word(node.slice) in PATHS
        return Spec("path") if files else Spec("val")
    if _word(node) in PATHS:
        return Spec("path")
    return _named_tuple(names.get(_word(node))) or Spec("val")


def _tuple(parts: list[Spec]) -> Spec:
    return Spec("tuple", parts={f"_{number}": part for number, part in enumerate(parts)})


def _optional(spec: Spec) -> Spec:
    if spec.kind == "path":
        spec.options["optional"] = True
    return spec


def _named_tuple(kind: Any) -> Spec | None:
    """Return the fields of a NamedTuple type that holds files; None for any other type."""
    if not (isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return None
    names = vars(sys.modules[kind.__module__])
    fields = inspect.get_annotations(kind)
    texts = [f if isinstance(f, str) else _type_text(f) for f in fields.values()]
    return _tuple([_default_spec(text, names) for text in texts])


def _type_text(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else repr(kind)


def _word(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
