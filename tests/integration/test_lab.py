"""The lab starts a Slurm that runs jobs, and leaves nothing behind."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.errors import CommandError, ConfigError
from snakemake_executor_plugin_hpcctr.lab import Lab, LabSettings, packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab
HOG = "import time; x = b'x' * (300 << 20); time.sleep(5); print(len(x), 'survived')"
needs_accounting = pytest.mark.skipif(
    bool(packages.missing(packages.ACCOUNTING)), reason="slurmdbd or MariaDB is not installed"
)
needs_slurm = pytest.mark.skipif(
    bool(packages.missing(packages.SLURM)), reason="Slurm is not installed"
)


def run(lab: Lab, *words: str, cwd: Path | None = None) -> str:
    """Run one of Slurm's commands in a lab and return what it printed."""
    return subprocess.run(
        words,
        env={**os.environ, **lab.environ},
        cwd=cwd,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    ).stdout


def batch(lab: Lab, folder: Path, script: str, *options: str) -> str:
    """Submit a script, wait for its end, and return its output."""
    log = folder / "out.txt"
    subprocess.run(
        ["sbatch", "--wait", f"--output={log}", *options, f"--wrap={script}"],
        env={**os.environ, **lab.environ},
        cwd=folder,
        check=False,
        capture_output=True,
        timeout=60,
    )
    return log.read_text()


def processes_of(lab: Lab) -> list[str]:
    """Return the command lines that name the lab's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(lab.layout.directory) in words or str(lab.layout.runtime) in words:
            found.append(words)
    return found


@pytest.fixture
def new_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Make labs that end with the test, whatever happens in it."""
    made: list[Lab] = []

    def make(name: str = "lab", **settings: object) -> Lab:
        lab = Lab(LabSettings.model_validate({"directory": tmp_path / name, **settings}))
        made.append(lab)
        return lab

    yield make
    for lab in made:
        lab.down()
        assert processes_of(lab) == []


def test_array_job_runs_on_the_lab(lab: Lab, tmp_path: Path) -> None:
    """An array runs at once, each element with its own index."""
    log = tmp_path / "%a.txt"
    run(
        lab,
        "sbatch",
        "--wait",
        "--array=0-3",
        f"--output={log}",
        "--wrap=echo $SLURM_ARRAY_TASK_ID",
    )
    assert [(tmp_path / f"{index}.txt").read_text() for index in range(4)] == [
        "0\n",
        "1\n",
        "2\n",
        "3\n",
    ]


def test_gpu_jobs_see_their_devices(lab: Lab, tmp_path: Path) -> None:
    """A job that asks for both GPUs of a node finds both in CUDA_VISIBLE_DEVICES."""
    output = batch(lab, tmp_path, "echo $CUDA_VISIBLE_DEVICES", "-p", "gpu", "--gres=gpu:2")
    assert output == "0,1\n"


def test_too_much_memory_ends_a_job(lab: Lab, tmp_path: Path) -> None:
    """A job that takes more memory than it asked for is ended, as the status says."""
    output = batch(lab, tmp_path, shlex.join([sys.executable, "-c", HOG]), "--mem=100")
    state = lab.status().state
    assert state is not None
    sign = {"cgroup": "oom-kill event", "sampled": "exceeded memory limit"}
    assert sign[state.machine.memory_limit] in output
    assert "survived" not in output


def test_second_up_changes_nothing(lab: Lab) -> None:
    """`up` on a running lab leaves its daemons as they are."""
    before = lab.status()
    lab.up()
    assert before.daemons == lab.status().daemons


def test_up_with_other_settings_is_refused(lab: Lab) -> None:
    """A running lab is not taken for one with other settings."""
    other = Lab(lab.settings.model_copy(update={"nodes": 3}))
    with pytest.raises(ConfigError, match="runs already, with nodes=2"):
        other.up()


def test_jobs_outlive_a_restart_of_the_controller(lab: Lab, tmp_path: Path) -> None:
    """After a restart the controller still knows a job that runs."""
    job = run(
        lab, "sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 60", cwd=tmp_path
    ).strip()
    lab.restart_controller()
    assert f"{job}\n" == run(lab, "squeue", "-h", "-o", "%A", "-j", job)
    run(lab, "scancel", job)


def test_controller_can_be_away(lab: Lab) -> None:
    """Between stop and start of the controller the lab does not run, afterwards it does."""
    lab.stop_controller()
    assert not lab.status().running
    lab.start_controller()
    assert lab.status().running


def test_node_comes_back(lab: Lab) -> None:
    """A node whose slurmd ended takes jobs again once it is started."""
    lab.stop_node("n2")
    assert lab.status().daemons["slurmd-n2"] is None
    lab.start_node("n2")
    assert run(lab, "srun", "--nodelist=n2", "echo", "ok") == "ok\n"


def test_unknown_node_is_named(lab: Lab) -> None:
    """A node that the lab does not have is refused by name."""
    with pytest.raises(ConfigError, match="slurmd-n9"):
        lab.stop_node("n9")


def test_default_image_store_fails(lab_environ: dict[str, str]) -> None:
    """Tests find the lab's Slurm, and no image store that belongs to the user."""
    assert Path(lab_environ["SLURM_CONF"]).is_file()
    with pytest.raises(NotADirectoryError):
        Path(lab_environ["HPCCTR_IMAGES"]).mkdir(parents=True)


def test_base_image_runs(apptainer: str, base_image: BaseImage) -> None:
    """Both formats of the base image bring Python with numpy."""
    for image in (base_image.sif, base_image.sqsh):
        words = [apptainer, "-q", "exec", str(image), "python3", "-c", "import numpy; print(1)"]
        assert subprocess.check_output(words, text=True) == "1\n"


def test_plugstack_reaches_srun(pyxis: Lab, base_image: BaseImage) -> None:
    """A plug-in that the settings include is loaded: pyxis runs a command in the image."""
    release = run(pyxis, "srun", f"--container-image={base_image.sqsh}", "cat", "/etc/os-release")
    assert "VERSION_CODENAME=trixie" in release


@needs_slurm
def test_labs_stand_side_by_side(new_lab: Callable[..., Lab]) -> None:
    """Two labs run at the same time and know nothing of each other's jobs."""
    one, two = new_lab("one", nodes=1), new_lab("two", nodes=1)
    one.up()
    two.up()
    run(one, "sbatch", "--hold", "--wrap=true")
    assert tuple(len(run(lab, "squeue", "-h").splitlines()) for lab in (one, two)) == (1, 0)


@needs_slurm
def test_down_ends_running_jobs(new_lab: Callable[..., Lab], tmp_path: Path) -> None:
    """`down` ends a job that ignores TERM, and all that the job started."""
    lab = new_lab(nodes=1)
    lab.up()
    alive = tmp_path / "alive"
    script = f"trap '' TERM; (while :; do touch {alive}; sleep 0.1; done) & wait"
    run(lab, "sbatch", "--output=/dev/null", f"--wrap={script}", cwd=tmp_path)
    while not alive.exists():
        time.sleep(0.05)
    assert lab.down()
    alive.unlink()
    time.sleep(0.5)
    assert not alive.exists()
    assert not lab.layout.runtime.exists()


@needs_slurm
def test_down_ends_jobs_without_a_controller(new_lab: Callable[..., Lab], tmp_path: Path) -> None:
    """Jobs end with the lab even if its controller has died before."""
    lab = new_lab(nodes=1)
    lab.up()
    alive = tmp_path / "alive"
    script = f"while :; do touch {alive}; sleep 0.1; done"
    run(lab, "sbatch", "--output=/dev/null", f"--wrap={script}", cwd=tmp_path)
    while not alive.exists():
        time.sleep(0.05)
    _kill(lab, "slurmctld")
    lab.down()
    alive.unlink()
    time.sleep(0.5)
    assert not alive.exists()


@needs_slurm
def test_up_after_a_crash_starts_afresh(new_lab: Callable[..., Lab]) -> None:
    """`up` cleans away a lab whose controller has died, and starts a new one."""
    lab = new_lab(nodes=1)
    lab.up()
    before = lab.status().daemons
    _kill(lab, "slurmctld")
    lab.up()
    after = lab.status()
    assert after.running
    assert set() == set(before.values()) & set(after.daemons.values())


def _kill(lab: Lab, daemon: str) -> None:
    pid = lab.status().daemons[daemon]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@needs_slurm
def test_failed_start_shows_the_log_and_leaves_nothing(new_lab: Callable[..., Lab]) -> None:
    """A daemon that does not start is named with its last words; the others end."""
    lab = new_lab(nodes=1, extra=("SelectType=select/nonsense",))
    with pytest.raises(CommandError, match="slurmctld") as caught:
        lab.up()
    assert "select/nonsense" in str(caught.value)
    assert str(lab.layout.log("slurmctld")) in caught.value.next_step
    assert not lab.down()


@needs_slurm
def test_long_path_still_works(new_lab: Callable[..., Lab]) -> None:
    """A folder too long for unix sockets keeps its sockets in a short one."""
    lab = new_lab("x" * 100, nodes=1)
    lab.up()
    assert run(lab, "srun", "echo", "ok") == "ok\n"
    assert Path("/tmp") == lab.layout.runtime.parent


@needs_slurm
def test_lab_without_munge(new_lab: Callable[..., Lab]) -> None:
    """Where there is no munge, the daemons trust anybody on this machine."""
    lab = new_lab(nodes=1, auth="none", gpus=0)
    lab.up()
    assert "munged" not in lab.status().daemons
    assert run(lab, "srun", "echo", "ok") == "ok\n"


@needs_slurm
def test_sampled_memory_limit(new_lab: Callable[..., Lab], tmp_path: Path) -> None:
    """Without cgroups a job over its memory is found by sampling, and ended."""
    lab = new_lab(nodes=1, memory_limit="sampled")
    lab.up()
    output = batch(lab, tmp_path, shlex.join([sys.executable, "-c", HOG]), "--mem=100")
    assert "exceeded memory limit" in output
    assert "survived" not in output


@needs_slurm
@needs_accounting
def test_accounting_knows_ended_jobs(new_lab: Callable[..., Lab], tmp_path: Path) -> None:
    """With accounting, sacct tells how a job ended."""
    lab = new_lab(nodes=1, accounting=True)
    lab.up()
    batch(lab, tmp_path, "exit 3")
    deadline = time.monotonic() + 20
    while not (line := run(lab, "sacct", "-n", "-P", "-X", "-o", "State,ExitCode,Account")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert line.strip().split("|")[:2] == ["FAILED", "3:0"]


@needs_slurm
def test_shell_can_evaluate_what_up_prints(new_lab: Callable[..., Lab]) -> None:
    """`eval "$(hpcctr lab up)"` makes Slurm's commands use the lab."""
    lab = new_lab("with-cli")
    hpcctr = [sys.executable, "-m", "snakemake_executor_plugin_hpcctr.cli", "lab"]
    command = shlex.join([*hpcctr, "up", "--nodes=1", f"--dir={lab.layout.directory}"])
    script = f'eval "$({command} 2>/dev/null)"; srun echo $SLURM_CONF'
    assert f"{lab.environ['SLURM_CONF']}\n" == subprocess.check_output(
        ["bash", "-c", script], text=True
    )
