"""Task → job script: what it looks like, and that it changes no byte.

The golden scripts are written anew by `HPCCTR_UPDATE_GOLDEN=1 pytest tests/unit`.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.engines import launch
from snakemake_executor_plugin_hpcctr.engines.base import Launch
from snakemake_executor_plugin_hpcctr.script.marker import parse_marker
from snakemake_executor_plugin_hpcctr.script.render import LIBRARY, library_text, render_task
from snakemake_executor_plugin_hpcctr.task import (
    Bind,
    EngineOptions,
    EnrootOptions,
    Gpu,
    Image,
    Resources,
    Task,
)

GOLDEN = Path(__file__).parent / "golden"
SQSH = Image(reference="science.sqsh", location="/images/science.sqsh", format="sqsh", identity="1")
#: A mount namespace of its own is all that a contained task's script looks for.
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def make_task(**changes: Any) -> Task:
    """Return a task of the engine `host`, changed where the test says."""
    values: dict[str, Any] = {
        "key": "k",
        "rule": "train",
        "wildcards": (("lr", "0.1"), ("note", "it's\n#SBATCH --mem=1G")),
        "attempt": 2,
        "command": "set -euo pipefail; \npython train.py --lr 0.1 'a b'\n",
        "workdir": "/project",
        "env": {"OMP_NUM_THREADS": "4", "NOTE": "two\nlines, $HOME"},
        "pass_env": ("TOKEN",),
        "scratch": "/tmp/hpcctr-1000-run-7",
        "tmpdir": "/tmp/hpcctr-1000-run-7/tmp",
        "resources": Resources(gpu=Gpu(count=2)),
    }
    return Task(**values | changes)


CONTAINED = {
    "image": SQSH,
    "binds": (
        Bind(source="/project", target="/project"),
        Bind(source="/data", target="/mnt/data", read_only=True),
    ),
}
SCRIPTS: dict[str, Task] = {
    "host": make_task(),
    "apptainer": make_task(engine="apptainer", **CONTAINED),
    "enroot": make_task(
        engine="enroot",
        options=EngineOptions(enroot=EnrootOptions(create=True, keep=False)),
        **CONTAINED,
    ),
    "pyxis": make_task(engine="pyxis", clean_env=True, **CONTAINED),
    "ranks": make_task(
        engine="apptainer",
        launcher=("srun", "--mpi=pmi2"),
        benchmark=True,
        repeats=("python train.py 1\n",),
        **CONTAINED | {"resources": Resources(nodes=2, tasks=4)},
    ),
}


def render(task: Task, start: Launch | None = None, folder: str = "/project/run") -> str:
    """Return the script of a task whose run is in a folder."""
    return render_task(
        task,
        start or launch(task),
        number="3.1",
        library=folder,
        marker=f"{folder}/markers/3.1",
    )


@pytest.mark.parametrize("engine", SCRIPTS)
def test_a_task_becomes_exactly_this_script(engine: str) -> None:
    """The script of each engine is the one on record."""
    text = render(SCRIPTS[engine])
    path = GOLDEN / f"task-{engine}.sh"
    if os.environ.get("HPCCTR_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", [f"task-{engine}.sh" for engine in SCRIPTS])
def test_the_scripts_on_record_are_valid_bash(name: str) -> None:
    """Bash reads the script without complaint."""
    done = subprocess.run(["bash", "-n", GOLDEN / name], capture_output=True, check=True)
    assert not done.stderr


@given(st.text(st.characters(exclude_characters="\0")), st.text(), st.text())
@example("x\n#SBATCH --partition=debug", "\r\n", "\x0b\x85\u2028")
def test_no_wildcard_leaves_the_comments_of_the_header(value: str, name: str, image: str) -> None:
    """Whatever rule values and images are called, the head of the script is comments only."""
    task = make_task(
        rule=name, wildcards=((name, value),), image=SQSH.model_copy(update={"reference": image})
    )
    head, _, _ = render(task).partition("source ")
    lines = re.split("[\n\r]", head.removesuffix("\n"))
    starts = [line[:2] for line in lines]
    assert starts == ["#!", "# ", "# ", "# "]


@pytest.mark.parametrize("mark", ["END_OF_COMMAND", "END_OF_ENVIRONMENT", "EOF"])
def test_the_command_may_hold_the_marks_of_here_documents(mark: str) -> None:
    """A command with a here-document of its own, or with our marks, is not cut short."""
    command = f"cat <<'{mark}'\ntext\n{mark}\n"
    text = render(make_task(command=command))
    opening = re.search(r"hpcctr_read hpcctr_command <<'(\w+)'\n", text)
    assert opening
    assert command == text[opening.end() :].partition(f"\n{opening[1]}\n")[0]


def test_a_variable_that_no_shell_can_set_is_refused() -> None:
    """A name that would be read as a command is an error when the script is written."""
    with pytest.raises(ValueError, match="name of an environment variable"):
        render(make_task(env={"A;id": "1"}))


@dataclass(frozen=True)
class Texts:
    """What the user wrote, any bytes but NUL; names of folders without slashes, too."""

    command: str
    values: tuple[str, ...]
    wildcard: str
    workdir: str
    scratch: str


pieces = st.one_of(
    st.sampled_from("'\"\\\n$`!~- \t\r*#%&;=é€\x01\x7f\udcc2\udcff"),
    st.sampled_from(
        ["$(id)", "\\\n", "'\\''", "\n#SBATCH -p x\n", "\nEND_OF_COMMAND\n", "<<EOF\n"]
    ),
    st.sampled_from(["\nEND_OF_ENVIRONMENT\n", "\nhpcctr_run\n", "-rf", "--", "\udce2\udc82"]),
)


def as_read(text: str) -> str:
    """Return the text as Python reads its bytes: two bytes that form a character are one."""
    return os.fsdecode(os.fsencode(text))


texts = st.one_of(
    st.lists(pieces, max_size=12).map("".join),
    st.binary(max_size=60).map(lambda data: os.fsdecode(data.replace(b"\0", b""))),
).map(as_read)
folders = texts.map(lambda text: as_read("d" + text.replace("/", "")))
tasks = st.lists(
    st.builds(
        Texts,
        command=texts,
        values=st.lists(texts, max_size=3).map(tuple),
        wildcard=texts,
        workdir=folders,
        scratch=folders,
    ),
    min_size=1,
    max_size=2,
)
#: Stands for the shell that reads the command: keeps it, where it runs, and the environment.
RECORDER = """#!/bin/sh
{ if [ "$1" = -c ]; then printf %s "$2"; else cat "$1"; fi; printf '\\0'; pwd
  printf '\\0'; cat /proc/self/environ; } >"$RECORD"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with the library and the recorder, used by many examples."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "markers").mkdir()
    for name in LIBRARY:
        (folder / name).write_text(library_text(name), encoding="utf-8")
    (folder / "recorder").write_text(RECORDER, encoding="utf-8")
    (folder / "recorder").chmod(0o755)
    return folder


serials = itertools.count()


def write_script(folder: Path, texts: Texts, start: Launch) -> tuple[Path, Path]:
    """Write the script of a task whose shell is the recorder; return it and the record."""
    serial = next(serials)
    place = folder / str(serial)
    workdir = place / texts.workdir
    workdir.mkdir(parents=True)
    record = place / "record"
    values = {f"V{index}": value for index, value in enumerate(texts.values)}
    scratch = str(place / "scratch" / texts.scratch)
    task = make_task(
        command=texts.command,
        interpreter=str(folder / "recorder"),
        workdir=str(workdir),
        wildcards=(("w", texts.wildcard),),
        env={**values, "RECORD": str(record), "PATH": f"{folder}:{os.environ['PATH']}"},
        pass_env=(),
        scratch=scratch,
        tmpdir=f"{scratch}/tmp",
        resources=Resources(),
    )
    text = render_task(
        task,
        start,
        number=str(serial),
        library=str(folder),
        marker=str(folder / "markers" / str(serial)),
    )
    script = place / "task.sh"
    script.write_bytes(os.fsencode(text))
    return script, record


def read_record(record: Path) -> tuple[str, str, tuple[str, ...], str]:
    """Return what the recorder kept: command, working directory, values and TMPDIR."""
    command, workdir, *environ = os.fsdecode(record.read_bytes()).split("\0")[:-1]
    found = dict(item.split("=", 1) for item in environ)
    values = tuple(found[f"V{index}"] for index in range(sum(n[1:].isdecimal() for n in found)))
    return command, workdir.removesuffix("\n"), values, found["TMPDIR"]


def check(folder: Path, items: list[Texts], start: Launch, end: str = "") -> None:
    """Run scripts one after another in one bash, and compare what their commands saw."""
    written = [write_script(folder, texts, start) for texts in items]
    driver = 'for script; do (source "$script"); done'
    environ = {"PATH": os.environ["PATH"], "HOME": "/", "LC_ALL": "C.UTF-8"}
    argv = ["bash", "-c", driver, "bash", *(str(script) for script, _ in written)]
    done = subprocess.run(argv, capture_output=True, env=environ, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    for texts, (script, record) in zip(items, written, strict=True):
        place = script.parent
        scratch = place / "scratch" / texts.scratch
        expected = (texts.command + end, f"{place}/{texts.workdir}", texts.values, f"{scratch}/tmp")
        assert expected == read_record(record)
        assert not scratch.exists()


@given(tasks)
def test_any_text_arrives_unchanged_on_the_host(folder: Path, items: list[Texts]) -> None:
    """Commands, values and paths of any bytes reach a command that runs on the host itself."""
    check(folder, items, Launch(argv=(), contained=False))


@pytest.fixture(scope="module")
def namespace() -> Launch:
    """Return a launch into another mount namespace, the least that counts as a container."""
    done = subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this machine does not let its users make namespaces")
    return Launch(argv=NAMESPACE)


@given(tasks)
def test_any_text_arrives_unchanged_in_a_container(
    folder: Path, namespace: Launch, items: list[Texts]
) -> None:
    """The same holds on the way into a container, where /bin/sh sets the environment."""
    check(folder, items, namespace, end="\n")


@pytest.mark.parametrize("size", [29_999, 30_000, 200_000])
def test_a_long_command_arrives_unchanged(folder: Path, size: int) -> None:
    """A command longer than one argument of a program can be is run from a file."""
    texts = Texts(command="€" * size, values=(), wildcard="", workdir="d", scratch="s")
    check(folder, [texts], Launch(argv=(), contained=False), end="\n" if size >= 30_000 else "")


def test_the_marker_of_such_a_script_is_whole(folder: Path) -> None:
    """The script leaves a marker with the exit code of the command and nothing else."""
    texts = Texts(command="x", values=(), wildcard="", workdir="d", scratch="s")
    script, record = write_script(folder, texts, Launch(argv=(), contained=False))
    record.mkdir()
    subprocess.run(["bash", script], capture_output=True, check=False)
    serial = script.parent.name
    marker = parse_marker((folder / "markers" / f"{serial}.0").read_text(encoding="utf-8"))
    assert marker
    assert (marker.exit_code, marker.setup, marker.success) == (2, "", False)
    assert not [path for path in (folder / "markers").iterdir() if path.name.endswith(".part")]
