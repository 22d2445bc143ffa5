"""One round of inputs → one task: its tag, its key, and the items that its outputs will be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl import model
from snakemake_executor_plugin_hpcctr.dsl.directives import TABLE, TaskView, limited, read_directive
from snakemake_executor_plugin_hpcctr.dsl.encoding import encode
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError, users_code
from snakemake_executor_plugin_hpcctr.dsl.inputs import UNKNOWN, check_input, view_of
from snakemake_executor_plugin_hpcctr.dsl.interpolate import as_text, fill, references
from snakemake_executor_plugin_hpcctr.dsl.keys import digest, function_identity, task_key
from snakemake_executor_plugin_hpcctr.dsl.units import Duration, Memory
from snakemake_executor_plugin_hpcctr.dsl.values import (
    ABSENT,
    Promise,
    Touched,
    attach,
    is_unknown,
    may_be_absent,
    promises,
    unknowns,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.dsl.calls import CallNode
    from snakemake_executor_plugin_hpcctr.dsl.declare import Spec
    from snakemake_executor_plugin_hpcctr.dsl.definition import Definition
    from snakemake_executor_plugin_hpcctr.dsl.process import Process
    from snakemake_executor_plugin_hpcctr.dsl.trace import Trace

WILDCARDS = frozenset("*?[{")


@dataclass
class Round:
    """One task in the making."""

    number: int
    values: tuple[Any, ...]
    view: Process
    task: TaskView
    maybe: bool
    tag: str = ""
    key: str = ""


class TaskMaker:
    """Makes the tasks of one call."""

    def __init__(self, trace: Trace, call: CallNode) -> None:
        self.trace, self.call = trace, call
        self.definition: Definition = call.definition
        self.directives = trace.directives_of(call)
        self.dynamic = {n: v for n, v in self.directives.items() if callable(v)}
        self.known = {n: shown(n, v) for n, v in self.directives.items() if not callable(v)}
        self._constant_digest = digest(self._constant_part())
        self.when = getattr(call.cls, "when", None)
        self.literals = [self._literal(emit) for emit in self.definition.emits]

    def make(self, rounds: list[Any]) -> list[list[Any]]:
        """Make a task of each round; return the items of each output."""
        columns: list[list[Any]] = [[] for _ in self.definition.emits]
        for number, values in enumerate(rounds, 1):
            made = self._round(number, values)
            if made is None:
                continue
            for column, item in zip(columns, self._items(made), strict=True):
                if item is not ABSENT:
                    column.append(item)
        return columns

    def _round(self, number: int, values: tuple[Any, ...]) -> Round | None:
        checked = tuple(
            check_input(declared, value, self.call.name, self.call.span)
            for declared, value in zip(self.definition.inputs, values, strict=True)
        )
        task = self._task_view(number, 1)
        maybe = self._may_fail() or any(may_be_absent(value) for value in checked)
        made = Round(number, checked, view_of(self.call.cls, checked, task), task, maybe)
        if self.when is not None:
            try:
                if not self._user(self.when, made.view):
                    return None
            except Touched:
                made.maybe = True
        made.tag = self._tag(made)
        directives = self._dynamic(made)
        made.key = self._key(made)
        needs = {f"{p._call}/{p._key}": None for value in checked for p in promises(value)}
        self.call.tasks[made.key] = model.Task(
            index=number,
            tag=made.tag,
            inputs=[encode(value) for value in checked],
            needs=list(needs),
            directives=directives,
        )
        return made

    def _may_fail(self) -> bool:
        strategy = self.directives.get("errorStrategy", "terminate")
        return strategy == "ignore" or callable(strategy)

    def _task_view(self, number: int, attempt: int) -> TaskView:
        return TaskView(
            **{
                "cpus": 1,
                "ext": {},
                **self.known,
                "attempt": attempt,
                "index": number,
                "process": self.call.name,
                "exitStatus": None,
                "errorCount": 0,
                "retryCount": attempt - 1,
            }
        )

    def _user(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the user's code.

        Raises:
            DslError: It raised.
        """
        with users_code(f"`{self.call.name}`: a function", self.call.span):
            return function(*arguments)

    def _tag(self, made: Round) -> str:
        given = self.directives.get("tag", "")
        try:
            if callable(given):
                return str(self._user(given, made.view))
            return self.text(given, made)
        except Touched:
            return ""

    def text(self, text: str, made: Round) -> str:
        """Return a text with `${…}` filled as far as things are known.

        Raises:
            Touched: Something in it is not.
        """
        return fill(text, self.definition.names, lambda name: self.lookup(name, made), as_text)

    def lookup(self, name: str, made: Round) -> Any:
        """Return the value of an input, a script variable, `task` or `params`."""
        if name == "params":
            return self.trace.params
        if name in self.definition.variables:
            return self._user(lambda: getattr(made.view, name))
        return getattr(made.view, name)

    def _dynamic(self, made: Round) -> list[dict[str, Any]]:
        """Return the directives that are functions, for each attempt; [] if there are none."""
        wanted = {n: f for n, f in self.dynamic.items() if n not in {"tag", "errorStrategy"}}
        if not wanted:
            return []
        retries = self.directives.get("maxRetries", 1) if self._retries() else 0
        most = retries if isinstance(retries, int) else 1
        return [self._attempt(made, wanted, number) for number in range(1, most + 2)]

    def _retries(self) -> bool:
        strategy = self.directives.get("errorStrategy")
        return strategy == "retry" or callable(strategy)

    def _attempt(self, made: Round, wanted: dict[str, Any], number: int) -> dict[str, Any]:
        task = self._task_view(made.number, number)
        view = view_of(self.call.cls, made.values, task)
        task.__dict__["_view"] = view
        found = {}
        for name, function in wanted.items():
            try:
                given = self._user(function, *((view, task) if takes_two(function) else (task,)))
            except Touched as touch:
                raise DslError(
                    f"`{self.call.name}`: the directive `{name}` looks at {touch.unknown!r}, which "
                    "is not known before that task has run",
                    span=self.call.span,
                    next_step="use values that are known ahead, or a generous constant",
                ) from None
            value = read_directive(name, given, self.call.span, self.call.name)
            found[name] = limited(name, value, self.directives.get("resourceLimits", {}))
        return found

    def _constant_part(self) -> list[Any]:
        """Return what the keys of all tasks have in common."""
        body, definition = self.definition.body, self.definition
        assert body is not None  # noqa: S101 (checked at the call)
        stub = body.stub if self.trace.stub else None
        keyed = {n: self.directives.get(n) for n, d in TABLE.items() if d.keyed}
        leaves = [leaf for emit in definition.emits for leaf in emit.leaves]
        specs = [spec for found in definition.leaves.values() for spec in found]
        return [
            self.call.name,
            body.kind,
            body.text if stub is None else stub.text,
            body.interpreter,
            stub is not None,
            {n: None if callable(v) else v for n, v in keyed.items()},
            self._used_ext(body),
            [leaf.text for leaf in leaves if leaf.kind == "eval"],
            [emit.model_dump(exclude={"place"}) for emit in definition.emits],
            [declared.model_dump() for declared in definition.inputs],
            [function_identity(spec.function) for spec in specs if spec.function is not None],
            self._used_variables(body),
            self.directives.get("env", {}),
            {n: encode(v) for n, v in self.trace.params.items() if self._mentions(f"params.{n}")},
            self.trace.helpers_of(body),
        ]

    def _mentions(self, name: str) -> bool:
        return name in self.definition.mentioned

    def _used_ext(self, body: model.Body) -> dict[str, Any]:
        return {
            name: function_identity(value) if callable(value) else value
            for name, value in self.directives.get("ext", {}).items()
            if body.kind != "script" or self._mentions(f"task.ext.{name}")
        }

    def _used_variables(self, body: model.Body) -> list[Any]:
        values = [
            getattr(self.call.cls, name)
            for name in self.definition.variables
            if body.kind != "script" or self._mentions(name)
        ]
        return [
            function_identity(value.fget) if isinstance(value, property) else encode(value)
            for value in values
        ]

    def _key(self, made: Round) -> str:
        cache = self.directives.get("cache", True)
        prints = self.trace.fingerprints
        values = [prints.of(value, cache) for value in made.values]
        key = task_key(made.tag, [self._constant_digest, values, self._keyed_dynamic(made)])
        twin = 2
        unique = key
        while unique in self.call.tasks:
            unique = f"{key}~{twin}"
            twin += 1
        return unique

    def _keyed_dynamic(self, made: Round) -> dict[str, Any]:
        keyed = {n: f for n, f in self.dynamic.items() if TABLE[n].keyed}
        return self._attempt(made, keyed, 1) if keyed else {}

    def _literal(self, emit: model.Emit) -> list[bool]:
        return [
            leaf.kind == "path"
            and not leaf.function
            and (not leaf.glob or not WILDCARDS & set(_literal_text(leaf.text)))
            for leaf in emit.leaves
        ]

    def _items(self, made: Round) -> list[Any]:
        return [self._item(number, emit, made) for number, emit in enumerate(self.definition.emits)]

    def _item(self, number: int, emit: model.Emit, made: Round) -> Any:
        maybe = made.maybe or emit.optional
        specs = self.definition.leaves[emit.name]
        leaves = [
            self._leaf(number, position, leaf, specs[position], made, maybe=maybe)
            for position, leaf in enumerate(emit.leaves)
        ]
        item = tuple(leaves) if emit.tuple else leaves[0]
        if any(_of_task(leaf, self.call.name, made.key) for leaf in unknowns(item)):
            return item
        after = (Promise(self.call.name, made.key, number, maybe=maybe),)
        try:
            return attach(item, after)
        except TypeError:
            return Promise(self.call.name, made.key, number, maybe=maybe, one=True, kind=object)

    def _leaf(
        self, emit: int, position: int, leaf: model.Leaf, spec: Spec, made: Round, *, maybe: bool
    ) -> Any:
        def promise(
            name: str | None = None, kind: type | None = None, *, one: bool = False
        ) -> Promise:
            options = {} if kind is None else {"kind": kind}
            return Promise(
                self.call.name, made.key, emit, position, name=name, one=one, maybe=maybe, **options
            )

        if leaf.kind == "val":
            try:
                value = self._val(leaf, spec, made)
            except Touched:
                value = UNKNOWN
            return promise(kind=object, one=True) if _is_part(value) else value
        if leaf.kind != "path":
            return promise(kind=str, one=True)
        passed = self._passed_on(leaf, made)
        if passed is not None:
            return promise() if _is_part(passed) else passed
        if self.literals[emit][position]:
            try:
                return promise(self.text(leaf.text, made))
            except Touched:
                return promise(one=True)
        return promise(one=leaf.arity == (1, 1))

    def _val(self, leaf: model.Leaf, spec: Spec, made: Round) -> Any:
        if spec.function is not None:
            return self._user(spec.function, made.view)
        if leaf.text in self.definition.names:
            self._check_settled(leaf.text)
            return self.lookup(leaf.text, made)
        if not any(references(leaf.text)):
            return leaf.text
        return self.text(leaf.text, made)

    def _check_settled(self, name: str) -> None:
        """Touch a variable that a method of the task may set when it runs."""
        body = self.definition.body
        settled = body is None or body.kind == "script" or name not in self.definition.variables
        if not settled and not isinstance(getattr(self.call.cls, name), property):
            raise Touched(Promise(self.call.name, name, 0))

    def _passed_on(self, leaf: model.Leaf, made: Round) -> Any:
        """Return the input that an output consists of, `path("${reads}")`; None if it is none."""
        found = list(references(leaf.text))
        if len(found) != 1 or found[0].text != leaf.text or found[0].steps:
            return None
        staged = {declared.name for declared in _paths(list(self.definition.inputs))}
        return self.lookup(found[0].name, made) if found[0].name in staged else None


def _paths(inputs: list[model.Input]) -> list[model.Input]:
    return [
        item
        for declared in inputs
        for item in (_paths(declared.parts) if declared.parts else [declared])
        if item.kind == "path"
    ]


def _literal_text(text: str) -> str:
    """Return a pattern without its references: their braces are no wildcards."""
    for reference in references(text):
        text = text.replace(reference.text, "")
    return text


def _is_part(value: Any) -> bool:
    """Whether a value is, or holds, an element that is not known yet."""
    return any(leaf is UNKNOWN for leaf in unknowns(value))


def _of_task(leaf: Any, call: str, key: str) -> bool:
    return is_unknown(leaf) and any(p._call == call and p._key == key for p in promises(leaf))


def takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function takes the process object and the task (a method), not the task alone."""
    code = getattr(function, "__code__", None)
    return code is not None and code.co_argcount > 1


def shown(name: str, value: Any) -> Any:
    """Return a directive as `task.NAME` gives it: memory and time with their units."""
    if name in {"memory", "disk"}:
        return Memory(value)
    return Duration(value) if name == "time" else value
