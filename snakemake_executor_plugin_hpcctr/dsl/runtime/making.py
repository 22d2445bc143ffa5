"""A task between plan and script: its inputs resolved, its files named, its script filled."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.definition import input_names
from snakemake_executor_plugin_hpcctr.dsl.directives import TaskView
from snakemake_executor_plugin_hpcctr.dsl.encoding import decode
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError, users_code
from snakemake_executor_plugin_hpcctr.dsl.inputs import check_input, view_of
from snakemake_executor_plugin_hpcctr.dsl.interpolate import as_text, fill
from snakemake_executor_plugin_hpcctr.dsl.runtime import render
from snakemake_executor_plugin_hpcctr.dsl.runtime.stage import Staging, stage
from snakemake_executor_plugin_hpcctr.dsl.spans import Span
from snakemake_executor_plugin_hpcctr.dsl.tasks import shown
from snakemake_executor_plugin_hpcctr.dsl.values import ABSENT, resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.model import Body, Call, Task
    from snakemake_executor_plugin_hpcctr.dsl.process import Process
    from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store


@dataclass(eq=False)
class Making:
    """One task of a plan, and what can be said of it before and after it runs.

    Args:
        store: The plan and what tasks have given.
        rule: Rule of its call.
        key: Its key.
        attempt: From 1.
    """

    store: Store
    rule: str
    key: str
    attempt: int = 1

    @cached_property
    def _found(self) -> tuple[Call, Task]:
        return self.store.find(self.rule, self.key)

    @property
    def call(self) -> Call:
        """The call."""
        return self._found[0]

    @property
    def task(self) -> Task:
        """The task in the plan."""
        return self._found[1]

    @property
    def title(self) -> str:
        """The task for people: `train (0.1)`."""
        return f"{self.call.name} ({self.task.tag or self.task.index})"

    @property
    def folder(self) -> Path:
        """Folder with its script and what it said, absolute."""
        return self.store.layout.folder(self.rule, self.key).absolute()

    @property
    def work(self) -> Path:
        """Folder in which it runs, absolute."""
        return self.folder / "work"

    @property
    def span(self) -> Span:
        """Where it is called."""
        place = self.call.place
        return Span(place.file, place.line, place.column, place.end_line, place.end_column)

    @cached_property
    def token(self) -> str:
        """What tells this start of the task from any other."""
        return secrets.token_hex(8)

    @cached_property
    def values(self) -> list[Any] | None:
        """Values of its inputs; None if one of them is absent."""
        found = [
            resolve(decode(value, self.store.function), self.store.results.give)
            for value in self.task.inputs
        ]
        if any(value is ABSENT for value in found):
            return None
        return [
            check_input(declared, value, self.call.name, self.span)
            for declared, value in zip(self.call.inputs, found, strict=True)
        ]

    @cached_property
    def directives(self) -> dict[str, Any]:
        """Directives of this attempt, as the plan keeps them."""
        dynamic = self.task.directives or self.call.attempts
        own = dynamic[min(self.attempt, len(dynamic)) - 1] if dynamic else {}
        return {**self.call.directives, **own}

    @cached_property
    def view(self) -> TaskView:
        """What the script knows as `task`."""
        known = {name: shown(name, value) for name, value in self.directives.items()}
        return TaskView(
            **{
                "cpus": 1,
                "ext": {},
                **known,
                "attempt": self.attempt,
                "index": self.task.index,
                "process": self.call.name,
                "exitStatus": None,
                "errorCount": 0,
                "retryCount": self.attempt - 1,
                "hash": self.key,
                "name": self.title,
                "workDir": str(self.work),
                "tag": self.task.tag,
            }
        )

    @cached_property
    def cls(self) -> type[Process]:
        """The process's class, from the pipeline's file."""
        return self.store.process(self.call)

    @cached_property
    def process(self) -> Process:
        """The process as its methods see it before its files are staged."""
        assert self.values is not None  # noqa: S101 (absent tasks are not made)
        return view_of(self.cls, self.values, self.view)

    @cached_property
    def staging(self) -> Staging:
        """Names of its files and what the script sees."""
        assert self.values is not None  # noqa: S101 (absent tasks are not made)
        return stage(self.call.inputs, self.values, self._fill_name)

    def _fill_name(self, text: str, known: dict[str, Any]) -> str:
        return fill(
            text, {*known, "task"}, lambda n: self.view if n == "task" else known[n], as_text
        )

    @cached_property
    def staged(self) -> Process:
        """The process as its script method and functions see it: files by their staged names.

        Python that runs in the head works on the files where they are.
        """
        if self.body.kind == "exec":
            return self.process
        assert self.values is not None  # noqa: S101 (absent tasks are not made)
        seen = view_of(self.cls, self.values, self.view)
        seen.__dict__.update(self.staging.values)
        return seen

    @cached_property
    def names(self) -> frozenset[str]:
        """Names that `${…}` may begin with."""
        own = self.cls.definition.names if self.call.code else frozenset[str]()
        return own | {*input_names(self.call.inputs), "task", "params"}

    def lookup(self, name: str) -> Any:
        """Return the value of a name in a script.

        Raises:
            DslError: A property of the process raised.
        """
        if name == "task":
            return self.view
        if name == "params":
            return {k: decode(v) for k, v in self.store.plan.arguments.items()}
        if name in self.staging.values and self.body.kind != "exec":
            return self.staging.values[name]
        return self.user(lambda: getattr(self.staged, name))

    def fill(self, text: str, show: Callable[[Any], str] = as_text) -> str:
        """Return a text with `${…}` filled.

        Raises:
            DslError: It names a part that does not exist.
        """
        try:
            return fill(text, self.names, self.lookup, show)
        except (AttributeError, KeyError, IndexError, TypeError) as error:
            raise DslError(
                f"`{self.call.name}`: a `${{…}}` cannot be filled: {error}", span=self.span
            ) from None

    def user(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the pipeline's file.

        Raises:
            DslError: It raised.
        """
        with users_code(f"`{self.call.name}`: a function", self.span, item=self.title):
            return function(*arguments)

    def run_exec(self) -> None:
        """Run the `exec` section, here.

        Raises:
            DslError: It raised.
        """
        name = "exec" if self.body is self.call.body else "stub"
        function = getattr(self.cls, name)
        two = function.__code__.co_argcount > 1
        self.user(function, *((self.process, self.view) if two else (self.process,)))

    @property
    def body(self) -> Body:
        """What it runs: the stub in stub runs."""
        body = self.call.body
        return body.stub if self.store.plan.stub and body.stub is not None else body

    @cached_property
    def interpreter(self) -> tuple[str, ...]:
        """Words that run its script."""
        return self._script[0]

    @cached_property
    def script(self) -> str:
        """Its script, filled."""
        return self._script[1]

    @cached_property
    def _script(self) -> tuple[tuple[str, ...], str]:
        body = self.body
        words, text = list(body.interpreter), body.text
        if body.kind == "method":
            name = "stub" if body is not self.call.body else "script"
            given = self.user(getattr(self.cls, name), self.staged, self.view)
            if not isinstance(given, str):
                raise DslError(
                    f"`{self.call.name}.{name}` returned {given!r}, not a script"[:300],
                    span=self.span,
                )
            text = _dedented(given)
            first, _, rest = text.partition("\n")
            words, text = (first[2:].split(), rest) if first.startswith("#!") else ([], text)
        interpreter = tuple(words) or tuple(self.directives.get("shell") or render.SHELL)
        bash = render.is_bash(interpreter)
        if body.kind == "script" and not body.raw:
            text = self.fill(text, lambda value: render.show(value, bash=bash))
        variables = [
            leaf.text for emit in self.call.emits for leaf in emit.leaves if leaf.kind == "env"
        ]
        return interpreter, render.script_text(text, self.staging.values, variables, bash=bash)


def _dedented(text: str) -> str:
    import textwrap  # noqa: PLC0415 (methods only)

    return textwrap.dedent(text.removeprefix("\n")).rstrip() + "\n"
