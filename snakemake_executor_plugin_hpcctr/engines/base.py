"""What every engine returns: how to start a task's command in its container."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snakemake_executor_plugin_hpcctr.task import EngineName, ImageFormat, Task


@dataclass(frozen=True)
class OncePerNode:
    """Work that one task per node does for all others, under a lock file on the node.

    Args:
        lock: Path of the lock file.
        check: Succeeds if nothing is left to do.
        do: Does the work.
    """

    lock: str
    check: tuple[str, ...]
    do: tuple[str, ...]


@dataclass(frozen=True)
class Launch:
    """How an engine starts a task.

    The command line on the node is `argv` followed by the program to run inside and its
    arguments. The engine's process gets `env` and the variables that `script` always keeps
    (PATH, HOME, the allocation's), nothing else, so that a line in a user's .bashrc such as
    APPTAINER_BIND=… cannot change a task.

    Args:
        argv: The engine's command; empty if the command runs on the host itself.
        substitute: Program used in place of `argv[0]` on a node that lacks that.
        env: Variables of the engine's own process (not of the command inside).
        files: Name → text, written into the task's scratch folder before the start.
        before: Done first, once per node.
        after: Commands for the end of the task, e.g. the removal of its container.
        contained: Whether the command must find itself in another root file system.
        launcher: Command line that starts `argv` once for each process of the task; empty for a
            single process, or where `argv` begins with it.
        step: Words after `argv[0]` where the command runs beside others in a job's step.
        terminal: Words after `argv[0]` where the command gets a terminal.
    """

    argv: tuple[str, ...]
    substitute: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    before: OncePerNode | None = None
    after: tuple[tuple[str, ...], ...] = ()
    contained: bool = True
    launcher: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    terminal: tuple[str, ...] = ()


class Engine(Protocol):
    """The face of a module in this package."""

    NAME: EngineName
    #: Images that it can be given; one from a registry is pulled before it starts.
    FORMATS: tuple[ImageFormat, ...]
    #: Succeeds on a node where the engine can be used; argv, run by the probe.
    PROBE: tuple[str, ...]

    def launch(self, task: Task) -> Launch:
        """Return how to start `task`.

        Raises:
            EngineError: The engine cannot express a bind, path or option of the task.
            ImageError: The engine cannot start an image of this format.
        """
        ...
