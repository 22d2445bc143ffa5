"""One table: what a task may rely on, the same with every engine."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.engines import launch
from snakemake_executor_plugin_hpcctr.errors import EngineError
from snakemake_executor_plugin_hpcctr.task import (
    ApptainerOptions,
    Bind,
    EngineOptions,
    Gpu,
    Resources,
    Task,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conformance.conftest import Place, Ran

DECLARED = {
    "QUOTES": 'it\'s "quoted"',
    "LINES": "one\n\ntwo\n",
    "SHELL_TEXT": "$HOME `id` $(id) \\n \\",
    "UNICODE": "Größe 5 µm €",
    "BYTES": "\udcff\udcc3(",
    "EMPTY": "",
    "OPTION": "--help",
    "COMMA": "a,b:c=d;e|f&g #h",
    "IMAGE_AND_DECLARED": "declared",
    "AMBIENT_AND_DECLARED": "declared",
}
AMBIENT = {
    "AMBIENT": "it's $HOME\nhere \udcff",
    "AMBIENT_AND_DECLARED": "ambient",
    "IMAGE_AND_AMBIENT": "ambient",
    "SLURM_JOB_NAME": "train; x='$1'",
    "CUDA_VISIBLE_DEVICES": "3",
    "TOKEN": "s3cr3t-0f-n0-f1l3",
}
#: What describes the node, and means nothing in an image.
OF_THE_NODE = {
    "LD_LIBRARY_PATH": "/host/lib",
    "PYTHONPATH": "/host/python",
    "XDG_RUNTIME_DIR": "/run/user/host",
    "TMPDIR": "/host/tmp",
    "APPTAINER_CACHEDIR": "/tmp/host-cache",
}
#: Lines that a user may have in .bashrc, and that would change what an engine does.
STEERING = {
    "APPTAINER_BIND": "/etc:/mnt/steered",
    "APPTAINER_BINDPATH": "/etc:/mnt/steered",
    "APPTAINER_CONTAIN": "1",
    "APPTAINER_NO_HOME": "1",
    "APPTAINER_WORKDIR": "/nowhere",
    "APPTAINERENV_STEERED": "1",
    "SINGULARITY_BIND": "/etc:/mnt/steered",
    "SINGULARITYENV_STEERED": "1",
    "ENROOT_MOUNT_HOME": "no",
    "ENROOT_REMAP_ROOT": "yes",
    "ENROOT_ROOTFS_WRITABLE": "yes",
    "ENROOT_LOGIN_SHELL": "yes",
    "ENROOT_DATA_PATH": "/nowhere",
}
#: Looks around from where the command runs, and writes what it saw.
LOOK = """
import json, os, sys
def tried(action):
    try:
        return action()
    except OSError as error:
        return type(error).__name__
def write(path):
    with open(path, "x") as stream:
        stream.write("from inside")
    return "written"
here = os.getcwd()
seen = {
    "cwd": here,
    "environ": {os.fsdecode(k): os.fsencode(v).hex() for k, v in os.environ.items()},
    "home": tried(lambda: os.stat(os.environ["HOME"]).st_ino),
    "tmp": tried(lambda: open(os.environ["IN_TMP"]).read()),
    "into_tmp": tried(lambda: write(os.environ["IN_TMP"] + ".back")),
    "tmpdir_mode": oct(os.stat(os.path.dirname(os.environ["TMPDIR"])).st_mode & 0o777),
    "tmpdir_owner": os.stat(os.environ["TMPDIR"]).st_uid,
    "tmpdir_write": tried(lambda: write(os.environ["TMPDIR"] + "/x")),
    "stdin": sys.stdin.read(),
    "uid": os.getuid(),
    "release": tried(lambda: open("/etc/os-release").read()),
    "read_only": tried(lambda: open(os.environ["RO"] + "/file").read()),
    "write_read_only": tried(lambda: write(os.environ["RO"] + "/new")),
    "writable": tried(lambda: write(os.environ["RW"] + "/new")),
    "workdir": tried(lambda: write(here + "/output")),
    "steered": os.path.exists("/mnt/steered"),
    "root": os.path.exists(os.environ["ONLY_ON_HOST"]),
}
with open(here + "/seen.json", "w") as stream:
    json.dump(seen, stream)
"""


#: Saves its work when it is told to end; for that it must still be able to start a program.
SAVER = """
import signal, subprocess, sys, time
def save(*_):
    time.sleep(0.2)
    subprocess.run(["sh", "-c", "printf whole >saved"], check=True)
    sys.exit(42)
signal.signal(signal.SIGTERM, save)
open("running", "w").close()
time.sleep(30)
"""


@dataclass(frozen=True)
class Seen:
    """What a command saw, and how its script ended."""

    what: dict[str, Any]
    ran: Ran
    task: Task

    def variable(self, name: str) -> str | None:
        """Return a variable as the command found it."""
        found = self.what["environ"].get(name)
        return None if found is None else os.fsdecode(bytes.fromhex(found))


def image_variables(options: EngineOptions, values: Mapping[str, str]) -> EngineOptions:
    """Let the engine set variables as it sets those of an image."""
    flags = tuple(word for name, value in values.items() for word in ("--env", f"{name}={value}"))
    return options.model_copy(
        update={
            "apptainer": ApptainerOptions(extra_args=flags),
            "enroot": options.enroot.model_copy(update={"extra_args": flags}),
        }
    )


def folders(place: Place) -> tuple[tuple[Bind, Bind], dict[str, str]]:
    """Make a folder to read and one to write; return binds, and where the command finds them."""
    made = {"RO": place.path / "to-read", "RW": place.path / "to-write"}
    for folder in made.values():
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text("from outside")
    inside = {name: f"/mnt/{name.lower()}" for name in made}
    if place.kind.engine == "host":
        return (), {name: str(folder) for name, folder in made.items()}  # type: ignore[return-value]
    binds = tuple(
        Bind(source=str(made[name]), target=inside[name], read_only=name == "RO") for name in made
    )
    return binds, inside  # type: ignore[return-value]


@pytest.fixture(scope="module")
def seen(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Run one rich task, in an environment full of traps, and return what it saw."""
    binds, variables = folders(place)
    in_tmp = tmp_path_factory.mktemp("node") / "of-the-node"
    in_tmp.write_text("from the node")
    (place.path / "look.py").write_text(LOOK, encoding="utf-8")
    task = place.task(
        "python3 look.py",
        binds=binds,
        env={**DECLARED, **variables, "IN_TMP": str(in_tmp), "ONLY_ON_HOST": "/usr/bin/make"},
        pass_env=("TOKEN", "NOT_SET"),
        options=image_variables(
            place.options, {"IMAGE_AND_AMBIENT": "image", "IMAGE_AND_DECLARED": "image"}
        ),
    )
    ran = place.run(task, {**AMBIENT, **STEERING, **OF_THE_NODE})
    assert (ran.code, ran.err) == (0, "")
    what = json.loads((place.path / "seen.json").read_text(encoding="utf-8"))
    return Seen(what, ran, task)


def contained(place: Place) -> bool:
    """Whether the engine starts a container at all."""
    return place.kind.engine != "host"


# --- what a task finds -------------------------------------------------------------------


def test_the_working_directory_is_the_tasks(place: Place, seen: Seen) -> None:
    """The command starts in the workflow's folder, whatever the image's own is."""
    assert (str(place.path), "written") == (seen.what["cwd"], seen.what["workdir"])
    assert (place.path / "output").read_text() == "from inside"


def test_home_is_the_users(place: Place, seen: Seen) -> None:
    """$HOME is the same folder as on the node; Apptainer takes it from the list of users."""
    known = pwd.getpwuid(os.getuid()).pw_dir
    home = known if place.kind.engine == "apptainer" else os.environ["HOME"]
    assert (home, Path(home).stat().st_ino) == (seen.variable("HOME"), seen.what["home"])


def test_tmp_is_the_nodes(seen: Seen) -> None:
    """Files in /tmp are seen from both sides."""
    assert (seen.what["tmp"], seen.what["into_tmp"]) == ("from the node", "written")
    assert Path(seen.task.env["IN_TMP"] + ".back").read_text() == "from inside"


def test_tmpdir_is_private_and_removed(seen: Seen) -> None:
    """$TMPDIR is a folder of the task alone; TMP, TEMP and TEMPDIR agree; nothing stays."""
    names = ("TMPDIR", "TMP", "TEMP", "TEMPDIR")
    assert [seen.task.tmpdir] * 4 == [seen.variable(name) for name in names]
    assert (seen.what["tmpdir_mode"], seen.what["tmpdir_write"]) == ("0o700", "written")
    assert os.getuid() == seen.what["tmpdir_owner"]
    assert not Path(seen.task.scratch).exists()


def test_the_user_is_the_same(seen: Seen) -> None:
    """Files that a task writes belong to the user."""
    assert os.getuid() == seen.what["uid"]


def test_the_command_runs_in_the_image(place: Place, seen: Seen) -> None:
    """A contained command sees the image's files, and no undeclared file of the node."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    assert contained(place) == (release != seen.what["release"])
    assert contained(place) != seen.what["root"]


def test_the_input_is_empty(seen: Seen) -> None:
    """A command that reads its input finds its end at once, and does not wait for somebody."""
    assert seen.what["stdin"] == ""


def test_binds_are_read_only_or_writable(place: Place, seen: Seen) -> None:
    """A bind is found at its target, and `ro` is kept."""
    assert (seen.what["read_only"], seen.what["writable"]) == ("from outside", "written")
    assert (place.path / "to-write" / "new").read_text() == "from inside"
    if contained(place):
        assert seen.what["write_read_only"] == "OSError"
        assert not (place.path / "to-read" / "new").exists()


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_variable_arrives_byte_for_byte(seen: Seen, name: str) -> None:
    """Quotes, newlines, dollars, backticks and any bytes; image and node have no say."""
    assert DECLARED[name] == seen.variable(name)


@pytest.mark.parametrize("name", ["AMBIENT", "SLURM_JOB_NAME", "CUDA_VISIBLE_DEVICES", "TOKEN"])
def test_a_variable_of_the_submitting_environment_enters(seen: Seen, name: str) -> None:
    """Ambient, the allocation's and passed variables arrive with the bytes they have."""
    assert AMBIENT[name] == seen.variable(name)


def test_the_images_variable_wins_over_an_ambient_one(place: Place, seen: Seen) -> None:
    """What the image sets is not overridden by what happens to be set where one submits."""
    sets_it = place.kind.engine in {"apptainer", "enroot"}
    expected = "image" if sets_it else "ambient"
    assert expected == seen.variable("IMAGE_AND_AMBIENT")


@pytest.mark.parametrize("name", [*OF_THE_NODE, *STEERING])
def test_the_nodes_software_stays_outside(place: Place, seen: Seen, name: str) -> None:
    """Variables about the node's libraries and engines mean nothing in an image."""
    if contained(place):
        assert {**OF_THE_NODE, **STEERING}[name] != seen.variable(name)


def test_the_users_shell_does_not_steer_the_engine(seen: Seen) -> None:
    """APPTAINER_BIND, SINGULARITY_BIND or ENROOT_… in .bashrc change nothing."""
    assert not seen.what["steered"]
    assert seen.variable("STEERED") is None


def test_the_secret_is_in_no_file(place: Place, seen: Seen) -> None:
    """A passed variable is neither in a script, nor in a marker or log."""
    secret = AMBIENT["TOKEN"]
    assert secret == seen.variable("TOKEN")
    files = [path for path in place.run_folder.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert secret not in seen.ran.out + seen.ran.err


def test_nothing_is_left_on_the_node(seen: Seen) -> None:
    """No process that mounts the image, nor any other, stays behind."""
    assert seen.ran.left == []


def test_clean_env_keeps_ambient_variables_out(place: Place) -> None:
    """With clean_env only the allocation's, the passed and the declared variables enter."""
    task = place.task("env", clean_env=True, env={"DECLARED": "1"}, pass_env=("TOKEN",))
    outside = {"AMBIENT": "1", "http_proxy": "http://proxy", **OF_THE_NODE}
    lines = place.run(task, {**AMBIENT, **outside}).out.splitlines()
    entering = {"DECLARED", "TOKEN", "SLURM_JOB_NAME", "CUDA_VISIBLE_DEVICES", "TMPDIR"}
    assert entering <= {line.partition("=")[0] for line in lines}
    assert {f"{name}={value}" for name, value in outside.items()} & set(lines) == set()


def test_the_images_python_finds_its_packages(place: Place) -> None:
    """Python in the image imports what is installed there."""
    if not contained(place):
        pytest.skip("the node's own Python may have no numpy")
    ran = place.run(place.task("python3 -c 'import numpy; print(numpy.arange(4).sum())'"))
    assert (ran.code, ran.out) == (0, "6\n")


# --- how a task ends ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 7", 7),
        ("exec python3 -c 'raise SystemExit(200)'", 200),
        ("kill -KILL $$", 137),
        ("no-such-command --option", 127),
    ],
    ids=["7", "200", "killed", "not-found"],
)
def test_the_exit_code_arrives(place: Place, command: str, code: int) -> None:
    """The marker has the command's own exit code, with every engine the same."""
    ran = place.run(place.task(command))
    assert (code, code, "") == (ran.code, ran.marker.exit_code, ran.marker.setup)


def test_a_long_command_runs(place: Place) -> None:
    """A command of 200 kB is no argument of any program, and runs all the same."""
    command = f": '{'x' * 200_000}'\nprintf '%s' done"
    assert place.run(place.task(command)).out == "done"


def test_output_goes_where_the_script_writes(place: Place) -> None:
    """Both streams of the command are the script's, with nothing of the engine's in them."""
    ran = place.run(place.task("echo out; echo err >&2"))
    assert (ran.out, ran.err) == ("out\n", "err\n")


def test_a_signal_leaves_the_command_a_whole_container(place: Place) -> None:
    """TERM to the script reaches the command, which can still run programs while it cleans up."""
    ready, cleaned = place.path / "ready", place.path / "cleaned"
    command = (
        'clean() { python3 -c \'open("cleaned", "w").write("whole")\'; exit 42; }\n'
        "trap clean TERM\ntouch ready\nfor i in $(seq 300); do sleep 0.1; done"
    )
    script = place.write(place.task(command))
    process = place.start(script)
    until = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    ran = place.end(process, script)
    assert (ran.marker.exit_code, ran.marker.signal) == (42, "TERM")
    assert cleaned.read_text() == "whole"
    assert ran.left == []


def test_a_program_under_a_plain_shell_is_told(place: Place) -> None:
    """The shell text of a rule has no trap, the program it runs may: that one gets the signal."""
    ready, saved = place.path / "running", place.path / "saved"
    (place.path / "saver.py").write_text(SAVER, encoding="utf-8")
    script = place.write(place.task("set -euo pipefail; python3 saver.py\necho 'not reached'"))
    process = place.start(script)
    until = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    ran = place.end(process, script)
    assert (ran.marker.exit_code, ran.marker.signal) == (42, "TERM")
    assert saved.read_text() == "whole"
    assert (ran.out, ran.left) == ("", [])


def test_the_same_script_runs_again(place: Place) -> None:
    """A job that the scheduler starts again runs as the first time, with a marker of its own."""
    task = place.task("touch $TMPDIR/x; ls $TMPDIR; exit 3")
    first, second = place.run(task), place.run(task, restart=1)
    assert ("x\n", "x\n") == (first.out, second.out)
    assert (3, 3) == (first.marker.exit_code, second.marker.exit_code)
    assert not Path(task.scratch).exists()


# --- several processes, and what they use --------------------------------------------------


def two_ranks(place: Place) -> tuple[str, ...]:
    """Return a launcher of two ranks: srun for pyxis, for others one that needs no Slurm."""
    if place.kind.engine == "pyxis":
        return ("srun", "--ntasks=2", "--overcommit")
    return ("sh", "-c", 'for r in 0 1; do PMI_RANK=$r PMI_SIZE=2 "$@" || exit; done', "sh")


def test_each_rank_is_contained_and_knows_its_number(place: Place) -> None:
    """A launcher starts the engine once per rank; each finds its number and all else."""
    task = place.task(
        'echo "$RANK/$WORLD_SIZE $DECLARED $(test -w "$TMPDIR" && pwd)"',
        launcher=two_ranks(place),
        env={"DECLARED": "it's 'declared'"},
    )
    ran = place.run(task, AMBIENT if place.kind.engine != "pyxis" else {})
    rest = f"it's 'declared' {place.path}"
    assert [f"0/2 {rest}", f"1/2 {rest}"] == sorted(ran.out.splitlines())
    assert (0, True, []) == (ran.code, ran.marker.success, ran.left)
    assert not Path(task.scratch).exists()


def test_the_first_rank_that_fails_gives_the_exit_code(place: Place) -> None:
    """The others are ended, and what becomes of them is not the task's exit code."""
    ran = place.run(place.task("exit $((RANK == 0 ? 5 : 0))", launcher=two_ranks(place)))
    assert (5, 5) == (ran.code, ran.marker.exit_code)


def test_a_benchmark_counts_the_command_alone(place: Place) -> None:
    """Memory of the command and its children; the engine around it does not count."""
    hold = "import time; x = bytearray(b'x') * (60 << 20); time.sleep(1)"
    command = f'python3 -c "{hold}"; true'
    ran = place.run(place.task(command, benchmark=True, repeats=("true",)))
    first, second = ran.marker.measured
    assert first.rss_mb
    assert 60 < first.rss_mb < 110
    assert 1 <= first.seconds
    assert (second.rss_mb or 0) < 60
    assert (ran.out, ran.err, ran.left) == ("", "", [])


# --- what stops a task before its command ------------------------------------------------


def missing(place: Place, what: str) -> dict[str, Any]:
    """Return a change that makes a task lack one thing."""
    nowhere = "/nowhere/at/all"
    image = place.image and place.image.model_copy(update={"location": nowhere})
    changes: dict[str, dict[str, Any]] = {
        "image_missing": {"image": image},
        "bind_missing": {"binds": (Bind(source=nowhere, target="/data"),)},
        "workdir_missing": {"workdir": nowhere},
        "no_gpu": {"resources": Resources(gpu=Gpu(count=1))},
        "engine_missing": {},
    }
    return changes[what]


@pytest.mark.parametrize(
    "what", ["image_missing", "bind_missing", "workdir_missing", "no_gpu", "engine_missing"]
)
def test_what_is_missing_is_said_in_one_word(place: Place, what: str) -> None:
    """The marker names what the node lacks, the same with every engine; nothing is started."""
    if not contained(place) and what in {"image_missing", "bind_missing", "engine_missing"}:
        pytest.skip("a task on the host needs none")
    task = place.task("touch started", **missing(place, what))
    more = {"PATH": "/nonexistent"} if what == "engine_missing" else {}
    script = place.write(task)
    if what == "engine_missing":
        more = {"PATH": str(without_engines(place))}
    ran = place.end(place.start(script, more), script)
    assert (1, what) == (ran.marker.exit_code, ran.marker.setup)
    assert f"hpcctr: {what}: " in ran.err
    assert not (place.path / "started").exists()


def without_engines(place: Place) -> Path:
    """Return a folder of programs that has what a script needs, and no engine."""
    folder = place.path / "programs"
    folder.mkdir(exist_ok=True)
    for name in ("bash", "sh", "mkdir", "rm", "mv", "cat", "readlink", "env"):
        if not (folder / name).exists():
            (folder / name).symlink_to(shutil.which(name) or name)
    return folder


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_a_scratch_folder_of_another_user_is_refused(place: Place) -> None:
    """A folder that somebody else made under our name is neither used nor removed."""
    task = place.task("touch started")
    scratch = Path(task.scratch)
    scratch.mkdir(mode=0o777)
    os.chown(scratch, 65534, 65534)
    ran = place.run(task)
    assert (ran.marker.exit_code, ran.marker.setup) == (1, "scratch")
    assert not (place.path / "started").exists()
    assert scratch.exists()
    shutil.rmtree(scratch)


@pytest.mark.parametrize("name", ["a,b", "a:b", "a b", 'a"b', "a'b", "a$HOME`id`", "größe #1;x"])
def test_an_odd_path_is_bound_or_refused_by_name(place: Place, name: str) -> None:
    """A path that an engine cannot write is an error; any other is found with its file."""
    if not contained(place):
        pytest.skip("the host has no binds")
    folder = place.path / "odd" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text(name)
    target = f"/mnt/odd/{name}"
    task = place.task(
        'cat "$ODD/file"', binds=(Bind(source=str(folder), target=target),), env={"ODD": target}
    )
    if refused := refusal(task):
        assert "cannot bind a path with" in refused.what
        assert refused.next_step
        return
    ran = place.run(task)
    assert (ran.code, ran.out, ran.err) == (0, name, "")


def refusal(task: Task) -> EngineError | None:
    """Return the error of a task that its engine cannot express, None if it can."""
    try:
        launch(task)
    except EngineError as error:
        return error
    return None
