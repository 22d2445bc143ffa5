from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.bridge.capture import Captured
from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Evidence
from snakemake_executor_plugin_hpcctr.engines import check_texts
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.executor.tasks import (
    Place,
    base_evidence,
    choose_engine,
    container_binds,
    declared_env,
    describe_request,
    element_resources,
    job_name,
    own_tmpdir,
    pack_size,
    same_request,
    scratch_path,
)
from snakemake_executor_plugin_hpcctr.task import Bind, Gpu, Image, ImageFormat, Resources, Task

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.task import EngineName

PLACE = Place(workdir="/project", sources=("/project/workflow", "/cache/sources"))
ALL: tuple[EngineName, ...] = ("apptainer", "enroot", "pyxis")


def make_task(**changes: Any) -> Task:
    """Return a task, changed where the test says."""
    values: dict[str, Any] = {
        "key": "k",
        "rule": "train",
        "command": "true",
        "workdir": "/project",
        "scratch": "/tmp/x",
        "tmpdir": "/tmp/x/tmp",
    }
    return Task(**values | changes)


def image(image_format: ImageFormat) -> Image:
    """Return an image of a format."""
    return Image(reference="x", location="/x", format=image_format)


# --- binds as users write them -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("/data", Bind(source="/data", target="/data")),
        ("/data:/mnt", Bind(source="/data", target="/mnt")),
        ("/data:/mnt:rw", Bind(source="/data", target="/mnt")),
        ("/data:/mnt:ro", Bind(source="/data", target="/mnt", read_only=True)),
        ("/data/:/a/../mnt/", Bind(source="/data", target="/mnt")),
        ("/with space,comma:/x", Bind(source="/with space,comma", target="/x")),
    ],
)
def test_a_bind_is_read(text: str, bind: Bind) -> None:
    """SRC, SRC:DST and SRC:DST:MODE, paths tidied up."""
    assert bind == Bind.parse(text)


@pytest.mark.parametrize(
    "text", ["", "data", "data:/mnt", "/data:mnt", "/a:/b:rx", "/a:/b:ro:x", "/a:", ":/b", "~/a:/b"]
)
def test_a_bind_that_makes_no_sense_is_refused(text: str) -> None:
    """A relative path, another mode or a further field is an error that shows the text."""
    with pytest.raises(ConfigError, match="bind") as raised:
        Bind.parse(text)
    assert repr(text) in raised.value.what
    assert raised.value.next_step


@given(
    st.from_regex(r"/[a-z/., ]*", fullmatch=True),
    st.from_regex(r"/[a-z/., ]*", fullmatch=True),
    st.sampled_from(["", ":ro", ":rw"]),
)
def test_a_bind_reads_its_own_text(source: str, target: str, mode: str) -> None:
    """What a message shows can be written in a configuration."""
    bind = Bind.parse(f"{source}:{target}{mode}")
    assert bind == Bind.parse(str(bind))


# --- what a task is made of --------------------------------------------------------------


@pytest.mark.parametrize(
    ("wildcards", "title"),
    [((), "train"), ((("lr", "0.1"), ("fold", "2")), "train (lr=0.1, fold=2)")],
)
def test_a_task_has_a_title_for_people(wildcards: tuple[Any, ...], title: str) -> None:
    """Rule and wildcards, as messages show them."""
    assert title == make_task(wildcards=wildcards).title


def test_the_commands_variables_are_threads_snakemakes_and_the_users() -> None:
    """The user's own value wins; the temporary folder is set elsewhere."""
    captured = Captured("x", "/bin/sh", env={"TMPDIR": "/x", "TMP": "/x", "PYTHONPATH": "/s"})
    found = declared_env(captured, 4, {"OMP_NUM_THREADS": "1", "A": "b"})
    assert {"TMPDIR", "TMP", "TEMP", "TEMPDIR"} & set(found) == set()
    assert (found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"], found["A"]) == ("1", "4", "b")
    assert found["PYTHONPATH"] == "/s"


def test_every_task_has_a_folder_of_its_own() -> None:
    """User, run and serial number keep tasks of one node apart."""
    paths = {scratch_path("/tmp", run, serial) for run in ("a", "b") for serial in range(3)}
    assert len(paths) == 6
    assert all(f"-{os.getuid()}-" in path for path in paths)
    assert own_tmpdir("/tmp/x") == "/tmp/x/tmp"


def test_a_task_sees_its_files_wherever_they_are() -> None:
    """Working directory, sources, and the folders of inputs and outputs elsewhere are bound."""
    own = ["/project/in.csv", "/data/a/in.csv", "/data/a/b.csv", "/results/out.npz", "/top"]
    captured = Captured("x", "/bin/sh", bind_paths=("/extra",))
    binds = container_binds(PLACE, captured, own, ())
    expected = ["/project", "/cache/sources", "/extra", "/data/a", "/results"]
    assert expected == [bind.target for bind in binds]
    assert all(bind.source == bind.target and not bind.read_only for bind in binds)


def test_the_users_binds_win() -> None:
    """What the user binds is not bound again, and comes last."""
    mine = Bind(source="/fast/data", target="/data", read_only=True)
    binds = container_binds(PLACE, Captured("x", "/bin/sh"), ["/data/a/in.csv"], [mine])
    assert mine == binds[-1]
    assert [mine] == [bind for bind in binds if bind.target.startswith("/data")]


def test_a_bind_over_the_working_directory_is_refused() -> None:
    """The task's own script is in the working directory: nothing may hide it."""
    hiding = Bind(source="/data", target="/project")
    with pytest.raises(ConfigError, match="would hide the working directory"):
        container_binds(PLACE, Captured("x", "/bin/sh"), [], [hiding])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"command": "echo a\0b"}, "the command holds"),
        ({"repeats": ("echo", "echo a\0b")}, "the command holds"),
        ({"env": {"GOOD": "1", "BAD": "\0"}}, "the variable BAD holds"),
        ({"binds": (Bind(source="/a\0", target="/b"),)}, "a bind holds"),
    ],
)
def test_a_nul_character_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    """No shell can be given a NUL; bash would leave it out of a command in silence."""
    values = {"key": "k", "rule": "r", "command": "true", "workdir": "/w", "scratch": "/s"}
    plain = Task(**values, tmpdir="/s/tmp")
    check_texts(plain)
    with pytest.raises(ConfigError, match=named):
        check_texts(plain.model_copy(update=changes))


def test_a_folder_with_a_similar_name_is_not_the_same() -> None:
    """A bind of /data does not cover /data2."""
    mine = Bind(source="/data", target="/data")
    binds = container_binds(PLACE, Captured("x", "/bin/sh"), ["/data2/in.csv"], [mine])
    assert "/data2" in [bind.target for bind in binds]


def test_snakemakes_own_modules_are_read_only(tmp_path: Path) -> None:
    """A script that imports Snakemake finds it; folders that do not exist are left out."""
    captured = Captured(
        "x", "/bin/sh", search_paths={str(tmp_path): "/mnt/0", str(tmp_path / "none"): "/mnt/1"}
    )
    binds = container_binds(PLACE, captured, [], ())
    assert Bind(source=str(tmp_path), target="/mnt/0", read_only=True) == binds[-1]
    assert "/mnt/1" not in [bind.target for bind in binds]


def test_what_is_known_before_a_task_runs() -> None:
    """A failure can be explained with what was asked for."""
    task = make_task(
        engine="apptainer",
        image=image("sif"),
        binds=(Bind(source="/a", target="/b", read_only=True),),
        resources=Resources(mem_mb=2000, runtime_min=5, gpu=Gpu(count=2), partition="gpu"),
    )
    expected = Evidence(
        engine="apptainer",
        image="x",
        binds=("/a:/b:ro",),
        mem_mb=2000,
        runtime_min=5,
        gpus=2,
        partition="gpu",
    )
    assert expected == base_evidence(task)
    assert Evidence(engine="host") == base_evidence(make_task())


# --- which engine ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preference", "image_format", "available", "engine"),
    [
        (ALL, "sqsh", ALL, "apptainer"),
        (("enroot", "apptainer"), "sqsh", ALL, "enroot"),
        (ALL, "sqsh", ("pyxis", "host"), "pyxis"),
        (("enroot", "apptainer"), "sif", ALL, "apptainer"),
        (("enroot",), "sif", ALL, "enroot"),
        (ALL, "container", ALL, "enroot"),
        (("apptainer", "host"), "sif", ("host",), "host"),
        (("host",), "sif", (), "host"),
        (ALL, "sif", ("host",), None),
        (ALL, "sif", (), None),
    ],
)
def test_the_first_engine_that_is_there_and_fits_is_taken(
    preference: tuple[EngineName, ...],
    image_format: ImageFormat,
    available: tuple[EngineName, ...],
    engine: EngineName | None,
) -> None:
    """The list decides, then what the nodes have, then what can start the image."""
    assert engine == choose_engine(preference, image(image_format), frozenset(available))


# --- what the queue shows, and what may share an array -----------------------------------


@pytest.mark.parametrize(
    ("wildcards", "name"),
    [
        ((), "train"),
        ((("lr", "0.1"),), "train.0.1"),
        ((("path", "a/b c"), ("x", "=+-_")), "train.a_b_c.=+-_"),
        ((("x", "größe\n\udcff€"),), "train.gr__e___"),
    ],
)
def test_the_queue_shows_rule_and_wildcards(wildcards: tuple[Any, ...], name: str) -> None:
    """Plain characters only, whatever the wildcards hold."""
    assert name == job_name("train", wildcards)


@given(st.text(), st.text())
def test_a_jobs_name_is_short_and_plain(rule: str, value: str) -> None:
    """No name breaks a line of the queue or an option of the scheduler."""
    name = job_name(rule, (("x", value),))
    assert 0 < len(name) <= 80
    assert name.isascii()
    assert name.isprintable()
    assert " " not in name


def test_tasks_share_an_array_if_they_ask_for_the_same() -> None:
    """Rule, resources and packing decide; command and wildcards do not."""
    first = make_task()
    assert same_request(first) == same_request(make_task(command="false", key="other"))
    for change in (
        {"rule": "other"},
        {"resources": Resources(mem_mb=1)},
        {"resources": Resources(extra=("--exclusive",))},
        {"tasks_per_element": 2},
        {"max_parallel": 2},
    ):
        assert same_request(first) != same_request(make_task(**change))


@pytest.mark.parametrize(
    ("runtime_min", "tasks", "expected"), [(None, 5, None), (10, 1, 10), (10, 5, 50)]
)
def test_tasks_that_share_an_element_need_the_sum_of_their_times(
    runtime_min: int | None, tasks: int, expected: int | None
) -> None:
    """One after another they need as much memory as one, and as much time as all."""
    task = make_task(resources=Resources(mem_mb=7, runtime_min=runtime_min))
    found = element_resources(task, tasks)
    assert Resources(mem_mb=7, runtime_min=expected) == found


@pytest.mark.parametrize(
    ("asked", "runtime_min", "tasks", "parallel", "size"),
    [
        (None, 5, 1000, 10, 12),
        (None, 5, 1000, 50, 5),
        (None, 5, 100, 50, 1),
        (None, 1, 100_000, 10, 60),
        (None, 10, 100_000, 10, 6),
        (None, 11, 100_000, 10, 1),
        (None, None, 100_000, 10, 1),
        (None, 5, 1000, None, 1),
        (None, 5, 1000, 0, 1),
        (7, None, 10, None, 7),
        (1, 1, 100_000, 10, 1),
    ],
)
def test_many_short_tasks_share_elements(
    asked: int | None, runtime_min: int | None, tasks: int, parallel: int | None, size: int
) -> None:
    """Only short ones, only many more than can run at once, and never beyond an hour."""
    task = make_task(tasks_per_element=asked, resources=Resources(runtime_min=runtime_min))
    assert size == pack_size(task, tasks, parallel)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (Resources(cpus_per_task=2, runtime_min=5), "2 CPUs, 5 min"),
        (Resources(tasks=1, nodes=1), "1 CPU"),
        (Resources(tasks=4, nodes=2), "2 nodes, 4 tasks, 1 CPU per task"),
        (
            Resources(tasks_per_gpu=1, gpu=Gpu(count=2)),
            "1 task per GPU, 1 CPU per task, 2 GPUs",
        ),
    ],
)
def test_a_request_is_described(resources: Resources, expected: str) -> None:
    """Only what was asked for is told; several processes are told apart from their CPUs."""
    assert expected == describe_request(resources)


def test_a_limit_on_elements_counts_as_places() -> None:
    """Where two elements run at once, however large the cluster is, they hold more tasks."""
    task = make_task(max_parallel=2, resources=Resources(runtime_min=5))
    assert 12 == pack_size(task, 100, 1000)
