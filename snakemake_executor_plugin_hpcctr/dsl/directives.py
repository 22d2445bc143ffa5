"""Directives of a process: names, types and units as Nextflow has them, checked one by one.

A directive is a value, or (where the table allows it) a function of the task that is called
for each task and attempt. Values are kept in the plan as JSON: memory in bytes, time in ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.units import Duration, Memory

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.dsl.spans import Span

V = TypeVar("V")


class TaskView:
    """What functions and scripts know of the task, as `task`.

    Attributes:
        attempt: From 1.
        index: Number of the task within its process, from 1.
        process: Qualified name of the process.
        exitStatus: Exit code of the attempt that failed; None before.
        errorCount: Failures of the whole process in this run.
        retryCount: Failures of this task.
        ext: The process's own settings.
    """

    attempt: int
    index: int
    process: str
    exitStatus: int | None
    errorCount: int
    retryCount: int
    ext: Mapping[str, Any]
    cpus: int
    memory: Memory
    time: Duration
    queue: str
    accelerator: int
    container: str
    tag: str

    def __init__(self, **known: Any) -> None:
        self.__dict__.update(known)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            known = (*TABLE, "attempt", "index", "process", "exitStatus", "ext", "hash", "name")
            if name in TABLE:
                return None
            raise DslError(
                f"`task` has no `{name}`", next_step=did_you_mean(name, known) or "see the docs"
            )


Dynamic: TypeAlias = "V | Callable[[TaskView], V]"
ErrorStrategy: TypeAlias = Literal["terminate", "finish", "ignore", "retry"]
CacheMode: TypeAlias = bool | Literal["lenient", "deep"]


class PublishTo:
    """A place for a process's files; see `publish`."""

    def __init__(self, save_as: Callable[..., Any] | None, **fields: Any) -> None:
        self.save_as, self.fields = save_as, fields


def publish(
    path: str,
    *,
    mode: Literal["symlink", "rellink", "link", "copy", "copyNoFollow", "move"] = "symlink",
    pattern: str = "",
    saveAs: Callable[[str], str | None] | None = None,
    overwrite: bool | None = None,
    enabled: bool = True,
    failOnError: bool = True,
) -> PublishTo:
    """Say where and how a process's files are published; a value of `publishDir`.

    Args:
        path: Folder; may hold `${…}`.
        mode: How: a link (absolute or relative), a hard link, a copy, or by moving the file.
        pattern: Glob on the path relative to the task's folder; only those are published.
        saveAs: Relative name → new name, absolute path, or None to leave the file out.
        overwrite: Whether files there are replaced; None for a task that ran, not a cached one.
        enabled: False publishes nothing.
        failOnError: Whether a failure to publish fails the task.
    """
    return PublishTo(
        saveAs,
        path=path,
        mode=mode,
        pattern=pattern,
        overwrite=overwrite,
        enabled=enabled,
        fail_on_error=failOnError,
    )


class Directives(TypedDict, total=False):
    """All directives, for type checkers and editors."""

    container: str | Callable[[TaskView], str]
    engine: str
    cpus: int | Callable[[TaskView], int]
    memory: str | int | Callable[[TaskView], str | int]
    time: str | int | Callable[[TaskView], str | int]
    disk: str | int | Callable[[TaskView], str | int]
    gpu: int | Callable[[TaskView], int]
    gpu_model: str
    accelerator: int | Callable[[TaskView], int]
    queue: str | Callable[[TaskView], str]
    clusterOptions: str | list[str] | Callable[[TaskView], str | list[str]]
    containerOptions: str | Callable[[TaskView], str]
    module: str | Callable[[TaskView], str]
    conda: str | Callable[[TaskView], str]
    beforeScript: str | Callable[[TaskView], str]
    afterScript: str | Callable[[TaskView], str]
    array: int
    maxForks: int
    maxErrors: int
    maxRetries: int | Callable[[TaskView], int]
    errorStrategy: ErrorStrategy | Callable[[TaskView], ErrorStrategy]
    resourceLimits: Mapping[str, str | int]
    scratch: bool | str
    stageInMode: Literal["symlink", "rellink", "link", "copy"]
    stageOutMode: Literal["copy", "move", "rsync"]
    shell: list[str]
    debug: bool
    ext: Mapping[str, Any]
    label: str | Sequence[str]
    tag: str | Callable[..., str]
    fair: bool
    secret: str | Sequence[str]
    cache: CacheMode
    storeDir: str | Callable[[TaskView], str]
    publishDir: str | PublishTo | Sequence[str | PublishTo]
    env: Mapping[str, str]
    binds: str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Directive:
    """What one directive takes.

    Args:
        read: Turns what was given into what the plan keeps.
        dynamic: Whether it may be a function of the task.
        keyed: Whether it is part of a task's key.
    """

    read: Callable[[Any], Any]
    dynamic: bool = True
    keyed: bool = False


def _of(*kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"expected {wanted}, got {value!r}")
        return value

    return read


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {value!r}")
    return value


def _memory(value: Any) -> int:
    return int(Memory(value))


def _time(value: Any) -> int:
    return int(Duration(value))


def _texts(value: Any) -> list[str]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, Sequence):
        raise TypeError(f"expected text or a list of texts, got {value!r}")
    return [_of(str)(item) for item in items]


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected names and values, got {value!r}")
    return dict(value)


def _one_of(*words: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not any(
            value is word or (value == word and type(value) is type(word)) for word in words
        ):
            raise ValueError(f"expected one of {', '.join(map(repr, words))}, got {value!r}")
        return value

    return read


def _publish(value: Any) -> list[PublishTo]:
    items = value if isinstance(value, (list, tuple)) else [value]
    return [item if isinstance(item, PublishTo) else publish(_of(str)(item)) for item in items]


def _limits(value: Any) -> dict[str, int]:
    readers = {"cpus": _count, "memory": _memory, "disk": _memory, "time": _time}
    given = _mapping(value)
    unknown = [name for name in given if name not in readers]
    if unknown:
        raise ValueError(f"expected limits of {', '.join(readers)}, got {unknown[0]!r}")
    return {name: readers[name](amount) for name, amount in given.items()}


CACHE = (True, False, "lenient", "deep")
#: Directives that are checked and kept, but that nothing acts on.
WITHOUT_EFFECT = ("array", "conda", "stageOutMode")
TABLE: dict[str, Directive] = {
    "container": Directive(_of(str), keyed=True),
    "engine": Directive(_of(str), dynamic=False),
    "cpus": Directive(_count),
    "memory": Directive(_memory),
    "time": Directive(_time),
    "disk": Directive(_memory),
    "gpu": Directive(_count),
    "gpu_model": Directive(_of(str), dynamic=False),
    "accelerator": Directive(_count),
    "queue": Directive(_of(str)),
    "clusterOptions": Directive(_texts),
    "containerOptions": Directive(_of(str)),
    "module": Directive(_of(str), keyed=True),
    "conda": Directive(_of(str), keyed=True),
    "beforeScript": Directive(_of(str)),
    "afterScript": Directive(_of(str)),
    "array": Directive(_count, dynamic=False),
    "maxForks": Directive(_count, dynamic=False),
    "maxErrors": Directive(_count, dynamic=False),
    "maxRetries": Directive(_count),
    "errorStrategy": Directive(_one_of("terminate", "finish", "ignore", "retry")),
    "resourceLimits": Directive(_limits, dynamic=False),
    "scratch": Directive(_of(bool, str), dynamic=False),
    "stageInMode": Directive(_one_of("symlink", "rellink", "link", "copy"), dynamic=False),
    "stageOutMode": Directive(_one_of("copy", "move", "rsync"), dynamic=False),
    "shell": Directive(_texts, dynamic=False),
    "debug": Directive(_of(bool), dynamic=False),
    "ext": Directive(_mapping, dynamic=False),
    "label": Directive(_texts, dynamic=False),
    "tag": Directive(_of(str)),
    "fair": Directive(_of(bool), dynamic=False),
    "secret": Directive(_texts, dynamic=False),
    "cache": Directive(_one_of(*CACHE), dynamic=False),
    "storeDir": Directive(_of(str)),
    "publishDir": Directive(_publish, dynamic=False),
    "env": Directive(_mapping, dynamic=False),
    "binds": Directive(_texts, dynamic=False),
}


def read_directives(given: Mapping[str, Any], span: Span | None, owner: str) -> dict[str, Any]:
    """Check directives and return them as the plan keeps them; functions stay functions.

    Raises:
        DslError: An unknown name, or a value of the wrong type.
    """
    return {name: read_directive(name, value, span, owner) for name, value in given.items()}


def read_directive(name: str, value: Any, span: Span | None, owner: str) -> Any:
    """Check one directive; see `read_directives`."""
    known = TABLE.get(name)
    if known is None:
        raise DslError(
            f"`{owner}`: unknown directive `{name}`",
            span=span,
            next_step=did_you_mean(name, TABLE) or f"the directives are {', '.join(TABLE)}",
        )
    if callable(value):
        if known.dynamic:
            return value
        raise DslError(
            f"`{owner}`: the directive `{name}` cannot be a function",
            span=span,
            next_step="give it a value",
        )
    try:
        return known.read(value)
    except (ValueError, TypeError) as error:
        raise DslError(f"`{owner}`: directive `{name}`: {error}", span=span) from error


def limited(name: str, value: Any, limits: Mapping[str, int]) -> Any:
    """Return a directive's value, cut to what `resourceLimits` allows."""
    most = limits.get(name)
    return value if most is None or not isinstance(value, int) else min(value, most)
