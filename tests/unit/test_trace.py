from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.script.render import LIBRARY, library_text
from snakemake_executor_plugin_hpcctr.trace.folder import (
    Number,
    RunFolder,
    new_run,
    write_atomically,
)
from snakemake_executor_plugin_hpcctr.trace.store import Row, Trace

ROW = Row(
    run="run",
    number="1.0",
    key="0123456789abcdef0123",
    rule="train",
    wildcards="lr=0.1,fold=2",
    attempt=1,
    engine="apptainer",
    image="docker://python:3.12-slim",
    log="/project/logs/train/run.1.0.log",
    submitted=1700000000.5,
)
ENDED = replace(
    ROW,
    started=1700000001.0,
    ended=1700000002.5,
    node="n1",
    exit_code=7,
    cpu_s=1.25,
    peak_mb=100.0,
    cause="exit_code",
)
MARKER = (
    "exit={exit}\nsetup=\nstarted=1.0\nended=2.0\nhost=n1\njob=\nuser=\nsystem=\npeak=\noom=\n"
    "signal=\ndetail=\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Return the folder of a new run, made."""
    folder = new_run(tmp_path, None)
    folder.make()
    return folder


# --- numbers and paths -------------------------------------------------------------------


@given(st.integers(0), st.integers(0), st.integers(0))
def test_a_number_is_read_back_from_a_markers_name(
    submission: int, index: int, restart: int
) -> None:
    """A marker's file name tells its task, whichever restart it is of."""
    number = Number(submission, index)
    assert number == Number.parse(f"{number}.{restart}")


@pytest.mark.parametrize(
    "name", ["", "1", "1.2", "1.2.3.part", "1.2.x", "a.b.c", "1..2", "-1.2.3", ".1.2", "1.2.3 "]
)
def test_other_files_are_no_markers(name: str) -> None:
    """Half-written markers and what editors leave are passed over."""
    assert Number.parse(name) is None


def test_runs_have_names_of_their_own(tmp_path: Path) -> None:
    """Two runs of one second and one folder never share anything but the folder of logs."""
    runs = [new_run(tmp_path, None) for _ in range(20)]
    assert len({run.run_id for run in runs}) == 20
    assert {tmp_path / ".snakemake" / "hpcctr" / "logs"} == {run.logs for run in runs}
    assert not (tmp_path / ".snakemake").exists()


def test_logs_go_where_the_user_wants(tmp_path: Path) -> None:
    """--hpcctr-log-dir moves the logs and nothing else."""
    run = new_run(tmp_path, Path("/scratch/logs"))
    number = Number(3, 14)
    assert Path(f"/scratch/logs/train/{run.run_id}.3.14.log") == run.log("train", number)
    assert run.script(number).is_relative_to(tmp_path)


def test_no_two_paths_of_a_run_are_the_same(folder: RunFolder) -> None:
    """Scripts, markers and logs of tasks, elements and submissions are all different files."""
    number = Number(1, 1)
    paths = [
        folder.script(number),
        folder.element_script(number),
        folder.log("r", number),
        folder.element_log("r", number),
        folder.marker(number),
        folder.batch_file(1),
        folder.batch_file(11),
        folder.marker(Number(11, 1)),
    ]
    assert len(set(paths)) == len(paths)


def test_a_run_brings_the_library_along(folder: RunFolder) -> None:
    """The static parts of every script lie beside the scripts, for the nodes to read."""
    assert {name: library_text(name) for name in LIBRARY} == {
        name: (folder.path / name).read_text(encoding="utf-8") for name in LIBRARY
    }
    assert 0o700 == os.stat(folder.markers).st_mode & 0o777  # noqa: PTH116 (one call)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """The error names the path, the system's reason and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot write to .*file") as raised:
        new_run(tmp_path, tmp_path / "file" / "logs").make()
    assert "--hpcctr-log-dir" in raised.value.next_step


def test_removing_a_run_leaves_its_logs(folder: RunFolder) -> None:
    """Scripts and markers go, what the tasks said stays."""
    folder.make_log_folder("train")
    folder.log("train", Number(1, 0)).touch()
    folder.remove()
    assert not folder.path.exists()
    assert folder.log("train", Number(1, 0)).exists()


# --- markers -----------------------------------------------------------------------------


def test_only_whole_and_new_markers_are_read(folder: RunFolder) -> None:
    """A marker that is being written is left for the next look; a known one is not read again."""
    whole = MARKER.format(exit=7)
    for name, text in {
        "1.0.0": whole,
        "1.1.0": whole[:20],
        "1.2.0.part": whole,
        "2.0.0": MARKER.format(exit=0),
        "note.txt": "x",
    }.items():
        (folder.markers / name).write_text(text, encoding="utf-8")
    found = folder.finished({"2.0.0"})
    assert {"1.0.0": (Number(1, 0), 7)} == {
        name: (number, marker.exit_code) for name, (number, marker) in found.items()
    }
    (folder.markers / "1.1.0").write_text(whole, encoding="utf-8")
    assert {"1.1.0"} == set(folder.finished({"2.0.0", *found}))


def test_the_last_start_of_a_groups_member_counts(folder: RunFolder) -> None:
    """A group that starts again removes the markers before; the tenth start follows the ninth."""
    number = Number(1, 0, member=3)
    assert None is folder.last_marker(number)
    for restart in (9, 10):
        text = MARKER.format(exit=restart)
        (folder.markers / f"{number}.{restart}").write_text(text, encoding="utf-8")
    (folder.markers / f"{number}.11.part").write_text("", encoding="utf-8")
    (folder.markers / "1.0-33.12").write_text(MARKER.format(exit=12), encoding="utf-8")
    found = folder.last_marker(number)
    assert found is not None
    assert 10 == found.exit_code


def test_a_marker_that_vanishes_is_no_error(folder: RunFolder) -> None:
    """A name that is listed and cannot be opened is looked at again later."""
    (folder.markers / "1.0.0").symlink_to(folder.path / "nowhere")
    assert folder.finished(set()) == {}


@given(st.binary())
def test_a_file_is_written_whole_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Any bytes arrive, line ends too, and no temporary file stays."""
    path = tmp_path_factory.getbasetemp() / "atomic"
    path.mkdir(exist_ok=True)
    write_atomically(path / "x", data.decode(errors="surrogateescape"))
    assert data == (path / "x").read_bytes()
    assert ["x"] == [entry.name for entry in path.iterdir()]


# --- the database ------------------------------------------------------------------------


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Return an empty database."""
    return Trace(tmp_path / "trace.sqlite")


def test_a_task_is_followed_from_submission_to_end(trace: Trace) -> None:
    """Each step adds what it knows, and touches no other task."""
    other = replace(ROW, number="1.1")
    trace.add([ROW, other])
    assert [ROW, other] == trace.rows()
    trace.submitted("run", "tag", [("1.0", "17_0")])
    trace.ended([ENDED])
    expected = replace(ENDED, element="17_0", tag="tag")
    assert [expected, other] == trace.rows("run")
    trace.close()


def test_runs_are_told_apart(trace: Trace) -> None:
    """The same number in another run is another task."""
    rows = [replace(ROW, run=run) for run in ("a", "b")]
    trace.add(rows)
    trace.ended([replace(ENDED, run="a")])
    assert ["exit_code", None] == [row.cause for row in trace.rows()]
    assert [rows[1]] == trace.rows("b")
    assert [] == trace.rows("c")
    trace.close()


def test_a_later_run_finds_the_earlier_ones(tmp_path: Path) -> None:
    """The database stays in the working directory, in the order of submission."""
    for run in ("first", "second"):
        trace = Trace(tmp_path / "trace.sqlite")
        trace.add([replace(ROW, run=run)])
        trace.close()
    trace = Trace(tmp_path / "trace.sqlite")
    assert ["first", "second"] == [row.run for row in trace.rows()]
    trace.close()


@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode(errors="surrogateescape"))))
def test_any_text_is_kept(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Wildcards and paths may hold anything that a file name may, UTF-8 or not."""
    path = tmp_path_factory.getbasetemp() / "any.sqlite"
    path.unlink(missing_ok=True)
    trace = Trace(path)
    row = replace(ROW, wildcards=text, log=f"/{text}", rule=text)
    trace.add([row])
    trace.submitted("run", "tag", [("1.0", "1")])
    assert [replace(row, element="1", tag="tag")] == trace.rows()
    trace.close()


def test_two_threads_may_use_it(trace: Trace) -> None:
    """The head submits in one thread and follows in another."""

    def work(run: str) -> None:
        for index in range(50):
            trace.add([replace(ROW, run=run, number=f"1.{index}")])
            trace.ended([replace(ENDED, run=run, number=f"1.{index}")])

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["exit_code"] * 100 == [row.cause for row in trace.rows()]
    trace.close()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """The message says which file, why, and what to do."""
    path = tmp_path / "trace.sqlite"
    path.write_text("no database at all, whatever its name says")
    with pytest.raises(ConfigError, match="not a database") as caught:
        Trace(path)
    assert str(path) == caught.value.where
    assert "moved away" in caught.value.next_step


def test_opening_a_database_writes_nothing(tmp_path: Path) -> None:
    """Another user's trace, which is read only to us, can be read."""
    path = tmp_path / "trace.sqlite"
    Trace(path).close()
    before = path.read_bytes()
    trace = Trace(path)
    assert [] == trace.rows()
    trace.close()
    assert before == path.read_bytes()
