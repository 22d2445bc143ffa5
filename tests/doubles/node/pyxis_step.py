"""What runs on the node in the place of the user's command: `pyxis_step.py OPTIONS COMMAND…`.

Does for one task what the plugin does inside slurmstepd: the first task of a step on a node
makes the container, each task enters its namespaces and becomes the command, the last one
saves and removes it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import sys
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.doubles.node import kernel, python_traces
from tests.doubles.node.pyxis_container import Container, Place, StepError, say_error
from tests.doubles.node.pyxis_options import Options
from tests.doubles.node.pyxis_state import StepState

#: Signals that Slurm sends to every process of a step, this one and the command's alike.
SHARED_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)
LOCALE = ("LANG", "LANGUAGE", "LC_ALL")
PYTORCH = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID"}
FAILED = (
    "spank: required plugin spank_pyxis.so: task_init() failed with rc=-1",
    "Failed to invoke spank plugin stack",
)


def main(words: list[str]) -> NoReturn:
    """Run one task and end as its command ended."""
    python_traces.undo()
    options = Options(**json.loads(words[0]))
    state = StepState.open(dict(os.environ))
    container = Container(options, state)
    try:
        container.enter_once()
        place = container.place()
    except StepError:
        fail_task(container)
    signal.pthread_sigmask(signal.SIG_BLOCK, SHARED_SIGNALS)
    entered, tell_entered = os.pipe()
    child = os.fork()
    if child == 0:
        run_command(words[1:], container, place, tell_entered)
    os.close(tell_entered)
    for number in SHARED_SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SHARED_SIGNALS)
    if os.read(entered, 1):
        container.release()
    ended, status = os.wait()
    while ended != child:  # the process that held the container
        ended, status = os.wait()
    leave(container)
    end_as(status)


def fail_task(container: Container) -> NoReturn:
    """Say what slurmstepd says when the plugin fails, and end."""
    for line in FAILED:
        say_error(line)
    leave(container)
    sys.exit(1)


def leave(container: Container) -> None:
    """Clean up; Enroot is started deaf to the signals that end the rest of the step."""
    for number in SHARED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    container.leave()


def run_command(
    words: list[str], container: Container, place: Place, tell_entered: int
) -> NoReturn:
    """Enter the container, in a process of its own, and become the command."""
    for number in SHARED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    environment = command_environment(container.options, dict(os.environ), place.variables)
    for kind, descriptor in place.namespaces.items():
        kernel.join_namespace(descriptor, kind)
    folder = container.options.values.get("workdir") or place.folder
    try:
        os.chdir(folder)
    except OSError as problem:
        say_error(f"pyxis: couldn't chdir to {folder}: {problem.strerror}")
        for line in FAILED:
            say_error(line)
        os._exit(1)
    os.write(tell_entered, b"1")
    path = find_command(words[0], environment)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SHARED_SIGNALS)
    try:
        os.execve(path, [path, *words[1:]], environment)
    except OSError as problem:
        say_error(f"execve(): {shown_command(path, problem)}")
        os._exit(problem.errno or 1)


def command_environment(
    options: Options, job: dict[str, str], image: dict[str, str]
) -> dict[str, str]:
    """Return the command's variables: the job's, over which those of the container win.

    Args:
        options: `--container-env` names those that the job wins.
        job: The variables that Slurm passes on.
        image: The variables of the container's own process.
    """
    kept = set(options.values.get("env", "").split(","))
    own = {name: text for name, text in job.items() if name not in LOCALE or name in kept}
    merged = {**own, **image, **{name: own[name] for name in kept & own.keys()}}
    if "PYTORCH_VERSION" in merged:
        merged |= {name: merged.get(source, "") for name, source in PYTORCH.items()}
    return merged


def find_command(name: str, environment: dict[str, str]) -> str:
    """Return the path that slurmstepd would execute: from `.`, or from PATH, or the name."""
    if name.startswith("/"):
        return name
    if name.startswith("."):
        return f"{Path.cwd()}/{name}"
    for folder in environment.get("PATH", "").split(":"):
        path = f"{folder}/{name}"
        try:
            if not stat.S_ISDIR(Path(path).stat().st_mode):
                return path
        except OSError:
            continue
    return name


def shown_command(path: str, problem: OSError) -> str:
    """Return what slurmstepd says of a command that cannot be executed."""
    try:
        with Path(path).open("rb") as file:
            first = file.readline(256)
    except OSError:
        first = b""
    if isinstance(problem, FileNotFoundError) and first.startswith(b"#!"):
        return f"bad interpreter({first[2:].decode(errors='replace').strip()}): {problem.strerror}"
    return f"{path}: {problem.strerror}"


def end_as(status: int) -> NoReturn:
    """End as a process with this wait status did, by the same signal if it was one."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1:])
