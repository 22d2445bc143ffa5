"""Task → command line of each engine.

The golden files show whole launches; `HPCCTR_UPDATE_GOLDEN=1 pytest tests/unit` writes them
anew, and the difference is then read before it is committed.
"""

from __future__ import annotations

import csv
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.engines import ENGINES, enroot, launch
from snakemake_executor_plugin_hpcctr.engines.paths import all_binds
from snakemake_executor_plugin_hpcctr.errors import EngineError, ImageError
from snakemake_executor_plugin_hpcctr.task import (
    ApptainerOptions,
    Bind,
    EngineName,
    EngineOptions,
    EnrootOptions,
    Gpu,
    Image,
    ImageFormat,
    PyxisOptions,
    Resources,
    Task,
)

GOLDEN = Path(__file__).parent / "golden"
SQSH = Image(reference="science.sqsh", location="/images/science.sqsh", format="sqsh", identity="1")
BINDS = (
    Bind(source="/project", target="/project"),
    Bind(source="/data/raw", target="/project/raw", read_only=True),
    Bind(source="/data", target="/data", read_only=True),
)
SCRATCH = "/tmp/hpcctr-1000-run-7"


def make_task(engine: EngineName, **changes: Any) -> Task:
    """Return a task with an image and three binds, changed where the test says."""
    values: dict[str, Any] = {
        "key": "k",
        "rule": "train",
        "wildcards": (("lr", "0.1"),),
        "command": "python train.py --lr 0.1",
        "engine": engine,
        "image": None if engine == "host" else SQSH,
        "binds": BINDS,
        "workdir": "/project",
        "env": {"OMP_NUM_THREADS": "4"},
        "scratch": SCRATCH,
        "tmpdir": f"{SCRATCH}/tmp",
    }
    return Task(**values | changes)


def image(image_format: ImageFormat) -> Image:
    """Return an image of a format, with a location as that format has it."""
    location = {"registry": "docker://nvcr.io/nvidia/pytorch:23.12-py3", "container": "science"}
    return Image(
        reference=f"science.{image_format}",
        location=location.get(image_format, f"/images/science.{image_format}"),
        format=image_format,
    )


EVERYTHING = EngineOptions(
    apptainer=ApptainerOptions(
        program="/opt/singularity/bin/singularity",
        cleanenv=True,
        containall=True,
        no_home=True,
        fakeroot=True,
        writable_tmpfs=True,
        overlay=("/project/overlay.img:ro",),
        scratch=("/scratch", "/var/cache"),
        extra_args=("--security", "no_new_privs"),
    ),
    enroot=EnrootOptions(
        root=True,
        rw=True,
        mount_home=False,
        create=True,
        keep=False,
        paths={"ENROOT_DATA_PATH": "/scratch/enroot"},
        extra_args=("--env", "DEBUG=1"),
    ),
    pyxis=PyxisOptions(
        name="science",
        save="/images/saved.sqsh",
        mount_home=False,
        remap_root=True,
        entrypoint=True,
        entrypoint_log=True,
        writable=True,
        env=("PATH", "LANG"),
        unshare=("ipc",),
        extra_args=("--mpi=pmix",),
    ),
)
SHAPES: dict[str, tuple[Resources, list[str]]] = {
    "one process": (Resources(cpus_per_task=4), ["--cpus-per-task=4"]),
    "tasks": (Resources(tasks=4, nodes=2), ["--nodes=2", "--ntasks=4", "--cpus-per-task=1"]),
    "tasks per node": (
        Resources(nodes=2, tasks_per_node=3),
        ["--nodes=2", "--ntasks-per-node=3", "--cpus-per-task=1"],
    ),
    "tasks per GPU": (
        Resources(gpu=Gpu(count=4), tasks_per_gpu=1, cpus_per_task=2),
        ["--cpus-per-task=2"],
    ),
}
CREATED = EngineOptions(enroot=EnrootOptions(create=True))

LAUNCHES: dict[str, Task] = {
    "host": make_task("host"),
    "apptainer": make_task("apptainer"),
    "apptainer-nvidia": make_task("apptainer", resources=Resources(gpu=Gpu(count=2))),
    "apptainer-amd": make_task("apptainer", resources=Resources(gpu=Gpu(count=1, vendor="amd"))),
    "apptainer-options": make_task("apptainer", options=EVERYTHING, image=image("sif")),
    "apptainer-registry": make_task("apptainer", image=image("registry")),
    "enroot": make_task("enroot"),
    "enroot-create": make_task("enroot", options=CREATED),
    "enroot-options": make_task("enroot", options=EVERYTHING),
    "enroot-container": make_task("enroot", image=image("container"), options=CREATED),
    "pyxis": make_task("pyxis", resources=Resources(cpus_per_task=4, gpu=Gpu(count=1))),
    "pyxis-options": make_task("pyxis", options=EVERYTHING),
    "pyxis-shared": make_task("pyxis", shared=True),
    "pyxis-registry": make_task("pyxis", image=image("registry")),
    "pyxis-container": make_task("pyxis", image=image("container")),
}


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_task_becomes_exactly_this_launch(name: str) -> None:
    """Each engine starts a rich task with the command line, files and clean-up on record."""
    found = {key: value for key, value in asdict(launch(LAUNCHES[name])).items() if value}
    text = yaml.safe_dump(_plain(found), sort_keys=False, width=1000)
    path = GOLDEN / f"launch-{name}.yaml"
    if os.environ.get("HPCCTR_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def _plain(value: Any) -> Any:
    """Return the value with lists in place of tuples and of texts with several lines."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str) and "\n" in value:
        return value.removesuffix("\n").split("\n")
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def test_every_engine_of_the_vocabulary_has_a_module() -> None:
    """The names a user may write, the table of engines and the modules' own names agree."""
    assert set(get_args(EngineName)) == set(ENGINES)
    assert {name: name for name in ENGINES} == {n: module.NAME for n, module in ENGINES.items()}


STARTS: dict[EngineName, set[ImageFormat]] = {
    "apptainer": {"sif", "sqsh", "directory", "registry"},
    "enroot": {"sqsh", "container"},
    "pyxis": {"sqsh", "registry", "container"},
}


@pytest.mark.parametrize("image_format", get_args(ImageFormat))
@pytest.mark.parametrize("engine", STARTS)
def test_an_image_that_the_engine_cannot_start_is_refused(
    engine: EngineName, image_format: ImageFormat
) -> None:
    """A format that an engine cannot start is an error before anything is submitted."""
    task = make_task(engine, image=image(image_format))
    if image_format in STARTS[engine]:
        assert image(image_format).location.partition("://")[2].partition("/")[0] in " ".join(
            launch(task).argv
        )
        return
    with pytest.raises(ImageError, match=f"engine {engine} cannot start .*science") as raised:
        launch(task)
    assert raised.value.where == "rule train"
    assert "one .sqsh serves every engine" in raised.value.next_step


@pytest.mark.parametrize("engine", STARTS)
def test_a_contained_task_without_an_image_is_refused(engine: EngineName) -> None:
    """An engine without an image is an error that tells how to name one."""
    with pytest.raises(ImageError, match="needs an image") as raised:
        launch(make_task(engine, image=None))
    assert 'engine="host"' in raised.value.next_step


def test_an_image_that_enroot_would_misread_is_refused() -> None:
    """Enroot pastes the image's path into a script of its own, where a ' ends the word."""
    odd = SQSH.model_copy(update={"location": "/o'brien/x.sqsh"})
    with pytest.raises(ImageError, match="cannot mount an image with a ' in its path"):
        launch(make_task("enroot", image=odd))
    assert launch(make_task("enroot", image=odd, options=CREATED)).before is not None


def test_a_bind_inside_another_comes_after_it() -> None:
    """Parents are mounted first, or an outer bind would hide the inner one."""
    task = make_task("apptainer", binds=(BINDS[1], BINDS[0], Bind(source="/a", target="/p/q/r/s")))
    targets = [bind.target for bind in all_binds(task)]
    assert targets == [
        "/tmp",
        "/project",
        "/var/tmp",
        SCRATCH,
        "/project/raw",
        f"{SCRATCH}/tmp",
        "/p/q/r/s",
    ]


def test_a_later_bind_of_the_same_target_wins() -> None:
    """The user's own bind replaces one that hpcctr adds for the same place."""
    mine = Bind(source="/big/tmp", target="/tmp")
    task = make_task("apptainer", binds=(*BINDS, mine))
    assert [mine] == [bind for bind in all_binds(task) if bind.target == "/tmp"]


def test_a_container_is_named_by_the_content_of_its_image() -> None:
    """Tasks share an unpacked container, and a new version of the image gets another one."""
    newer = SQSH.model_copy(update={"identity": "2"})
    names = [
        launch(make_task("enroot", options=CREATED, **changes)).argv[-1]
        for changes in ({}, {"scratch": "/tmp/other"}, {"image": newer})
    ]
    assert names[0] == names[1] != names[2]


def test_a_container_that_is_removed_belongs_to_one_task() -> None:
    """A container that its task removes at the end is never another task's."""
    options = EngineOptions(enroot=EnrootOptions(create=True, keep=False))
    names = {
        launch(make_task("enroot", options=options, scratch=scratch)).argv[-1]
        for scratch in ("/tmp/a", "/tmp/b")
    }
    assert len(names) == 2


def mounts(task: Task) -> list[list[str]]:
    """Return the mounts of a launch as its engine reads them: source, target, options."""
    start = launch(task)
    if task.engine == "enroot":
        script = start.files["enroot.conf"] + "mounts\n"
        done = subprocess.run(["bash"], input=os.fsencode(script), capture_output=True, check=True)
        lines = os.fsdecode(done.stdout).removesuffix("\n").split("\n")
        fields = [line.split(" ") for line in lines]
        return [[source, target, options] for source, target, _, options in fields]
    if task.engine == "pyxis":
        flag = next(word for word in start.argv if word.startswith("--container-mounts="))
        return [item.split(":") for item in flag.partition("=")[2].split(",")]
    return [
        _apptainer_mount(flag, value)
        for flag, value in zip(start.argv, start.argv[1:], strict=False)
        if flag in {"--bind", "--mount"}
    ]


def _apptainer_mount(flag: str, value: str) -> list[str]:
    if flag == "--bind":
        return value.split(":")
    kind, source, target, *mode = next(csv.reader([value], strict=True))
    assert kind == "type=bind"
    return [source.removeprefix("src="), target.removeprefix("dst="), *mode]


UNWRITABLE: dict[EngineName, str] = {
    "apptainer": "\n",
    "enroot": " \t\n\\",
    "pyxis": ',: \t\n\\"$`',
}
paths = st.text(
    st.one_of(
        st.sampled_from(",:\"'\\ \t#$`*?é"),
        st.characters(exclude_characters="\0/\n\r", exclude_categories=["Cs"]),
    ),
    min_size=1,
).map(lambda name: f"/data/{name}")


@pytest.mark.parametrize("engine", UNWRITABLE)
@given(source=paths, target=paths, read_only=st.booleans())
def test_any_path_is_bound_or_refused_by_name(
    engine: EngineName, source: str, target: str, *, read_only: bool
) -> None:
    """A path reaches the engine's own reader unchanged, or the error names what is at fault."""
    bind = Bind(source=source, target=target, read_only=read_only)
    task = make_task(engine, binds=(bind,))
    if set(UNWRITABLE[engine]) & set(source + target):
        with pytest.raises(EngineError, match=f"engine {engine} cannot bind a path with") as raised:
            launch(task)
        assert raised.value.next_step
        return
    options = {
        "apptainer": ["ro"] if read_only else [],
        "enroot": ["x-create=auto,rbind" + (",ro" if read_only else "")],
        "pyxis": ["ro"] if read_only else [],
    }
    assert [source, target, *options[engine]] in mounts(task)


def test_a_newline_in_a_path_is_refused_by_every_engine() -> None:
    """No engine can write a newline, and its name is said in words."""
    for engine in UNWRITABLE:
        with pytest.raises(EngineError, match="a path with a newline in it"):
            launch(make_task(engine, binds=(Bind(source="/a\nb", target="/x"),)))


def test_the_start_script_of_enroot_runs_the_command_alone() -> None:
    """Enroot's start script hands the words over, whatever entry point the image has."""
    done = subprocess.run(
        ["sh", "-c", enroot.START_SCRIPT, "sh", "printf", "%s|", "a b", "", "$x"],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"a b||$x|"


# --- several processes -------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("engine", get_args(EngineName))
def test_srun_has_the_shape_of_the_request(engine: EngineName, shape: str) -> None:
    """With `launch` the step has all processes; what the user adds to srun comes last."""
    resources, flags = SHAPES[shape]
    task = make_task(engine, launcher=("srun", "--mpi=pmi2"), resources=resources)
    start = launch(task)
    words = ("srun", *flags, "--kill-on-bad-exit=1", "--mpi=pmi2")
    if engine == "pyxis":
        assert (words, ()) == (start.argv[: len(words)], start.launcher)
    else:
        assert words == start.launcher
        assert "srun" not in start.argv


@pytest.mark.parametrize("engine", ["host", "apptainer", "enroot"])
def test_another_launcher_is_taken_as_it_is(engine: EngineName) -> None:
    """Whoever names mpirun says how many processes it is to start."""
    words = ("mpirun", "-n", "4")
    assert words == launch(make_task(engine, launcher=words)).launcher


def test_pyxis_is_started_by_srun_alone() -> None:
    """The engine is a part of srun: another launcher is refused by name."""
    with pytest.raises(EngineError, match="cannot be started by `mpirun`") as raised:
        launch(make_task("pyxis", launcher=("mpirun", "-n", "4")))
    assert "launch=" in raised.value.next_step


def test_without_a_launcher_there_is_one_process() -> None:
    """A request of many processes is started once, unless `launch` says otherwise."""
    task = make_task("pyxis", resources=Resources(nodes=2, tasks=4))
    assert launch(task).argv[:3] == ("srun", "--nodes=1", "--ntasks=1")
    assert launch(make_task("host", resources=Resources(tasks=4))).launcher == ()
