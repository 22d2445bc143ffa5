"""How a group's script runs its members, in a real bash; and what the script looks like."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.engines.base import Launch
from snakemake_executor_plugin_hpcctr.script.group import render_group
from snakemake_executor_plugin_hpcctr.script.marker import Marker, parse_marker
from snakemake_executor_plugin_hpcctr.script.render import LIBRARY, library_text, render_task
from snakemake_executor_plugin_hpcctr.task import (
    Gpu,
    Member,
    NodeWork,
    Resources,
    Task,
    TaskGroup,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = Path(__file__).parent / "golden" / "group.sh"
ON_HOST = Launch(argv=(), contained=False)
#: Both come to their end only if they run at the same time.
MEET = "touch {mine}; n=0; until [ -e {other} ]; do sleep 0.02; ((n++ < 200)) || exit 9; done"

two_cores = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="nothing runs beside another on one core"
)


@dataclass
class Group:
    """A group in a folder that stands for the node and for the run.

    Args:
        path: The folder.
        cores: CPUs of the allocation.
        more: More of the group's request.
        members: Filled by `add`.
    """

    path: Path
    cores: int = 4
    more: dict[str, Any] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    temporary: tuple[tuple[str, tuple[int, ...]], ...] = ()
    patience_s: int = 60

    def __post_init__(self) -> None:
        (self.path / "work").mkdir(exist_ok=True)
        for name in LIBRARY:
            (self.path / name).write_text(library_text(name), encoding="utf-8")

    @property
    def work(self) -> Path:
        """The working directory."""
        return self.path / "work"

    def add(
        self,
        command: str,
        *,
        request: Mapping[str, Any] | None = None,
        shadow: str = "",
        **changes: Any,
    ) -> int:
        """Add a member that runs a command; return its position."""
        index = len(self.members)
        scratch = str(self.path / f"scratch{index}")
        task = Task(
            key=str(index),
            rule=f"r{index}",
            command=command,
            workdir=shadow or str(self.work),
            scratch=scratch,
            tmpdir=f"{scratch}/tmp",
            resources=Resources(**(request or {})),
        )
        self.members.append(Member(task=task, **{"unit": index, **changes}))
        return index

    def write(self) -> Path:
        """Write all scripts; return the group's."""
        places = [
            (f"{self.path}/{i}.sh", f"{self.path}/{i}.log", f"{self.path}/m{i}")
            for i in range(len(self.members))
        ]
        for member, (script, _, marker) in zip(self.members, places, strict=True):
            text = render_task(
                member.task, ON_HOST, number="1.0-0", library=str(self.path), marker=marker
            )
            Path(script).write_text(text, encoding="utf-8")
        group = TaskGroup(
            key="k",
            rule="group_g",
            title="group g",
            members=tuple(self.members),
            workdir=str(self.work),
            resources=Resources(cpus_per_task=self.cores, **self.more),
            patience_s=self.patience_s,
            temporary=self.temporary,
        )
        path = self.path / "group.script"
        text = render_group(
            group, places, number="1.0", library=str(self.path), marker=f"{self.path}/group"
        )
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, environ: Mapping[str, str] | None = None) -> int:
        """Run it to its end; return its exit code."""
        done = subprocess.run(
            ["bash", self.write()],
            env={**os.environ, **(environ or {})},
            timeout=60,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ("", "") == (done.stdout, done.stderr)
        return done.returncode

    def marker(self, member: int | None = None, restart: int = 0) -> Marker | None:
        """Return the marker of a member or of the group; None if there is none."""
        name = "group" if member is None else f"m{member}"
        path = self.path / f"{name}.{restart}"
        return parse_marker(path.read_text(encoding="utf-8")) if path.exists() else None

    def codes(self) -> list[int | None]:
        """Return the members' exit codes, None for one that left no marker."""
        markers = [self.marker(i) for i in range(len(self.members))]
        return [marker.exit_code if marker else None for marker in markers]

    def setups(self) -> list[str]:
        """Return what the members' markers say besides their exit codes."""
        markers = [self.marker(i) for i in range(len(self.members))]
        return [f"{marker.setup} {marker.detail}".strip() if marker else "-" for marker in markers]

    def log(self, member: int) -> str:
        """Return what a member said."""
        return (self.path / f"{member}.log").read_text(encoding="utf-8")


def wait_for(path: Path) -> None:
    """Wait until a member has written a file."""
    until = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.01)


# --- order and room ------------------------------------------------------------------------


def test_a_member_starts_when_those_before_it_have_succeeded(tmp_path: Path) -> None:
    """Each finds what the others made; every task has its own log, marker and folder."""
    group = Group(tmp_path)
    one = group.add("echo one; sleep 0.1; echo 1 >a")
    two = group.add("echo 2 >b; echo $TMPDIR >where")
    group.add("cat a b >c", after=(one, two))
    assert 0 == group.run()
    assert "1\n2\n" == (group.work / "c").read_text()
    assert ["one\n", "", ""] == [group.log(i) for i in range(3)]
    assert [0, 0, 0] == group.codes()
    whole = group.marker()
    assert whole is not None
    assert whole.success
    assert f"{tmp_path}/scratch1/tmp\n" == (group.work / "where").read_text()
    assert [] == list(tmp_path.glob("scratch*"))


@two_cores
def test_members_run_side_by_side_where_there_is_room(tmp_path: Path) -> None:
    """Two members of one core each run together on two."""
    group = Group(tmp_path, cores=2)
    group.add(MEET.format(mine="a", other="b"))
    group.add(MEET.format(mine="b", other="a"))
    assert 0 == group.run()


@pytest.mark.parametrize(
    ("cores", "more", "own"),
    [
        (1, {}, {}),
        (2, {"mem_mb": 100}, {"mem_mb": 60}),
        (2, {"gpu": Gpu(count=1)}, {"gpu": Gpu(count=1)}),
    ],
)
def test_members_wait_for_room(
    tmp_path: Path, cores: int, more: dict[str, Any], own: dict[str, Any]
) -> None:
    """Cores, memory and GPUs of the allocation are not given twice."""
    group = Group(tmp_path, cores=cores, more=more)
    for _ in range(3):
        group.add("mkdir busy && sleep 0.1 && rmdir busy", request=own)
    assert 0 == group.run({"CUDA_VISIBLE_DEVICES": "0"})


def test_what_needs_more_than_there_is_runs_alone(tmp_path: Path) -> None:
    """A member is never left waiting for room that will not come."""
    group = Group(tmp_path, cores=1, more={"mem_mb": 10})
    group.add("true")
    group.add("true", request={"cpus_per_task": 64, "mem_mb": 1000})
    assert 0 == group.run()


@two_cores
def test_each_member_sees_gpus_of_its_own(tmp_path: Path) -> None:
    """Members that run side by side share the allocation's GPUs out; others see none."""
    group = Group(tmp_path, cores=3, more={"gpu": Gpu(count=3)})
    group.add("echo $CUDA_VISIBLE_DEVICES $ROCR_VISIBLE_DEVICES", request={"gpu": Gpu(count=2)})
    group.add("echo $CUDA_VISIBLE_DEVICES $ROCR_VISIBLE_DEVICES", request={"gpu": Gpu(count=1)})
    group.add("echo ${CUDA_VISIBLE_DEVICES-unset}", after=(0, 1))
    assert 0 == group.run({"CUDA_VISIBLE_DEVICES": "4,5,7", "ROCR_VISIBLE_DEVICES": "a,b,c"})
    assert ["4,5 a,b\n", "7 c\n", "\n"] == [group.log(i) for i in range(3)]


graphs = st.lists(
    st.tuples(st.integers(1, 3), st.sets(st.integers(0, 5), max_size=3)), min_size=1, max_size=6
)


@settings(max_examples=15)
@given(graph=graphs, cores=st.integers(1, 4))
def test_any_graph_runs_once_in_order_and_within_its_cores(
    tmp_path_factory: pytest.TempPathFactory, graph: list[tuple[int, set[int]]], cores: int
) -> None:
    """Whatever waits for whatever: all run once, after those before, and never on more cores."""
    group = Group(tmp_path_factory.mktemp("graph"), cores=cores)
    for index, (need, before) in enumerate(graph):
        group.add(
            f"echo +{index} >>../events; sleep 0.01; echo -{index} >>../events",
            request={"cpus_per_task": need},
            after=tuple(sorted(b for b in before if b < index)),
        )
    assert 0 == group.run()
    running: set[int] = set()
    done: list[int] = []
    for event in (group.path / "events").read_text().split():
        index = int(event[1:])
        if event[0] == "-":
            running.remove(index)
            done.append(index)
            continue
        assert set(group.members[index].after) <= set(done)
        running.add(index)
        assert len(running) == 1 or sum(graph[i][0] for i in running) <= cores
    assert sorted(done) == list(range(len(graph)))


# --- failures ---------------------------------------------------------------------------------


@two_cores
def test_after_a_failure_nothing_starts_and_the_rest_ends(tmp_path: Path) -> None:
    """What waits for the failed member, or for room, never starts; what runs comes to its end."""
    group = Group(tmp_path, cores=2)
    group.add("until [ -e beside ]; do sleep 0.01; done; exit 3")
    group.add("touch beside; until [ -e ../m0.0 ]; do sleep 0.01; done; sleep 1; echo ended")
    group.add("true", after=(0,))
    group.add("true", after=(1,))
    assert 3 == group.run()
    assert [3, 0, None, None] == group.codes()
    assert "ended\n" == group.log(1)
    assert not (tmp_path / "2.log").exists()
    whole = group.marker()
    assert whole is not None
    assert (3, "") == (whole.exit_code, whole.setup)


def test_a_missing_output_is_a_failure(tmp_path: Path) -> None:
    """A member that ends well without the file that others wait for has failed."""
    group = Group(tmp_path)
    group.add("touch there", work=NodeWork(taken=("there", "not there")))
    group.add("true", after=(0,))
    assert 1 == group.run()
    assert [0, None] == group.codes()
    assert "output_missing not there" == group.setups()[0]


def test_a_member_that_was_killed_is_noticed(tmp_path: Path) -> None:
    """A script that dies without a word does not leave its group waiting."""
    group = Group(tmp_path)
    group.add("kill -KILL $PPID")
    assert 137 == group.run()
    assert [None] == group.codes()


def test_a_restarted_group_begins_anew(tmp_path: Path) -> None:
    """Markers that its first run left are not taken for those of the second."""
    group = Group(tmp_path)
    group.add("exit 3")
    group.run()
    assert 3 == group.run({"SLURM_RESTART_COUNT": "1"})
    assert group.marker(0, restart=0) is None
    assert group.marker(0, restart=1) is not None


def test_a_missing_working_directory_is_said(tmp_path: Path) -> None:
    """Nothing runs where the working directory is not there."""
    group = Group(tmp_path)
    group.add("true")
    script = group.write()
    group.work.rmdir()
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    whole = group.marker()
    assert whole is not None
    assert (1, "workdir_missing") == (done.returncode, whole.setup)


# --- pipes and services -----------------------------------------------------------------------


def test_partners_start_together_whatever_the_room(tmp_path: Path) -> None:
    """A pipe joins two members even on one core."""
    group = Group(tmp_path, cores=1)
    os.mkfifo(group.work / "pipe")
    group.add("seq 5 >pipe", unit=0)
    group.add("cat pipe >out", unit=0)
    group.add("wc -l <out", after=(1,), unit=1)
    assert 0 == group.run()
    assert "5\n" == group.log(2)


@pytest.mark.parametrize("failing", ["exit 5", "sleep 0.1; exit 5"])
def test_a_failure_ends_the_partners(tmp_path: Path, failing: str) -> None:
    """A producer whose consumer fails, and one that waits for a reader, are ended."""
    group = Group(tmp_path)
    os.mkfifo(group.work / "pipe")
    group.add("echo begins; exec 3>pipe; sleep 30", unit=0)
    group.add(failing, unit=0)
    assert 5 == group.run()
    assert [143, 5] == group.codes()
    assert ["partner_failed r1", ""] == group.setups()


def test_a_service_runs_as_long_as_it_is_needed(tmp_path: Path) -> None:
    """It starts first; consumers start when its file is there; then it is told to end."""
    group = Group(tmp_path)
    group.add("cat socket", unit=0, waits_for=("socket",))
    group.add(
        "trap 'echo ended; exit 7' TERM; sleep 0.3; echo served >socket; sleep 30 & wait",
        unit=0,
        serves=("socket",),
    )
    group.add("cat socket", unit=1, after=(0,))
    assert 0 == group.run()
    assert [0, 0, 0] == group.codes()
    assert ["served\n", "ended\n", "served\n"] == [group.log(i) for i in range(3)]


def test_a_service_that_dies_ends_its_consumers(tmp_path: Path) -> None:
    """Consumers of a service that failed are ended, and the service is to blame."""
    group = Group(tmp_path)
    group.add("touch socket; sleep 0.4; exit 4", unit=0, serves=("socket",))
    group.add("sleep 30", unit=0, waits_for=("socket",))
    assert 4 == group.run()
    assert [4, 143] == group.codes()
    assert ["", "partner_failed r0"] == group.setups()


@pytest.mark.parametrize(("command", "code"), [("sleep 30", 143), ("true", 0)])
def test_a_service_without_its_file_is_a_failure(tmp_path: Path, command: str, code: int) -> None:
    """One that ends, or takes too long, before its file is there leaves nobody waiting."""
    group = Group(tmp_path, patience_s=1)
    group.add(command, unit=0, serves=("a socket",))
    group.add("true", unit=0, waits_for=("a socket",))
    assert 1 == group.run()
    assert [code, None] == group.codes()
    assert ["service_silent a socket", "-"] == group.setups()


# --- signals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_a_signal_to_end_reaches_the_commands(tmp_path: Path, name: str) -> None:
    """What runs may clean up; nothing more starts."""
    group = Group(tmp_path)
    group.add(f"trap 'sleep 0.05; touch cleaned; exit 42' {name}; touch ready; sleep 30 & wait")
    group.add("true", after=(0,))
    with subprocess.Popen(["bash", group.write()]) as process:
        wait_for(group.work / "ready")
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert 42 == process.wait(10)
    whole = group.marker()
    assert whole is not None
    assert (42, name) == (whole.exit_code, whole.signal)
    assert [42, None] == group.codes()
    assert (group.work / "cleaned").exists()


def test_a_group_that_was_stopped_in_time_has_not_succeeded(tmp_path: Path) -> None:
    """A member that ends well on the signal does not make up for those that never started."""
    group = Group(tmp_path)
    group.add("trap 'exit 0' TERM; touch ready; sleep 30 & wait")
    group.add("true", after=(0,))
    with subprocess.Popen(["bash", group.write()]) as process:
        wait_for(group.work / "ready")
        process.send_signal(signal.SIGTERM)
        assert 1 == process.wait(10)


def test_a_warning_does_not_end_a_group(tmp_path: Path) -> None:
    """USR1 goes to what runs; the next member starts as if nothing had been."""
    group = Group(tmp_path)
    group.add("trap 'touch warned; exit 0' USR1; touch ready; sleep 30 & wait")
    group.add("true", after=(0,))
    with subprocess.Popen(["bash", group.write()]) as process:
        wait_for(group.work / "ready")
        process.send_signal(signal.SIGUSR1)
        assert 0 == process.wait(10)
    assert (group.work / "warned").exists()
    signals = [marker.signal for i in (0, 1) if (marker := group.marker(i))]
    assert ["USR1", ""] == signals


# --- around a job -----------------------------------------------------------------------------


def test_temporary_files_go_when_nobody_needs_them(tmp_path: Path) -> None:
    """A file is removed as soon as the last of its takers has succeeded, folders too."""
    group = Group(tmp_path, cores=1, temporary=(("folder", (1, 2)),))
    group.add("mkdir folder; touch folder/x")
    group.add("test -e folder/x", after=(0,))
    group.add("test -e folder/x", after=(1,))
    group.add("test ! -e folder", after=(2,))
    assert 0 == group.run()


def test_flags_are_there_for_the_next_member(tmp_path: Path) -> None:
    """An output with `touch()` exists before those that take it start, in a new folder too."""
    group = Group(tmp_path)
    group.add("true", work=NodeWork(touches=("new folder/it's done",)))
    group.add('test -e "new folder/it\'s done"', after=(0,))
    assert 0 == group.run()


def test_outputs_that_stay_on_the_node_are_made_room_for(tmp_path: Path) -> None:
    """Older ones are removed, and their folders made, before the command."""
    group = Group(tmp_path)
    (group.work / "old").touch()
    group.add("test ! -e old; touch new/file", work=NodeWork(local=("old", "new/file")))
    assert 0 == group.run()


@pytest.mark.parametrize("kind", ["minimal", "copy-minimal", "shallow", "full"])
def test_a_shadow_folder_gets_what_other_members_made(tmp_path: Path, kind: str) -> None:
    """Inputs of the group are seen in it, outputs leave it, and the rest goes with it."""
    group = Group(tmp_path)
    shadow = group.work / ".snakemake" / "shadow" / "tmp1"
    shadow.mkdir(parents=True)
    (group.work / "sub").mkdir()
    if kind == "full":
        (shadow / "sub").mkdir()
    group.add("echo made >sub/in")
    group.add(
        "cat sub/in >out; echo rubbish >rubbish",
        after=(0,),
        shadow=str(shadow),
        work=NodeWork(
            shadow=str(shadow),
            shadow_kind=kind,
            shadow_inputs=("sub/in",),
            products=("out", "not made"),
            taken=("out",),
        ),
    )
    assert 0 == group.run()
    assert "made\n" == (group.work / "out").read_text()
    assert not (group.work / "rubbish").exists()
    assert not shadow.exists()


def test_a_link_out_of_a_shadow_folder_stays_whole(tmp_path: Path) -> None:
    """A link to a file of the shadow folder points to the same file where both are moved."""
    group = Group(tmp_path)
    shadow = group.work / "shadow"
    shadow.mkdir()
    work = NodeWork(shadow=str(shadow), shadow_kind="minimal", products=("file", "link"))
    group.add(f"echo x >file; ln -s {shadow}/file link", shadow=str(shadow), work=work)
    assert 0 == group.run()
    assert "x\n" == (group.work / "link").read_text()


@pytest.mark.parametrize(
    "work",
    [
        NodeWork(shadow="shadow", shadow_kind="minimal", products=("no folder/out",)),
        NodeWork(touches=("a file/out",)),
    ],
)
def test_an_output_that_cannot_be_put_in_its_place_is_named(tmp_path: Path, work: NodeWork) -> None:
    """The diagnosis names it, and the log has the reason."""
    group = Group(tmp_path)
    (group.work / "a file").touch()
    (group.work / "shadow/no folder").mkdir(parents=True)
    (group.work / "shadow/no folder/out").touch()
    group.add("true", work=work)
    assert 1 == group.run()
    assert [f"output_missing {(*work.products, *work.touches)[0]}"] == group.setups()
    assert "cannot" in group.log(0)


# --- the text ---------------------------------------------------------------------------------


def test_a_group_becomes_exactly_this_script() -> None:
    """Requests, order, files and work of each member stand in it, quoted."""
    task = Task(key="k", rule="r", command="true", workdir="/w", scratch="/s", tmpdir="/s/tmp")
    first = task.model_copy(update={"rule": "first", "wildcards": (("i", "it's"),)})
    members = (
        Member(
            task=first.model_copy(
                update={"resources": Resources(mem_mb_per_cpu=100, cpus_per_task=2)}
            ),
            unit=0,
            work=NodeWork(taken=("a b",), touches=("flag",), local=("/scratch/x",)),
        ),
        Member(task=task, unit=1, after=(0,), serves=("socket",)),
        Member(
            task=task,
            unit=1,
            after=(0,),
            waits_for=("socket",),
            work=NodeWork(
                shadow="/w/.snakemake/shadow/tmp1",
                shadow_kind="minimal",
                shadow_inputs=("a b",),
                products=("out", "log"),
            ),
        ),
    )
    group = TaskGroup(
        key="k",
        rule="group_g",
        title="group g\n(first, r)",
        members=members,
        attempt=2,
        workdir="/w",
        resources=Resources(cpus_per_task=4, mem_mb=300, gpu=Gpu(count=1)),
        temporary=(("a b", (1, 2)),),
    )
    places = [(f"/run/tasks/1.0-{i}.sh", f"/logs/{i}.log", f"/run/m/1.0-{i}") for i in range(3)]
    text = render_group(group, places, number="1.0", library="/run", marker="/run/m/1.0")
    if os.environ.get("HPCCTR_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert GOLDEN.read_text(encoding="utf-8") == text


def test_the_library_is_valid() -> None:
    """Bash reads it without complaint."""
    argv = ["bash", "-n"]
    text = library_text("group.sh")
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
