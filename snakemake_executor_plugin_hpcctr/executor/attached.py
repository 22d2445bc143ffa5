"""A shell or a command in a task's container, on the caller's own terminal."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.engines import launch
from snakemake_executor_plugin_hpcctr.errors import EngineError
from snakemake_executor_plugin_hpcctr.executor.tasks import drop_empty, job_name
from snakemake_executor_plugin_hpcctr.schedulers.local.machine import VISIBLE
from snakemake_executor_plugin_hpcctr.schedulers.slurm.attach import attach_argv, attach_environ
from snakemake_executor_plugin_hpcctr.script.quote import quote, words
from snakemake_executor_plugin_hpcctr.script.render import (
    LIBRARY,
    library_text,
    render_attached,
)
from snakemake_executor_plugin_hpcctr.trace.folder import unwritable, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.schedulers.slurm.attach import Running
    from snakemake_executor_plugin_hpcctr.task import Task

#: What a comment or a here-document would do to a closing bracket on the same line.
NEEDS_OWN_LINE = re.compile(r"[#\n]|<<")
#: Bash's words for the folder and for `$` or `#`.
PROMPT = r" \w\$ "
#: Where an image keeps what it runs by default: a file made by Apptainer, one made by Enroot.
DEFAULT_COMMAND = """\
if [ -x /.singularity.d/runscript ]; then
  exec /.singularity.d/runscript "$@"
elif [ -s /etc/rc ]; then
  exec /bin/sh /etc/rc "$@"
elif [ $# -gt 0 ]; then
  exec "$@"
fi
echo 'hpcctr: the image names no command of its own: give one' >&2
exit 1
"""


@dataclass(frozen=True)
class Way:
    """How a task is started in front of the user.

    Args:
        terminal: Whether the caller's streams are a terminal.
        here: Whether it runs on this machine and not as a job.
        inside: A running job whose allocation it shares, or None.
    """

    terminal: bool
    here: bool = False
    inside: Running | None = None


def shell_task(task: Task, title: str, to_make: Sequence[str] = ()) -> Task:
    """Return the task with an interactive shell in place of its command, which is in its history.

    Bash where the image has it, else `sh`, with the command in a file.

    Args:
        task: The task.
        title: What it is, for the prompt.
        to_make: Folders that the entry in the history makes before the command, as a run would.
    """
    command = task.command.strip("\n")
    tools = [_prompt(title, task), "unset HISTFILE PROMPT_COMMAND"]
    tools += [f"history -s -- {quote(history_entry(command, to_make))}"] if command else []
    note = "its command is in the history: press the up arrow" if command else ""
    saved = f"printf '%s\\n' {quote(command)} >\"$TMPDIR/command\"\n" if command else ""
    no_bash = "hpcctr: no bash here, so this is sh" + (
        "; the command is in the file $TMPDIR/command" if command else ""
    )
    text = (
        f"{saved}printf '%s\\n' {words(tools)} >\"$TMPDIR/.bashrc\"\n"
        "if command -v bash >/dev/null 2>&1; then\n"
        + (f"  echo {quote('hpcctr: ' + note)} >&2\n" if note else "")
        + '  exec bash --noprofile --rcfile "$TMPDIR/.bashrc" -i\n'
        f'fi\necho "{no_bash}" >&2\nexec sh -i\n'
    )
    return _with_command(task, text)


def command_task(task: Task, argv: Sequence[str]) -> Task:
    """Return the task with another command, given as words."""
    return _with_command(task, words(argv))


def default_task(task: Task, arguments: Sequence[str]) -> Task:
    """Return the task with what its image runs by default, and arguments for that.

    Raises:
        EngineError: The image's start script cannot be read for pyxis, which hides it inside.
    """
    given = f"set -- {words(arguments)}\n"
    if task.engine != "pyxis":
        return _with_command(task, given + DEFAULT_COMMAND)
    saved = f"printf '%s' {quote(_start_script(task))} >\"$TMPDIR/rc\"\n"
    return _with_command(task, f'{saved}{given}exec /bin/sh "$TMPDIR/rc" "$@"')


def _start_script(task: Task) -> str:
    """Return the image's /etc/rc, without the file by which pyxis (0.24) turns it off."""
    location = task.image.location if task.image else ""
    done = proc.run(["unsquashfs", "-cat", location, "etc/rc"])
    if done.ok and done.out:
        return done.out.replace("/etc/rc.local", "/dev/null")
    raise EngineError(
        f"the command of {location} cannot be read: it has no /etc/rc, or there is no unsquashfs",
        next_step="start it with `-r engine=enroot` or apptainer, or give a command to hpcctr exec",
    )


def history_entry(command: str, to_make: Sequence[str] = ()) -> str:
    """Return a command as an entry of an interactive shell's history.

    In brackets: Snakemake's `set -e` would end the shell itself at the first failure.
    """
    end = "\n)" if NEEDS_OWN_LINE.search(command) else " )"
    made = f"mkdir -p {words(to_make)}; " if to_make else ""
    return f"( {made}{command}{end}"


def run_attached(task: Task, folder: Path, way: Way, environ: Mapping[str, str]) -> int:
    """Run a task in front of the user and return its exit code.

    Args:
        task: What to run.
        folder: Made for its script, on a file system that the nodes see, and removed at the end.
        way: Where it runs.
        environ: Environment of the caller.

    Raises:
        HpcctrError: The engine cannot start the task, its folder cannot be written, or Slurm's
            srun is not there.
    """
    text = render_attached(task, launch(task), library=str(folder), terminal=way.terminal)
    try:
        argv = ["/bin/bash", _written(folder, text)]
        if way.here:
            return proc.attach(argv, env=_with_gpus(task, environ), cwd=task.workdir)
        argv = attach_argv(
            task.resources,
            argv,
            name=job_name(task.rule, task.wildcards),
            terminal=way.terminal,
            inside=way.inside,
        )
        return proc.attach(argv, env=attach_environ(environ, task.resources), cwd=task.workdir)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        drop_empty(str(folder.parent))


def _written(folder: Path, text: str) -> str:
    """Write a script and what it sources into a new folder; return its path."""
    script = folder / "attached.sh"
    try:
        folder.mkdir(parents=True, mode=0o700)
        for name in LIBRARY:
            write_atomically(folder / name, library_text(name))
        write_atomically(script, text)
    except OSError as error:
        raise unwritable(error, "work in a folder of your own that the nodes see") from error
    return str(script)


def _with_gpus(task: Task, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that names GPUs, as that of a job does."""
    gpu = task.resources.gpu
    if gpu is None:
        return dict(environ)
    return {VISIBLE[gpu.vendor]: ",".join(map(str, range(gpu.count))), **environ}


def _with_command(task: Task, command: str) -> Task:
    """Return the task with another command, which POSIX sh reads: one process, run once."""
    single = task.resources.model_copy(update={"nodes": None, "tasks": None})
    return task.model_copy(
        update={
            "command": command,
            "interpreter": "/bin/sh",
            "launcher": (),
            "shared": False,
            "benchmark": False,
            "repeats": (),
            "resources": single,
            # Data of the task stay where they are: a shell's outputs would be copied nowhere.
            "binds": tuple(b for b in task.binds if not b.source.startswith(f"{task.scratch}/")),
            "stage": task.stage.model_copy(update={"inputs": (), "outputs": ()}),
        }
    )


def _prompt(title: str, task: Task) -> str:
    place = f"[{task.engine}: {title}]".replace("\\", "\\\\")
    return f"PS1={quote(place + PROMPT)}"
