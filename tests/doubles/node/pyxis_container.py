"""The container of a step: made, entered and left as pyxis does, by way of `enroot`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.doubles.node import kernel
from tests.doubles.node.pyxis_options import VERSION, Options, parse_mounts
from tests.doubles.node.pyxis_state import StepState, abandoned_containers, root_folder

if TYPE_CHECKING:
    from tests.doubles.node.pyxis_state import Shared

ENROOT_DOUBLE = Path(__file__).resolve().parents[1] / "path/enroot/enroot"
#: Variables of the job that do not reach Enroot.
_KEPT_FROM_ENROOT = """
    LD_LIBRARY_PATH LD_PRELOAD SLURM_PROCID SLURM_LOCALID SLURM_TASK_PID PMIX_RANK PMI_FD
    ENROOT_LIBRARY_PATH ENROOT_SYSCONF_PATH ENROOT_RUNTIME_PATH ENROOT_CACHE_PATH ENROOT_DATA_PATH
    ENROOT_TEMP_PATH ENROOT_ZSTD_OPTIONS ENROOT_TRANSFER_RETRIES ENROOT_CONNECT_TIMEOUT
    ENROOT_MAX_CONNECTIONS ENROOT_ALLOW_HTTP
"""
KEPT_FROM_ENROOT = frozenset(_KEPT_FROM_ENROOT.split())
SWITCH_TO_ENROOT = {
    "mount_home": "ENROOT_MOUNT_HOME",
    "remap_root": "ENROOT_REMAP_ROOT",
    "writable": "ENROOT_ROOTFS_WRITABLE",
}
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NEW, IDLE = -1, 0  # in the place of a process id: no such container, and nothing runs in it
NAMESPACES = {
    "user": kernel.CLONE_NEWUSER,
    "cgroup": kernel.CLONE_NEWCGROUP,
    "mnt": kernel.CLONE_NEWNS,
}
NAMESPACE_NAMES = {"net": "network", "ipc": "IPC", "uts": "UTS"}
OWN = {kind: Path(f"/proc/self/ns/{kind}") for kind in NAMESPACE_NAMES}
REPLACED_ENTRYPOINT = 'exec "$@"'
HOLD = "kill -STOP $$ ; exit 0"  # the container's own process stops here until all have entered
OCTAL = {" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134"}


class StepError(Exception):
    """A task cannot enter its container; what is wrong has been said."""


def say(text: str) -> None:
    """Print a message of the plugin."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def say_error(text: str) -> None:
    """Print an error as slurmstepd does."""
    say(f"slurmstepd-{os.environ.get('SLURMD_NODENAME', 'localhost')}: error: {text}")


@dataclass(frozen=True)
class Place:
    """Where a task goes: open namespaces, the folder, and the container's variables."""

    namespaces: dict[int, int]  # kind → open file, in the order in which they are entered
    folder: str
    variables: dict[str, str]


class Container:
    """The container of one step on one node, seen by one of its tasks."""

    def __init__(self, options: Options, state: StepState) -> None:
        self.options = options
        self.state = state
        self.log: int | None = None

    @property
    def named(self) -> bool:
        """Whether the container outlives its step."""
        return "name" in self.options.values

    def enter_once(self) -> None:
        """Make and start the container, if this is the first task of the step on this node.

        Raises:
            StepError: It could not be started, now or by an earlier task.
        """
        with self.state.locked() as shared:
            shared.entered += 1
            if shared.entered == 1:
                self._remove_abandoned()
                self._first(shared)
            if shared.refused:
                raise StepError
            if shared.pid < 0 or shared.namespace_pid < 0:
                say_error("pyxis: container was not started successfully by another task")
                raise StepError

    def _first(self, shared: Shared) -> None:
        shared.refused = True
        running = self._choose(shared)
        shared.refused = False
        if running < 0:
            self._create(shared.name)
        shared.pid = self._start(shared.name)
        shared.namespace_pid = running if running > 0 else shared.pid

    def _choose(self, shared: Shared) -> int:
        """Set the container's name; return a process in it, 0 if it is idle, -1 if it is new."""
        if not self.named:
            shared.name = f"pyxis_{self.state.job}.{self.state.step}"
            return NEW
        name, _, flag = self.options.values["name"].partition(":")
        shared.name = f"pyxis_{name}"
        running = self._find(shared.name)
        if flag == "create" and running != NEW:
            refuse('"create" flag was passed to --container-name but the container already exists')
        if flag == "exec" and running <= IDLE:
            refuse('"exec" flag was passed to --container-name but the container is not running')
        if running == NEW and "image" not in self.options.values:
            what = f'a container with name "{shared.name}" does not exist'
            refuse(f"{what}, and --container-image is not set")
        if flag == "no_exec" and running > IDLE:
            return IDLE
        if running > IDLE and self.options.values.pop("mounts", ""):
            say("pyxis: ignoring --container-mounts when attaching to a running container")
        return running

    def _find(self, name: str) -> int:
        done = subprocess.run(
            (enroot(), "list", "-f"),
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        for line in done.stdout.splitlines()[1:]:
            words = line.split()
            if words[:1] == [name]:
                return int(words[1]) if len(words) > 1 else IDLE
        return NEW

    def _create(self, name: str) -> None:
        image = self.options.values["image"]
        if image[0] in "./":
            path = image
        else:
            path = str(self.state.folder / "image.squashfs")
            if self.state.total_tasks == 1:
                say(f"pyxis: importing docker image: {image}")
            known = image.startswith(("docker://", "dockerd://"))
            uri = image if known else f"docker://{image}"
            if not self._run("import", "--output", path, uri):
                self._failed(f"failed to import docker image: {image}")
            say(f"pyxis: imported docker image: {image}")
        if not self._run("create", "--name", name, path):
            self._failed(f"failed to create container filesystem for image: {image}")

    def _failed(self, text: str) -> NoReturn:
        say_error(f"pyxis: {text}")
        self._print_log()
        raise StepError

    def _run(self, *words: str) -> bool:
        """Run Enroot to its end, its output kept for _print_log."""
        self.log = os.memfd_create("enroot-log")
        process = subprocess.Popen(
            (enroot(), *words),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        code = process.wait()
        if code > 0:
            say_error(f"pyxis: child {process.pid} failed with error code: {code}")
        elif code < 0:
            say_error(f"pyxis: child {process.pid} terminated with signal {-code}")
        return code == 0

    def _print_log(self) -> None:
        say_error("pyxis: printing enroot log file:")
        if self.log is not None:
            text = os.pread(self.log, os.fstat(self.log).st_size, 0).decode(errors="replace")
            for line in text.splitlines():
                say_error(f"pyxis:     {line}")

    def _start(self, name: str) -> int:
        """Start the process that holds the container; return its id, or -1 after saying why."""
        problem = self._missing_source()
        if problem:
            say_error(f"pyxis: --container-mounts: source path does not exist: {problem}")
            say_error("pyxis: couldn't create enroot start configuration script")
            self._print_log()
            return -1
        with tempfile.NamedTemporaryFile(prefix=".enroot_config_", dir="/tmp") as config:
            config.write(os.fsencode(start_config(self.options)))
            config.flush()
            self.log = os.memfd_create("enroot-log")
            process = subprocess.Popen(
                (enroot(), "start", "--conf", config.name, name, "sh", "-c", HOLD),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
            )
            _, status = os.waitpid(process.pid, os.WUNTRACED)
        process.returncode = 0  # it is left to `leave` and the end of this process
        if os.WIFSTOPPED(status):
            self._show_entrypoint_log()
            return process.pid
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            code = os.WEXITSTATUS(status)
            say_error(f"pyxis: container start failed with error code: {code}")
        else:
            say_error("pyxis: container exited too soon")
        if self.options.switches.get("entrypoint"):
            advice = "if the image has an unusual entrypoint, try using --no-container-entrypoint"
            say_error(f"pyxis: {advice}")
        self._print_log()
        return -1

    def _missing_source(self) -> str:
        mounts = parse_mounts(self.options.values.get("mounts", ""))
        sources = (mount.source for mount in mounts if mount.source.startswith("/"))
        return next((source for source in sources if not Path(source).exists()), "")

    def _show_entrypoint_log(self) -> None:
        switches = self.options.switches
        if switches.get("entrypoint") and switches.get("entrypoint_log") and self.log is not None:
            text = os.pread(self.log, os.fstat(self.log).st_size, 0).decode(errors="replace")
            for line in text.splitlines():
                say(line)

    def _environment(self) -> dict[str, str]:
        """Return the environment of Enroot: the job's, but for what the plugin holds back."""
        kept = {name: text for name, text in os.environ.items() if name not in KEPT_FROM_ENROOT}
        switches = {
            variable: "y" if self.options.switches[setting] else "n"
            for setting, variable in SWITCH_TO_ENROOT.items()
            if setting in self.options.switches
        }
        own = {"PYXIS_RUNTIME_PATH": str(root_folder()), "PYXIS_VERSION": VERSION}
        ids = {"SLURM_JOB_UID": str(os.geteuid()), "SLURM_JOB_GID": str(os.getegid())}
        return {"PATH": DEFAULT_PATH, **kept, **switches, **own, **ids}

    def place(self) -> Place:
        """Open what a task needs to enter the container.

        Raises:
            StepError: A namespace that `--container-unshare` asks for is not there.
        """
        with self.state.locked() as shared:
            holder, inside = shared.pid, shared.namespace_pid
        for kind in self.options.values.get("unshare", "").split(","):
            if kind and Path(f"/proc/{inside}/ns/{kind}").readlink() == OWN[kind].readlink():
                wanted = f"--container-unshare={kind} requested"
                where = f"the container is not in a separate {NAMESPACE_NAMES[kind]} namespace"
                say_error(f"pyxis: error: {wanted} but {where}")
                say_error("pyxis: couldn't get container namespaces")
                raise StepError
        raw = Path(f"/proc/{holder}/environ").read_bytes().split(b"\0")
        pairs = (os.fsdecode(item).partition("=") for item in raw if b"=" in item)
        return Place(
            namespaces={
                kind: os.open(f"/proc/{inside}/ns/{name}", os.O_RDONLY)
                for name, kind in NAMESPACES.items()
            },
            folder=str(Path(f"/proc/{holder}/cwd").readlink()),
            variables={name: value for name, _, value in pairs},
        )

    def release(self) -> None:
        """Let the holding process end, once every task of this node has entered."""
        with self.state.locked() as shared:
            shared.started += 1
            if shared.started == self.state.local_tasks:
                os.kill(shared.pid, signal.SIGCONT)
                shared.pid = shared.namespace_pid = -1

    def leave(self) -> None:
        """End a task; the last one saves the container and removes it if it has no name."""
        with self.state.locked() as shared:
            shared.ended += 1
            last = shared.ended == self.state.local_tasks
            all_started = shared.started == self.state.local_tasks
            name = shared.name
        if not last:
            return
        save = self.options.values.get("save")
        if save and all_started:
            path = save if save.startswith("/") else f"{os.environ.get('PWD', '')}/{save}"
            if self._run("export", "-f", "-o", path, name):
                say(f"pyxis: exported container {name} to {save}")
            else:
                self._print_log()
                say_error(f"pyxis: failed to export container {name} to {save}")
        if self.named or self._run("remove", "-f", name):
            self.state.forget()  # else a later step removes what this one had to leave

    def _remove_abandoned(self) -> None:
        for name in abandoned_containers():
            subprocess.run(
                (enroot(), "remove", "-f", name),
                env=self._environment(),
                capture_output=True,
                check=False,
            )


def enroot() -> str:
    """Return the Enroot to use: the one on PATH, else the double beside this file."""
    return shutil.which("enroot") or str(ENROOT_DOUBLE)


def refuse(text: str) -> NoReturn:
    """Refuse a `--container-name`.

    Raises:
        StepError: Always.
    """
    say_error(f"pyxis: error: {text}")
    raise StepError


def start_config(options: Options) -> str:
    """Return the configuration that Enroot starts the container with, as bash functions."""
    mounts = [
        f'echo "{_escaped(mount.source)} {_escaped(mount.target)} {mount.flags}"'
        for mount in parse_mounts(options.values.get("mounts", ""))
    ]
    hooks = [f"echo '{REPLACED_ENTRYPOINT}' > ${{ENROOT_ROOTFS}}/etc/rc.local"]
    names = [name for name in options.values.get("env", "").split(",") if name]
    variables = [f'[ -z "${{{name}-}}" ] || echo "{name}=${{{name}}}"' for name in names]
    functions = {
        "mounts": mounts,
        "hooks": [] if options.switches.get("entrypoint") else hooks,
        "environ": variables,
    }
    return "".join(
        f"{name}() {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"
        for name, lines in functions.items()
        if lines
    )


def _escaped(path: str) -> str:
    return "".join(OCTAL.get(character, character) for character in path)
