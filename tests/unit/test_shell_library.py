"""The parts of hpcctr.sh and inside.sh, one by one, in a real bash."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.engines.base import Launch, OncePerNode
from snakemake_executor_plugin_hpcctr.script.marker import Marker, parse_marker
from snakemake_executor_plugin_hpcctr.script.render import (
    LIBRARY,
    library_text,
    render_series,
    render_task,
)
from snakemake_executor_plugin_hpcctr.task import Bind, Gpu, Image, Resources, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

ON_HOST = Launch(argv=(), contained=False)
#: An "engine" that starts no container: the inside part must notice.
NOT_AN_ENGINE = Launch(argv=("env",))


@dataclass(frozen=True)
class Node:
    """A folder that stands for a node and for a run at once."""

    path: Path

    def task(self, command: str, **changes: Any) -> Task:
        """Return a task that runs here."""
        values: dict[str, Any] = {
            "key": "k",
            "rule": "r",
            "command": command,
            "workdir": str(self.path),
            "scratch": str(self.path / "scratch"),
            "tmpdir": str(self.path / "scratch" / "tmp"),
        }
        return Task(**values | changes)

    def write(self, task: Task, start: Launch = ON_HOST) -> Path:
        """Write the script of a task."""
        script = self.path / "task.sh"
        text = render_task(
            task, start, number="1.0", library=str(self.path), marker=str(self.path / "marker")
        )
        script.write_bytes(os.fsencode(text))
        return script

    def run(
        self, task: Task, start: Launch = ON_HOST, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a task to its end, in an environment of PATH, HOME and the given variables."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.path), **(environ or {})}
        argv = ["bash", str(self.write(task, start))]
        return subprocess.run(argv, capture_output=True, text=True, env=environ, check=False)

    def marker(self, restart: int = 0) -> Marker:
        """Return the marker of a run."""
        found = parse_marker((self.path / f"marker.{restart}").read_text(encoding="utf-8"))
        assert found
        return found

    def wait_for(self, name: str) -> Path:
        """Wait until the command has written a file; it says that it is ready."""
        path = self.path / name
        until = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < until, f"{name} did not appear"
            time.sleep(0.005)
        return path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Return a node with the library."""
    for name in LIBRARY:
        (tmp_path / name).write_text(library_text(name), encoding="utf-8")
    return Node(tmp_path)


@pytest.mark.parametrize(("shell", "name"), [("bash", "hpcctr.sh"), ("sh", "inside.sh")])
def test_the_library_is_valid(shell: str, name: str) -> None:
    """The shell that runs it on a node reads it without complaint."""
    argv = [shell, "-n"]
    done = subprocess.run(
        argv, input=library_text(name), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- the marker --------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 137, 255])
def test_the_exit_code_of_the_command_is_in_the_marker(node: Node, code: int) -> None:
    """The marker and the script itself end with the command's exit code."""
    done = node.run(node.task(f"exit {code}"))
    assert (code, code) == (done.returncode, node.marker().exit_code)
    assert (node.marker().setup, done.stdout, done.stderr) == ("", "", "")


@pytest.mark.parametrize(("name", "code"), [("KILL", 137), ("SEGV", 139), ("TERM", 143)])
def test_a_command_that_is_killed_has_128_more(node: Node, name: str, code: int) -> None:
    """A signal that ends the command is its exit code, as every shell counts it."""
    node.run(node.task(f"ulimit -c 0; kill -{name} $$"))
    assert code == node.marker().exit_code


def test_the_marker_tells_when_where_and_how_long(node: Node) -> None:
    """Times are of the node's clock, the host is Slurm's name of the node."""
    before = time.time()
    node.run(
        node.task("i=0; while ((i++ < 20000)); do :; done"), environ={"SLURMD_NODENAME": "n17"}
    )
    marker = node.marker()
    assert before <= marker.started <= marker.ended <= time.time()
    assert marker.host == "n17"
    assert marker.cpu_s is not None
    assert 0 < marker.cpu_s < 60


def test_a_restarted_job_leaves_a_marker_of_its_own(node: Node) -> None:
    """The second run of a requeued job does not hide, nor is hidden by, the first one's end."""
    node.run(node.task("exit 3"))
    node.run(node.task("exit 0"), environ={"SLURM_RESTART_COUNT": "1"})
    assert (node.marker(0).exit_code, node.marker(1).exit_code) == (3, 0)


def test_the_same_script_runs_again(node: Node) -> None:
    """A script that is started a second time, by Slurm or by hand, ends as the first time."""
    for _ in range(2):
        assert node.run(node.task("touch $TMPDIR/x && ls $TMPDIR")).stdout == "x\n"
    assert node.marker().success


def test_leftovers_of_a_first_run_are_removed(node: Node) -> None:
    """A scratch folder that a killed first run left behind starts empty."""
    (node.path / "scratch" / "tmp").mkdir(parents=True)
    (node.path / "scratch" / "tmp" / "old").touch()
    (node.path / "scratch" / "setup-failed").write_text("bind_missing\n/x\n")
    assert node.run(node.task("ls -A $TMPDIR")).stdout == ""
    assert node.marker().success


# --- before the command ------------------------------------------------------------------


def missing(node: Node, what: str) -> tuple[Task, Launch]:
    """Return a task for which one thing is missing on the node."""
    nowhere = str(node.path / "nowhere")
    image = Image(reference="x.sqsh", location=nowhere, format="sqsh")
    inside = Launch(argv=("no-such-engine",) if what == "engine" else ("env",))
    changes: dict[str, dict[str, Any]] = {
        "bind": {"binds": (Bind(source=nowhere, target="/data"),)},
        "workdir": {"workdir": nowhere},
        "image": {"image": image},
        "engine": {},
    }
    return node.task("touch started", **changes[what]), inside


@pytest.mark.parametrize("what", ["bind", "workdir", "image", "engine"])
def test_what_is_missing_on_the_node_is_named(node: Node, what: str) -> None:
    """The marker has a word for the diagnosis and the path, the log a line for people."""
    done = node.run(*missing(node, what))
    marker = node.marker()
    path = "no-such-engine" if what == "engine" else str(node.path / "nowhere")
    assert (1, f"{what}_missing", path) == (marker.exit_code, marker.setup, marker.detail)
    assert f"hpcctr: {what}_missing: {path}\n" == done.stderr
    assert not (node.path / "started").exists()


def test_an_engine_may_have_a_substitute(node: Node) -> None:
    """Where `apptainer` is missing and `singularity` is there, that is started."""
    start = Launch(argv=("no-such-engine", "ignored=1"), substitute="env")
    node.run(node.task("true"), start)
    assert node.marker().setup == "not_contained"


GPUS = Resources(gpu=Gpu(count=2))


@pytest.mark.parametrize(
    ("environ", "setup"),
    [
        ({}, "no_gpu"),
        ({"CUDA_VISIBLE_DEVICES": ""}, "no_gpu"),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, "no_gpu"),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, ""),
        ({"CUDA_VISIBLE_DEVICES": "MIG-1fa"}, ""),
        ({"ROCR_VISIBLE_DEVICES": "0"}, ""),
        ({"GPU_DEVICE_ORDINAL": "0"}, ""),
    ],
)
def test_a_gpu_that_was_asked_for_must_be_in_the_allocation(
    node: Node, environ: dict[str, str], setup: str
) -> None:
    """A task that asked for GPUs and sees none ends before its command starts."""
    node.run(node.task("touch started", resources=GPUS), environ=environ)
    assert (setup, not setup) == (node.marker().setup, (node.path / "started").exists())


def test_a_task_without_gpus_needs_none(node: Node) -> None:
    """An allocation without GPUs is no problem for a task that asked for none."""
    node.run(node.task("true"), environ={"CUDA_VISIBLE_DEVICES": "NoDevFiles"})
    assert node.marker().success


def test_a_command_that_is_not_contained_is_refused(node: Node) -> None:
    """Where the engine started no container, the command must not run on the bare host."""
    done = node.run(node.task("touch started"), NOT_AN_ENGINE)
    marker = node.marker()
    assert (marker.exit_code, marker.setup) == (1, "not_contained")
    assert "hpcctr: not_contained: the command would run on the bare host" in done.stderr
    assert not (node.path / "started").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_a_scratch_folder_of_another_user_is_refused(node: Node) -> None:
    """Nothing is read from, written to or removed from a folder that is not ours."""
    scratch = node.path / "scratch"
    scratch.mkdir(mode=0o777)
    mine = node.path / "mine"
    mine.write_text("precious")
    (scratch / "times").symlink_to(mine)
    (scratch / "setup-failed").write_text("no_gpu\nlie\n")
    os.chown(scratch, 65534, 65534)
    done = node.run(node.task("touch started"))
    assert (node.marker().exit_code, node.marker().setup) == (1, "scratch")
    assert str(scratch) in done.stderr
    assert {"setup-failed", "times"} <= {path.name for path in scratch.iterdir()}
    assert mine.read_text() == "precious"
    assert not (node.path / "started").exists()


def test_a_scratch_folder_that_cannot_be_made_is_named(node: Node) -> None:
    """The marker names the temporary folder, the log has mkdir's own reason."""
    (node.path / "file").touch()
    scratch = str(node.path / "file" / "scratch")
    done = node.run(node.task("true", scratch=scratch, tmpdir=f"{scratch}/tmp"))
    assert node.marker().setup == "scratch"
    assert scratch in node.marker().detail
    assert "Not a directory" in done.stderr


# --- on the host -------------------------------------------------------------------------


def test_the_command_finds_what_it_should(node: Node) -> None:
    """Working directory, empty input, temporary folder, declared and ambient variables."""
    command = 'pwd; cat; printf \'%s\\n\' "$TMPDIR" "$A" "$AMBIENT"; ls -d $TMPDIR'
    done = node.run(node.task(command, env={"A": "1 2"}), environ={"AMBIENT": "x", "A": "no"})
    tmp = f"{node.path}/scratch/tmp"
    assert [str(node.path), tmp, "1 2", "x", tmp] == done.stdout.splitlines()
    assert not (node.path / "scratch").exists()


def test_clean_env_keeps_the_ambient_variables_out(node: Node) -> None:
    """With clean_env a command on the host sees the allocation's, the passed and the declared."""
    environ = {
        "AMBIENT": "x",
        "LD_LIBRARY_PATH": "/x",
        "SECRET": "s",
        "SLURM_JOB_ID": "7",
        "CUDA_VISIBLE_DEVICES": "0",
        "BASH_FUNC_module%%": "() { :; }",
    }
    task = node.task("env", clean_env=True, env={"A": "1"}, pass_env=("SECRET", "UNSET"))
    done = node.run(task, environ=environ)
    found = {line.partition("=")[0] for line in done.stdout.splitlines()}
    declared = {"A", "TMPDIR", "TMP", "TEMPDIR", "TEMP"}
    allocation = {"SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES", "SECRET"}
    own = {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_"}
    assert declared | allocation | own == found | own


def test_a_command_in_another_language_is_handed_over(node: Node) -> None:
    """The interpreter is whatever the rule names."""
    python = shutil.which("python3") or "python3"
    done = node.run(node.task("import os; print(os.getcwd())", interpreter=python))
    assert f"{node.path}\n" == done.stdout


# --- signals -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2"])
def test_a_signal_to_the_script_reaches_the_command(node: Node, name: str) -> None:
    """The command's own trap runs, with time to clean up, and its exit code is the marker's."""
    command = f"trap 'sleep 0.05; touch cleaned; exit 42' {name}; touch ready; sleep 10 & wait"
    script = node.write(node.task(command))
    with subprocess.Popen(["bash", script], stdout=subprocess.DEVNULL) as process:
        node.wait_for("ready")
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert process.wait(10) == 42
    assert (42, name) == (node.marker().exit_code, node.marker().signal)
    assert (node.path / "cleaned").exists()
    assert not (node.path / "scratch").exists()


def test_a_warning_does_not_end_the_command(node: Node) -> None:
    """A command that survives the signal is waited for, as often as signals come."""
    command = "trap 'echo >>warned' USR1; touch ready; while [ ! -e stop ]; do sleep 0.01; done"
    script = node.write(node.task(f"{command}; exit 5"))
    with subprocess.Popen(["bash", script]) as process:
        node.wait_for("ready")
        for count in (1, 2):
            process.send_signal(signal.SIGUSR1)
            while not (node.path / "warned").exists() or (
                len((node.path / "warned").read_text()) < count
            ):
                time.sleep(0.005)
        (node.path / "stop").touch()
        assert process.wait(10) == 5
    assert (node.marker().exit_code, node.marker().signal) == (5, "USR1")


def test_processes_of_the_command_get_the_signal_too(node: Node) -> None:
    """The command's own children are told, as a terminal would."""
    command = "bash -c 'trap \"touch told\" TERM; touch ready; sleep 10 & wait'; exit 6"
    script = node.write(node.task(f"trap : TERM; {command}"))
    with subprocess.Popen(["bash", script]) as process:
        node.wait_for("ready")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 6
    assert (node.path / "told").exists()


#: Catches a signal, takes its time to save, and ends with 42.
SAVER = """
import signal, sys, time
def save(*_):
    time.sleep(0.2)
    open("saved", "w").close()
    sys.exit(42)
signal.signal(signal.SIG{name}, save)
open("ready", "w").close()
time.sleep(10)
"""


@pytest.mark.parametrize("name", ["TERM", "USR1"])
def test_a_shell_without_a_trap_leaves_the_program_time_to_save(node: Node, name: str) -> None:
    """A rule's shell text is seldom the program itself: the shell around it lives on."""
    (node.path / "saver.py").write_text(SAVER.replace("{name}", name))
    script = node.write(node.task("set -euo pipefail; python3 saver.py\necho 'not reached'"))
    with subprocess.Popen(["bash", script]) as process:
        node.wait_for("ready")
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert process.wait(10) == 42
    assert (node.path / "saved").exists()


def test_a_warning_that_nobody_catches_changes_nothing(node: Node) -> None:
    """USR1 does not kill a command that never heard of it."""
    script = node.write(node.task("touch ready; sleep 0.3; touch done; exit 5"))
    with subprocess.Popen(["bash", script]) as process:
        node.wait_for("ready")
        process.send_signal(signal.SIGUSR1)
        assert process.wait(10) == 5
    assert (node.path / "done").exists()


def test_a_signal_to_end_that_nobody_catches_ends_all(node: Node) -> None:
    """TERM ends a command without a trap, and every process of it."""
    script = node.write(node.task("sleep 10 & echo $! >pid.part; mv pid.part pid; sleep 10; :"))
    with subprocess.Popen(["bash", script]) as process:
        child = int(node.wait_for("pid").read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
    until = time.monotonic() + 5
    while Path(f"/proc/{child}/exe").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}/exe").exists()


def test_a_suspended_command_is_still_running(node: Node) -> None:
    """A command that is stopped for a while, as Slurm may do, is waited for."""
    script = node.write(node.task("echo $$ >pid.part; mv pid.part pid; sleep 0.2; exit 4"))
    with subprocess.Popen(["bash", script]) as process:
        pid = int(node.wait_for("pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.3)
        assert not (node.path / "marker.0").exists()
        os.kill(pid, signal.SIGCONT)
        assert process.wait(10) == 4
    assert node.marker().exit_code == 4


def test_a_signal_to_end_that_comes_early_is_kept(node: Node) -> None:
    """A task that is cancelled while its container is made ready does not start its command."""
    once = OncePerNode(
        lock=str(node.path / "lock"),
        check=("false",),
        do=("sh", "-c", f"touch {node.path}/preparing; sleep 0.3"),
    )
    start = Launch(argv=("sh", "-c", "exec sleep 10", "#"), before=once)
    script = node.write(node.task("true"), start)
    with subprocess.Popen(["bash", script], stderr=subprocess.DEVNULL) as process:
        node.wait_for("preparing")
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 143
    assert (node.marker().exit_code, node.marker().signal) == (143, "TERM")


# --- once per node, and afterwards -------------------------------------------------------


def test_work_is_done_once_per_node(node: Node) -> None:
    """Tasks that start together do the node's work once, and all find it done."""
    done_file = node.path / "done"
    once = OncePerNode(
        lock=str(node.path / "lock"),
        check=("test", "-e", str(done_file)),
        do=("sh", "-c", f"sleep 0.1; echo work >>{done_file}"),
    )
    scripts = []
    for index in range(4):
        task = node.task("true", scratch=str(node.path / f"s{index}"))
        script = node.write(task, Launch(argv=("env",), before=once))
        scripts.append(script.rename(node.path / f"{index}.sh"))
    processes = [subprocess.Popen(["bash", s], stderr=subprocess.DEVNULL) for s in scripts]
    for process in processes:
        process.wait(10)
    assert done_file.read_text() == "work\n"
    assert (node.path / f"lock.{os.getuid()}").exists()


def test_work_that_was_cut_short_is_done_again(node: Node) -> None:
    """What a killed task left half done is not taken for the whole."""
    half = node.path / "half"
    once = OncePerNode(
        lock=str(node.path / "lock"),
        check=("test", "-e", str(half)),
        do=("sh", "-c", f"echo part >>{half}; test ! -e {node.path}/kill || kill -KILL $PPID $$"),
    )
    (node.path / "kill").touch()
    node.run(node.task("true"), Launch(argv=("env",), before=once))
    assert node.marker().setup == "engine_failed"
    (node.path / "kill").unlink()
    for _ in range(2):
        node.run(node.task("true"), Launch(argv=("env",), before=once))
    assert half.read_text() == "part\n" * 2


def test_work_that_fails_is_named(node: Node) -> None:
    """A container that cannot be made stops the task with the command that failed."""
    once = OncePerNode(lock=str(node.path / "lock"), check=("false",), do=("false", "a b"))
    node.run(node.task("true"), Launch(argv=("env",), before=once))
    assert (node.marker().setup, node.marker().detail) == ("engine_failed", "false 'a b'")


def test_programs_around_the_command_have_the_engines_environment(node: Node) -> None:
    """What is made with the engine's variables is found, and removed, with the same."""
    see = ("sh", "-c", f'echo "$X" "$AMBIENT" >>{node.path}/seen')
    start = Launch(
        argv=(*see, "#"),
        env={"X": "1"},
        before=OncePerNode(lock=str(node.path / "lock"), check=("false",), do=see),
        after=(see,),
    )
    node.run(node.task("true"), start, {"AMBIENT": "a", "X": "2"})
    assert (node.path / "seen").read_text() == "1 \n" * 3


def test_nothing_is_cleaned_up_that_was_never_made(node: Node) -> None:
    """A task that stops before the engine's turn does not call the engine's clean-up."""
    start = Launch(argv=("env",), after=(("touch", str(node.path / "after")),))
    node.run(node.task("true", workdir=str(node.path / "nowhere")), start)
    assert not (node.path / "after").exists()


# --- what enters a container -------------------------------------------------------------


def entering(node: Node, environ: Mapping[str, str], *, clean: bool = False) -> tuple[str, ...]:
    """Return the lines of the environment that a container gets, but for the declared ones."""
    task = node.task("true", clean_env=clean, pass_env=("TOKEN",))
    keep = f"cp {node.path}/scratch/environment {node.path}/environment"
    node.run(task, Launch(argv=("sh", "-c", keep, "#")), environ)
    text = (node.path / "environment").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(('[ "$PATH"', "unset "))]
    declared = ("export TMP", "export TEMP", '[ -n "${PYTHONNOUSERSITE', '[ -n "${HOME+x}')
    return tuple(line for line in lines if not line.startswith(declared))


@pytest.mark.parametrize("name", ["AMBIENT", "LANG", "LC_ALL", "TZ", "OMP_NUM_THREADS", "MY_TERM"])
def test_an_ambient_variable_enters_where_the_image_has_none(node: Node, name: str) -> None:
    """The image's own value wins over the submitting environment's."""
    line = f"[ -n \"${{{name}+x}}\" ] || export {name}='it'\\''s'"
    assert (line,) == entering(node, {name: "it's"})


@pytest.mark.parametrize(
    "name",
    [
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME", "R_LIBS_USER", "PERL5LIB"),
        *("CONDA_PREFIX", "VIRTUAL_ENV", "MODULEPATH", "LMOD_DIR", "BASH_ENV", "SHELL", "USER"),
        *("APPTAINER_BIND", "SINGULARITY_BIND", "APPTAINERENV_X", "ENROOT_MOUNT_HOME", "PYXIS_X"),
        *("TMPDIR", "TMP", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "DISPLAY"),
    ],
)
def test_variables_of_the_hosts_software_stay_outside(node: Node, name: str) -> None:
    """What describes the host's libraries, modules and engines means nothing in an image."""
    assert entering(node, {name: "/host"}) == ()


def test_the_allocation_and_the_passed_variables_enter_in_any_case(node: Node) -> None:
    """SLURM_*, the visible GPUs and names in pass_env enter, with clean_env too."""
    environ = {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0", "TOKEN": "s", "AMBIENT": "x"}
    expected = {
        "export SLURM_JOB_ID='7'",
        "export CUDA_VISIBLE_DEVICES='0'",
        "export TOKEN='s'",
    }
    assert expected == set(entering(node, environ, clean=True))


@pytest.mark.parametrize(
    "name", ["APPTAINER_BIND", "SINGULARITY_BINDPATH", "ENROOT_CONFIG_PATH", "TOKEN", "AMBIENT"]
)
def test_the_engines_process_gets_no_ambient_variable(node: Node, name: str) -> None:
    """A line in somebody's .bashrc cannot steer an engine, and no secret shows in `ps e`."""
    task = node.task("true", pass_env=("TOKEN",))
    done = node.run(task, Launch(argv=("sh", "-c", "env", "#")), {name: "/x", "SLURM_X": "1"})
    assert "SLURM_X=1" in done.stdout.splitlines()
    assert not [line for line in done.stdout.splitlines() if line.startswith(name)]


def test_tasks_without_gpus_show_none_to_the_engines_hooks(node: Node) -> None:
    """NVIDIA's hook is told `void`, whatever the user's shell says."""
    start = Launch(argv=("sh", "-c", "env", "#"))
    done = node.run(node.task("true"), start, {"NVIDIA_VISIBLE_DEVICES": "all"})
    assert "NVIDIA_VISIBLE_DEVICES=void" in done.stdout.splitlines()


# --- several tasks in one element -----------------------------------------------------------


def series(node: Node, *commands: str) -> tuple[Path, list[Path]]:
    """Write a script that runs commands one after another; return it and their markers."""
    pairs, markers = [], []
    for index, command in enumerate(commands):
        scratch = str(node.path / f"scratch {index}")
        task = node.task(command, scratch=scratch, tmpdir=f"{scratch}/tmp")
        script, marker = node.path / f"task {index}.sh", node.path / f"m{index}"
        text = render_task(
            task, ON_HOST, number=f"1.{index}", library=str(node.path), marker=str(marker)
        )
        script.write_text(text, encoding="utf-8")
        pairs.append((str(script), str(node.path / f"{index}.log")))
        markers.append(marker.with_suffix(".0"))
    script = node.path / "series.sh"
    script.write_text(render_series(pairs, title="a\nb", library=str(node.path)), encoding="utf-8")
    return script, markers


def codes(markers: list[Path]) -> list[int | None]:
    """Return the exit codes of tasks, None for one that left no marker."""
    found = [parse_marker(path.read_text()) if path.exists() else None for path in markers]
    return [marker.exit_code if marker else None for marker in found]


def test_tasks_of_a_series_run_one_after_another(node: Node) -> None:
    """Each has its own log, marker and temporary folder; one that fails does not stop the next."""
    script, markers = series(
        node, "echo one; exit 3", 'ls "$TMPDIR"; touch "$TMPDIR/x"', "kill -9 $$"
    )
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert codes(markers) == [3, 0, 137]
    logs = [(node.path / f"{index}.log").read_text() for index in range(3)]
    assert (logs, done.stdout, done.stderr) == (["one\n", "", ""], "", "")
    assert list(node.path.glob("scratch *")) == []


def test_times_of_a_series_are_each_tasks_own(node: Node) -> None:
    """A task does not pay for the ones before it."""
    busy = "i=0; while ((i++ < 30000)); do :; done"
    script, markers = series(node, busy, "true")
    subprocess.run(["bash", script], check=False)
    first, second = (parse_marker(path.read_text()) for path in markers)
    assert first is not None
    assert second is not None
    assert (first.cpu_s or 0) > (second.cpu_s or 0)
    assert first.ended <= second.started


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_a_signal_to_end_ends_a_series(node: Node, name: str) -> None:
    """The task that runs may clean up, and those behind it do not start."""
    command = f"trap 'sleep 0.05; exit 42' {name}; touch ready; sleep 10 & wait"
    script, markers = series(node, "exit 1", command, "touch started")
    with subprocess.Popen(["bash", script]) as process:
        node.wait_for("ready")
        process.send_signal(signal.Signals[f"SIG{name}"])
        process.wait(10)
    assert codes(markers) == [1, 42, None]
    assert not (node.path / "started").exists()


def test_a_warning_does_not_end_a_series(node: Node) -> None:
    """USR1 is for the task that runs; the next one runs as if nothing had been."""
    command = "trap 'exit 5' USR1; touch ready; sleep 10 & wait"
    script, markers = series(node, command, "exit 6")
    with subprocess.Popen(["bash", script]) as process:
        node.wait_for("ready")
        process.send_signal(signal.SIGUSR1)
        process.wait(10)
    assert codes(markers) == [5, 6]


# --- benchmarks --------------------------------------------------------------------------

HOLD = "python3 -c 'x = bytearray(b\"x\") * (60 << 20); import time; time.sleep(0.6)'"


def test_a_benchmark_measures_the_command(node: Node) -> None:
    """Memory is that of the command and what it starts, time that of the command alone."""
    node.run(node.task(f"sleep 0.1; {HOLD}; true", benchmark=True))
    marker = node.marker()
    (measured,) = marker.measured
    assert measured.rss_mb
    assert measured.vms_mb
    assert measured.uss_mb
    assert measured.pss_mb
    assert 60 < measured.uss_mb <= measured.pss_mb <= measured.rss_mb < measured.vms_mb
    assert measured.rss_mb < 120
    assert 0.7 <= measured.seconds <= marker.ended - marker.started
    assert 0 < measured.cpu_s <= measured.seconds + 1


def test_cpu_time_of_short_processes_counts(node: Node) -> None:
    """What many programs used that ended between two samples is not lost."""
    busy = "i=0; while ((i++ < 20000)); do :; done"
    node.run(node.task(f"for n in 1 2 3; do ({busy}); done", benchmark=True))
    marker = node.marker()
    assert marker.cpu_s
    assert marker.measured[0].cpu_s == pytest.approx(marker.cpu_s, rel=0.5, abs=0.05)


def test_repeats_follow_until_one_fails(node: Node) -> None:
    """Each repeat is its own command and has a record of its own; the failure is the task's."""
    repeats = ("echo two >>ran; exit 4", "echo three >>ran")
    node.run(node.task("echo one >>ran", benchmark=True, repeats=repeats))
    assert (node.path / "ran").read_text() == "one\ntwo\n"
    assert (2, 4) == (len(node.marker().measured), node.marker().exit_code)


def test_only_benchmarks_are_measured(node: Node) -> None:
    """Any other task reads nothing more than before, and has no record."""
    (node.path / "measure.sh").unlink()
    (node.path / "ranks.sh").unlink()
    done = node.run(node.task("true"))
    assert ((), "") == (node.marker().measured, done.stderr)


def test_nothing_stays_of_a_measurement(node: Node) -> None:
    """The shell that watches ends with the command, also when that ends at once."""
    done = node.run(node.task("true", benchmark=True))
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert not (node.path / "scratch").exists()


# --- several processes -------------------------------------------------------------------

#: Starts two ranks one after the other, as a launcher of MPI does.
TWO = ("sh", "-c", 'for r in 0 1; do PMI_RANK=$r PMI_SIZE=2 "$@" || exit; done', "sh")
TWO_RANKS = Launch(argv=(), contained=False, launcher=TWO)


def test_each_rank_finds_its_number(node: Node) -> None:
    """RANK and WORLD_SIZE come from the launcher, the place to meet is the same for all."""
    command = 'echo "$RANK $WORLD_SIZE $NNODES $NODE_RANK $MASTER_ADDR $MASTER_PORT $DECLARED"'
    task = node.task(command, launcher=TWO, env={"DECLARED": "it's"})
    done = node.run(task, TWO_RANKS, {"SLURM_JOB_ID": "17", "SLURMD_NODENAME": "localhost"})
    place = "2 1 0 localhost 61017 it's"
    assert done.stdout == f"0 {place}\n1 {place}\n"
    assert (node.marker().success, done.stderr) == (True, "")


def test_declared_variables_win_over_the_rendezvous(node: Node) -> None:
    """A user who names a port knows why."""
    task = node.task("echo $MASTER_PORT", launcher=TWO, env={"MASTER_PORT": "29500"})
    assert node.run(task, TWO_RANKS).stdout == "29500\n" * 2


def test_the_first_rank_that_fails_gives_the_exit_code(node: Node) -> None:
    """What the launcher makes of it (srun: the greatest, that of killed ranks) does not count."""
    launcher = (*TWO[:2], f"{TWO[2].removesuffix('|| exit; done')}; done; exit 143", "sh")
    start = Launch(argv=(), contained=False, launcher=launcher)
    node.run(node.task("exit $((RANK + 3))", launcher=launcher), start)
    assert node.marker().exit_code == 3
    assert not (node.path / "marker.failed").exists()


def test_a_launcher_that_fails_by_itself_gives_its_own_code(node: Node) -> None:
    """Where no rank came so far, the launcher's exit code is the task's."""
    start = Launch(argv=(), contained=False, launcher=("false",))
    node.run(node.task("true", launcher=("false",)), start)
    assert node.marker().exit_code == 1


def test_a_missing_launcher_is_named(node: Node) -> None:
    """The task stops before anything is started."""
    start = Launch(argv=(), contained=False, launcher=("no-such-launcher",))
    node.run(node.task("touch started", launcher=("no-such-launcher",)), start)
    marker = node.marker()
    assert ("launcher_missing", "no-such-launcher") == (marker.setup, marker.detail)
    assert not (node.path / "started").exists()


def test_ranks_must_be_contained(node: Node) -> None:
    """An engine that starts no container is noticed in each rank."""
    start = Launch(argv=("env",), launcher=TWO)
    node.run(node.task("touch started", launcher=TWO), start)
    assert node.marker().setup == "not_contained"
    assert not (node.path / "started").exists()


def test_ranks_are_measured_and_repeated(node: Node) -> None:
    """A benchmark of several processes has its records, each repeat its own command."""
    task = node.task("echo a$RANK", launcher=TWO, benchmark=True, repeats=("echo b$RANK",))
    assert node.run(task, TWO_RANKS).stdout == "a0\na1\nb0\nb1\n"
    assert len(node.marker().measured) == 2


def test_a_command_on_several_nodes_finds_the_place_to_meet(node: Node) -> None:
    """A command that starts its processes itself has the rendezvous, but no rank."""
    (node.path / "bin").mkdir()
    srun = node.path / "bin" / "srun"
    srun.write_text('#!/bin/sh\nwhile [ "$1" != /bin/bash ]; do shift; done\nexec "$@"\n')
    srun.chmod(0o755)
    environ = {"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "5", "SLURMD_NODENAME": "localhost"}
    path = f"{srun.parent}:{os.environ['PATH']}"
    done = node.run(
        node.task("echo $NNODES $MASTER_PORT ${NODE_RANK-none} ${RANK-none}"),
        environ={**environ, "PATH": path},
    )
    assert (done.stdout, done.stderr) == ("2 61005 none none\n", "")
    assert not (node.path / "scratch").exists()


def test_tasks_inside_a_larger_job_keep_to_their_node(node: Node) -> None:
    """Under the scheduler `local` the nodes of the job around it are no task's own."""
    environ = {"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "5", "HPCCTR_SCHEDULER": "local"}
    done = node.run(node.task("echo ${NNODES-none}"), environ=environ)
    assert (done.stdout, done.stderr) == ("none\n", "")


def test_srun_is_not_asked_for_a_job_of_its_own(node: Node) -> None:
    """Outside of Slurm jobs the task stops before srun could queue for one."""
    (node.path / "srun").write_text("#!/bin/sh\ntouch started\n")
    (node.path / "srun").chmod(0o755)
    words = (str(node.path / "srun"),)
    node.run(node.task("true", launcher=words), Launch(argv=(), contained=False, launcher=words))
    assert node.marker().setup == "no_slurm_job"
    assert not (node.path / "started").exists()


def test_a_signal_reaches_every_rank(node: Node) -> None:
    """All ranks of this node are told, and each has the time to save its work."""
    both = 'PMI_RANK=0 PMI_SIZE=2 "$@" & PMI_RANK=1 PMI_SIZE=2 "$@"; wait'
    launcher = ("sh", "-c", both, "sh")
    command = "trap 'sleep 0.1; touch saved.$RANK; exit 4' TERM; touch on.$RANK; sleep 10 & wait"
    start = Launch(argv=(), contained=False, launcher=launcher)
    script = node.write(node.task(command, launcher=launcher), start)
    with subprocess.Popen(["bash", script], stdout=subprocess.DEVNULL) as process:
        node.wait_for("on.0")
        node.wait_for("on.1")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 4
    assert (node.path / "saved.0").exists()
    assert (node.path / "saved.1").exists()
    assert "TERM" == node.marker().signal
