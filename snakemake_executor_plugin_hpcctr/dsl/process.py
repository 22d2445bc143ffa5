"""`class train(Process, …)`: a process as a class with sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.dsl import calls
from snakemake_executor_plugin_hpcctr.dsl.declare import env, out, path, stdin, tuple_, val
from snakemake_executor_plugin_hpcctr.dsl.definition import Definition, Reader
from snakemake_executor_plugin_hpcctr.dsl.directives import Directives, TaskView, read_directives
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.spans import here
from snakemake_executor_plugin_hpcctr.dsl.symbolic import Symbolic

if TYPE_CHECKING:
    from typing import Self, Unpack

    from snakemake_executor_plugin_hpcctr.dsl.channels import Channel


@dataclass_transform(field_specifiers=(out, path, val, env, stdin, tuple_))
class Process(Symbolic):
    """Base of all processes.

    A subclass declares inputs (`x: In[T]`), outputs (`y: Out[T] = out(…)`) and a `script`;
    directives stand in its header. Calling it in a workflow gives the channels of its outputs.
    In a task its methods see real values: `def script(self, task)`, `def when(self)`,
    `def stub(self, task)`, `def exec(self)`; a `@property` is a script variable.

    Example:
        class greet(Process, cpus=1):
            name: In[str]
            text: Out[Path] = out(path("hello.txt"))
            script = r'''
            echo "Hello, ${name}" > hello.txt
            '''
    """

    definition: ClassVar[Definition]

    if TYPE_CHECKING:
        task: TaskView

    def __init_subclass__(cls, **directives: Unpack[Directives]) -> None:
        """Read the class; the header's keywords are directives.

        Raises:
            DslError: Something is declared that cannot be.
        """
        super().__init_subclass__()
        span = here()
        given = read_directives(directives, span, cls.__name__)
        cls.definition = Reader(cls, span).definition(given)

    if not TYPE_CHECKING:

        def __init__(self, *arguments: Any, **named: Any) -> None:
            outputs = calls.call(type(self), arguments, named)
            self.__dict__.update(outputs)
            self.__dict__["_outputs"] = outputs

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            names = [emit.name for emit in type(self).definition.emits]
            raise DslError(
                f"`{type(self).__name__}` has no output `{name}`",
                span=here(),
                next_step=did_you_mean(name, names) or f"its outputs are {', '.join(names)}",
            )

    @property
    def out(self) -> Outputs:
        """All outputs, by number or name."""
        return Outputs(self.__dict__["_outputs"])

    @classmethod
    def alias(cls, name: str) -> type[Self]:
        """Return the same process under another name, to call it once more."""
        return type(name, (cls,), {"__module__": cls.__module__, "__doc__": cls.__doc__})


class Outputs(Symbolic):
    """The outputs of a call: `.out[0]`, `.out.name`."""

    def __init__(self, channels: dict[str, Channel[Any]]) -> None:
        self._channels = channels

    def __getitem__(self, index: int) -> Channel[Any]:  # type: ignore[override]  # it has elements
        try:
            return list(self._channels.values())[index]
        except IndexError:
            raise DslError(
                f"there is no output number {index}",
                span=here(),
                next_step=f"the outputs are {', '.join(self._channels)}",
            ) from None

    def __getattr__(self, name: str) -> Channel[Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._channels[name]
        except KeyError:
            raise DslError(
                f"there is no output `{name}`",
                span=here(),
                next_step=f"the outputs are {', '.join(self._channels)}",
            ) from None
