"""`@workflow`: a function whose parameters are what it takes and whose body is traced."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from snakemake_executor_plugin_hpcctr.dsl import trace as tracer
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.spans import Span, here, of_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.dsl.history import Run

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Generic[P, R]):
    """A workflow function; call it inside another workflow, or run its file.

    Args:
        function: The decorated function.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__
        self.signature = inspect.signature(function)
        self.hooks: dict[str, list[Callable[[Run], object]]] = {"onComplete": [], "onError": []}

    @property
    def span(self) -> Span:
        """Where it is defined."""
        return of_code(self.function.__code__)

    def alias(self, name: str) -> Workflow[P, R]:
        """Return the same workflow under another name, to call it once more."""
        other: Workflow[P, R] = Workflow(self.function)
        other.name = name
        return other

    def onComplete(self, function: Callable[[Run], object]) -> Callable[[Run], object]:
        """Call a function when a run of this workflow has ended, well or not: `@main.onComplete`.

        It gets the `Run`: success, exit, seconds, counts, tasks.
        """
        self.hooks["onComplete"].append(function)
        return function

    def onError(self, function: Callable[[Run], object]) -> Callable[[Run], object]:
        """Call a function when a run of this workflow has failed: `@main.onError`."""
        self.hooks["onError"].append(function)
        return function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Trace it as a part of the workflow that is being traced.

        Raises:
            DslError: It is called twice, or by itself.
        """
        trace = tracer.current()
        if self.name in trace.scopes:
            raise DslError(
                f"the workflow `{self.name}` calls itself: "
                f"{' → '.join([*trace.scopes, self.name])}",
                span=here(),
                next_step="put the loop into a task, or write each round down with an alias",
            )
        trace.enter_workflow(":".join([*trace.scopes, self.name]), here())
        trace.scopes.append(self.name)
        try:
            return self.function(*args, **kwargs)
        finally:
            trace.scopes.pop()


def workflow(function: Callable[P, R]) -> Workflow[P, R]:
    """Make a workflow of a function: `@workflow`.

    The parameters of the workflow that is run (`main`, or the last one of the file) are the
    pipeline's parameters, typed and with their defaults: `--rates`. In a workflow that another
    one calls they are channels or values, and what it returns is what it emits.
    """
    return Workflow(function)
