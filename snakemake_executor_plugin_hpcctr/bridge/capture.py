"""The exact shell command of a job, without running it.

Snakemake's local executor knows how every kind of rule becomes a shell command (`shell`,
`script`, `notebook`, `wrapper`; conda and environment modules included). We let it go as far as
the moment where it would start the process, and keep what it would have started.
"""

from __future__ import annotations

import inspect
import os
import posixpath
import shlex
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import conda, rewrite
from snakemake_executor_plugin_hpcctr.bridge.log import quiet_capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    #: Makes a command, with its variables, independent of what is gone when it starts.
    Rewriter = Callable[[str, Mapping[str, str]], str]

#: Stands for the image in Snakemake's eyes; hpcctr starts the container itself.
IMAGE_STAND_IN = "hpcctr"


@dataclass(frozen=True)
class Captured:
    """A command as Snakemake would have started it.

    Args:
        command: Shell text, prefix and suffix included.
        interpreter: The program that reads it, as an absolute path on this host.
        env: Variables that differ from this process's own.
        search_paths: Host folder → folder in the container, for scripts that import Snakemake.
        bind_paths: Folders that Snakemake wants visible in the container.
        repeats: The command again, as a benchmark's further repeats run it.
        apptainer_args: Words of --apptainer-args.
    """

    command: str
    interpreter: str
    env: dict[str, str] = field(default_factory=dict)
    search_paths: dict[str, str] = field(default_factory=dict)
    bind_paths: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()
    apptainer_args: tuple[str, ...] = ()


class _Recorder:
    """Takes the place of `subprocess` and of the container module in `snakemake.shell`.

    Args:
        real: `subprocess`.
        contained: Whether what is started would run in a container.
        rewrite: Makes a command independent of files that are gone after its call.
    """

    def __init__(self, real: Any, rewrite: Rewriter, *, contained: bool) -> None:
        self.PIPE = real.PIPE
        self._real, self._rewrite, self._contained = real, rewrite, contained
        self.CalledProcessError = real.CalledProcessError
        self.check_output = real.check_output
        self.commands: list[str] = []
        self.process: dict[str, Any] = {}
        self.container: dict[str, Any] = {}

    def Popen(self, command: str, **options: Any) -> Any:  # noqa: N802 (subprocess's name)
        if options.get("stdout") == self.PIPE:
            return self._ask(command, options)
        self.commands.append(self._rewrite(command, options.get("env") or {}))
        self.process = options
        return SimpleNamespace(wait=lambda: 0, pid=0)

    def _ask(self, command: str, options: dict[str, Any]) -> Any:
        """Answer what Snakemake asks before it decides on a command.

        On this host as locally (which Python a module or an environment has); of an image the
        only question is whether it has papermill, which the command itself finds out.
        """
        if not self._contained:
            return self._real.Popen(command, **options)
        return SimpleNamespace(wait=lambda: 0, pid=0, stdout=SimpleNamespace(read=lambda: ""))

    def shellcmd(self, _image: str, command: str, **options: Any) -> str:
        self.container = options
        return command


class Prepared:
    """A job to Snakemake's eyes, which is prepared within a context of ours.

    Args:
        job: The job itself.
        around: What holds while Snakemake prepares it.
    """

    def __init__(self, job: Any, around: AbstractContextManager[None]) -> None:
        self._job, self._around = job, around

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    async def prepare(self) -> None:
        """Remove stale outputs, make folders, wait for inputs …, as Snakemake does."""
        with self._around:
            await self._job.prepare()


class Unprepared(Prepared):
    """A job that is only looked at."""

    async def prepare(self) -> None:
        """Do nothing: no file is removed or made."""


def capture(
    workflow: Any,
    job: Any,
    *,
    contained: bool,
    around: AbstractContextManager[None] | None = None,
    prepare: bool = True,
) -> Captured:
    """Prepare a job (stale outputs removed, folders made, shadow …) and return its command.

    Call it in the main thread only: for its duration a module of Snakemake is patched.

    Args:
        workflow: Snakemake's workflow.
        job: A job with one rule, not a group, whose action ends in a shell command.
        contained: Whether the command will run in a container: scripts then call the
            image's `python`, and find Snakemake under /mnt/snakemake_searchpaths.
        around: What holds while the job is prepared.
        prepare: False only looks: no file is removed or made but the copy of a script.

    Raises:
        WorkflowError: Whatever Snakemake has to say about the job (protected output,
            missing input or script, a name in the command that does not exist).
    """
    from snakemake.executors.local import run_wrapper  # noqa: PLC0415 (start-up time)

    local = workflow.scheduler._local_executor  # noqa: SLF001 (the purpose of this module)
    names = list(inspect.signature(run_wrapper).parameters)
    prepared = (Prepared if prepare else Unprepared)(job, around or nullcontext())
    arguments = dict(zip(names, local.job_args_and_prepare(prepared), strict=True))
    folders = _software(arguments, job, contained=contained)
    arguments.update(cleanup_scripts=False, edit_notebook=None)
    if not contained:
        arguments["shadow_dir"] = None  # or run_wrapper would change this process's folder
    with _recording(partial(_self_contained, job, contained), contained=contained) as recorder:
        run_wrapper(**arguments)
    if not recorder.commands:
        raise RuntimeError(f"rule {job.rule.name} started no shell command")
    return _captured(recorder, job, arguments, folders, contained=contained)


def _software(arguments: dict[str, Any], job: Any, *, contained: bool) -> tuple[str, ...]:
    """Tell Snakemake in what a command will run; return folders that it must see there."""
    if not contained:
        # cwltool starts containers itself, if it is told so.
        arguments["use_singularity"] = bool(job.rule.cwl) and arguments["use_singularity"]
        arguments["container_img"] = None
        return ()
    pulled = arguments["container_img"]  # known with --sdm apptainer
    image = arguments["container_img"] = pulled or IMAGE_STAND_IN
    arguments["use_singularity"] = True
    shadow = (str(job.shadow_dir),) if job.shadow_dir else ()  # --shadow-prefix may be anywhere
    if arguments["conda_env"] is None:
        return shadow
    if pulled:
        return (*shadow, *conda.environment_folders(arguments))
    return (*shadow, *conda.lend_host_conda(arguments, image))


def _self_contained(job: Any, contained: bool, command: str, env: Mapping[str, str]) -> str:  # noqa: FBT001 (partial)
    """Return a command that needs nothing of this host which is gone when it starts."""
    command = rewrite.inline_script(command)
    if job.rule.cwl:
        return rewrite.inline_cwl_inputs(command)
    if job.rule.notebook:
        command = command.replace(env["IPYTHONDIR"], str(job.resources.tmpdir))
        if contained:
            command = rewrite.choose_papermill_later(command)
        if job.shadow_dir:
            rewrite.move_notebook(command, os.getcwd(), os.path.abspath(job.shadow_dir))  # noqa: PTH100, PTH109 (Snakemake's strings)
    if removed := [name for name in os.environ if env and name not in env]:
        command = f"unset -v {' '.join(removed)}; {command}"  # what conflicts with conda
    return command


def _captured(
    recorder: _Recorder,
    job: Any,
    arguments: dict[str, Any],
    folders: tuple[str, ...],
    *,
    contained: bool,
) -> Captured:
    """Read what was recorded: of the processes of each repeat, the last is its command."""
    repeats = 1 if job.benchmark is None else job.benchmark_repeats
    each = len(recorder.commands) // repeats
    command, *others = recorder.commands[each - 1 :: each]
    environment: dict[str, str] = recorder.process.get("env") or {}
    changed = {k: v for k, v in environment.items() if os.environ.get(k) != v}
    if job.rule.notebook:  # Snakemake's folder is one of this host, and removed by now
        changed["IPYTHONDIR"] = str(job.resources.tmpdir)
    search_paths = {}
    if contained and recorder.container.get("is_python_script"):
        from snakemake.common import get_snakemake_searchpaths  # noqa: PLC0415 (start-up time)
        from snakemake.deployment.singularity import (  # noqa: PLC0415 (start-up time)
            get_snakemake_searchpath_mountpoints,
        )

        pairs = zip(
            get_snakemake_searchpaths(), get_snakemake_searchpath_mountpoints(), strict=True
        )
        search_paths = {posixpath.abspath(host): inside for host, inside in pairs}
    wanted = (str(p.absolute()) for p in recorder.container.get("bind") or () if p.exists())
    return Captured(
        command=command,
        interpreter=str(recorder.process.get("executable") or "/bin/sh"),
        env=changed,
        search_paths=search_paths,
        bind_paths=(*wanted, *map(posixpath.abspath, folders)),
        repeats=tuple(others),
        apptainer_args=_words(arguments["singularity_args"]),
    )


def _words(text: str | None) -> tuple[str, ...]:
    """Split --apptainer-args, which Snakemake gives to a shell."""
    return tuple(map(os.path.expandvars, shlex.split(text or "")))


@contextmanager
def _recording(rewriter: Rewriter, *, contained: bool) -> Iterator[_Recorder]:
    """Patch `snakemake.shell` so that starting a process records it, and measures nothing."""
    from snakemake import benchmark  # noqa: PLC0415 (start-up time)

    shell: Any = sys.modules["snakemake.shell"]
    recorder = _Recorder(shell.sp, rewriter, contained=contained)
    patches: list[tuple[Any, str, Any]] = [
        (shell, "sp", recorder),
        (shell, "singularity", recorder),
        (benchmark, "benchmarked", _unmeasured),
        (benchmark, "write_benchmark_records", _write_nothing),
    ]
    saved = [getattr(module, name) for module, name, _ in patches]
    try:
        for module, name, stand_in in patches:
            setattr(module, name, stand_in)
        with quiet_capture():
            yield recorder
    finally:
        for (module, name, _), own in zip(patches, saved, strict=True):
            setattr(module, name, own)


@contextmanager
def _unmeasured(_pid: int | None = None, record: Any = None, *_: Any) -> Iterator[Any]:
    """Take the place of what would measure a process of this host."""
    from snakemake.benchmark import BenchmarkRecord  # noqa: PLC0415 (start-up time)

    yield record or BenchmarkRecord()


def _write_nothing(*_: Any) -> None:
    """Take the place of what would write a benchmark file."""
