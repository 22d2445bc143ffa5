"""Tasks of several processes and nodes: MPI, ranks in containers, rendezvous."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from tests.doubles.search import double_path, real_program
from tests.integration.apart import lab_with_nodes_apart
from tests.integration.mpi import MpiProgram, compile_program, said_by
from tests.integration.workflow import Run, Workflow, wait_for_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab

ENGINES = ("host", "apptainer", "enroot", "pyxis")
#: What each rank says of itself, in a file of its own: `sh rank.sh ENGINE OUTPUT`.
RANK = """
    echo "$RANK $WORLD_SIZE $LOCAL_RANK $NODE_RANK $NNODES $MASTER_ADDR $MASTER_PORT" \\
      "$SLURM_PROCID $SLURM_JOB_ID" >"$RANK.$1"
    touch "$TMPDIR/of-$RANK" || exit
    ls -d /.singularity.d >>"$RANK.$1" 2>/dev/null
    [ "$RANK" != 0 ] || touch "$2"
"""
#: Rank 0 listens where the others are told to find it; each tells its number.
MEET = """
import os, socket, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(place) as server:
        told = []
        for _ in range(world - 1):
            with server.accept()[0] as peer:
                told.append(int(peer.recv(10)))
    print("met", sorted(told))
else:
    for attempt in range(200):
        try:
            with socket.create_connection(place) as there:
                there.send(b"%d" % rank)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    else:
        raise SystemExit("rank 0 is not there")
"""


@pytest.fixture(scope="module")
def mpich(tmp_path_factory: pytest.TempPathFactory) -> MpiProgram:
    """Return a program that MPICH compiled."""
    return compile_program(tmp_path_factory.mktemp("mpich"), "mpich")


@pytest.fixture(scope="module")
def openmpi(tmp_path_factory: pytest.TempPathFactory) -> MpiProgram:
    """Return a program that Open MPI compiled."""
    return compile_program(tmp_path_factory.mktemp("openmpi"), "openmpi")


@pytest.fixture(scope="module")
def apart(lab: Lab) -> Iterator[tuple[Lab, Path]]:
    """Return a lab whose nodes have a /tmp each, and a folder that both see."""
    with lab_with_nodes_apart(lab.settings.plugstack) as started:
        yield started


def engines_path(lab: Lab) -> str:
    """Return a PATH on which doubles stand in for engines that are not here."""
    forced = os.environ.get("HPCCTR_TEST_ENGINES") == "doubles"
    lacking = [] if real_program("enroot") and not forced else ["enroot"]
    lacking += [] if lab.settings.plugstack and not forced else ["pyxis"]
    return double_path(*lacking)


def run(lab: Lab, folder: Path, snakefile: str, *words: str, **environ: str) -> Run:
    """Run a workflow on a lab."""
    workflow = Workflow(folder, {**lab.environ, "PATH": engines_path(lab), **environ})
    workflow.snakefile(snakefile)
    return Run(workflow, workflow.run(*words, timeout_s=120))


# --- real MPI ----------------------------------------------------------------------------


def test_the_command_starts_its_launcher(lab: Lab, mpich: MpiProgram, tmp_path: Path) -> None:
    """`{resources.mpi} -n {resources.tasks}` spans two nodes, with srun and with MPI's own."""
    ran = run(
        lab,
        tmp_path,
        f"""
        rule all:
            input: "srun.txt", "mpiexec.txt"
        rule srun:
            output: "srun.txt"
            resources: mpi="srun --mpi=pmi2", tasks=4, nodes=2
            shell: "{{resources.mpi}} -n {{resources.tasks}} {mpich.path} >{{output}}"
        rule mpiexec:
            output: "mpiexec.txt"
            resources: mpi="{mpich.launcher}", tasks_per_node=2, nodes=2
            shell: "{{resources.mpi}} -n 4 {mpich.path} >{{output}}"
        """,
    )
    assert said_by(4) == sorted(ran.read("srun.txt"))
    assert said_by(4) == sorted(ran.read("mpiexec.txt"))


def test_open_mpi_takes_pmix(lab: Lab, openmpi: MpiProgram, tmp_path: Path) -> None:
    """The ranks are started with srun, and Open MPI in them finds Slurm's PMIx."""
    types = proc.run(["srun", "--mpi=list"], env={**os.environ, **lab.environ})
    if "pmix" not in types.out + types.err:
        pytest.skip("this Slurm has no PMIx")
    ran = run(
        lab,
        tmp_path,
        f"""
        rule once:
            output: touch("done")
            resources: launch="srun --mpi=pmix", tasks=3, nodes=1
            shell: "{openmpi.path} >>said.txt"
        """,
    )
    assert ran.result.code == 0, ran.result.said
    assert said_by(3) == sorted(ran.read("said.txt"))


@pytest.mark.usefixtures("apptainer")
def test_mpi_in_a_container(
    lab: Lab, mpich: MpiProgram, base_image: BaseImage, tmp_path: Path
) -> None:
    """Each rank is a container of its own; their MPI adds up over two nodes."""
    ran = run(
        lab,
        tmp_path,
        f"""
        rule hybrid:
            output: touch("done")
            container: "{base_image.sif}"
            resources: engine="apptainer", launch="srun --mpi=pmi2", tasks=4, nodes=2,
                binds="{mpich.path.parent}"
            shell: "test -d /.singularity.d; LD_LIBRARY_PATH={mpich.libraries} {mpich.path} >>said"
        """,
    )
    assert ran.result.code == 0, ran.result.said
    assert said_by(4) == sorted(ran.read("said"))


@pytest.mark.usefixtures("apptainer")
def test_mpi_without_slurm(
    lab: Lab, mpich: MpiProgram, base_image: BaseImage, tmp_path: Path
) -> None:
    """With the scheduler `local`, MPI's own launcher starts the containers on this machine."""
    ran = run(
        lab,
        tmp_path,
        f"""
        rule hybrid:
            output: touch("done")
            container: "{base_image.sif}"
            resources: engine="apptainer", launch="{mpich.launcher} -n 2", tasks=2,
                binds="{mpich.path.parent}"
            shell: "LD_LIBRARY_PATH={mpich.libraries} {mpich.path} >>said; echo $RANK >>ranks"
        """,
        "--hpcctr-scheduler",
        "local",
    )
    assert ran.result.code == 0, ran.result.said
    assert said_by(2) == sorted(ran.read("said"))
    assert ["0", "1"] == sorted(ran.read("ranks"))


# --- ranks -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ranks(apart: tuple[Lab, Path], base_image: BaseImage, apptainer: str) -> Run:  # noqa: ARG001 (one of the engines)
    """Run a rule for each engine, of three ranks on two nodes."""
    lab, folder = apart
    Workflow(folder / "ranks").write("rank.sh", RANK)
    home = folder / "home"
    own = {f"XDG_{name}_HOME": str(home / name) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
    home.mkdir()
    return run(
        lab,
        folder / "ranks",
        f"""
        SIF, SQSH = "{base_image.sif}", "{base_image.sqsh}"
        IMAGES = dict(apptainer=SIF, enroot=SQSH, pyxis=SQSH)
        rule all:
            input: expand("{{engine}}.done", engine={ENGINES})
        rule rank:
            output: "{{engine}}.done"
            container: lambda wildcards: IMAGES.get(wildcards.engine)
            resources: engine=lambda wildcards: wildcards.engine, launch="srun", nodes=2, tasks=3
            shell: "sh rank.sh {{wildcards.engine}} {{output}}"
        """,
        "--keep-going",
        HOME=str(home),
        **own,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_each_rank_knows_its_place(ranks: Run, engine: str) -> None:
    """RANK, WORLD_SIZE, LOCAL_RANK, NODE_RANK and NNODES are those of Slurm's step."""
    seen = [ranks.read(f"{number}.{engine}")[0].split() for number in range(3)]
    places = [one[:5] for one in seen]
    assert places == [
        ["0", "3", "0", "0", "2"],
        ["1", "3", "1", "0", "2"],
        ["2", "3", "0", "1", "2"],
    ]
    assert ["0", "1", "2"] == [one[7] for one in seen]


@pytest.mark.parametrize("engine", ENGINES)
def test_all_ranks_meet_at_one_place(ranks: Run, engine: str) -> None:
    """MASTER_ADDR and MASTER_PORT are the same for all, and the job's own."""
    seen = [ranks.read(f"{number}.{engine}")[0].split() for number in range(3)]
    job = int(seen[0][8])
    assert {(seen[0][5], str(61000 + job % 4536))} == {(one[5], one[6]) for one in seen}


@pytest.mark.parametrize("engine", ENGINES)
def test_ranks_are_contained(ranks: Run, engine: str) -> None:
    """Each rank, on the other node, too, runs in the image."""
    for number in range(3):
        inside = ranks.read(f"{number}.{engine}")[1:]
        assert (engine == "apptainer") == ("/.singularity.d" in inside)


def test_processes_of_a_job_can_meet(lab: Lab, tmp_path: Path) -> None:
    """What the variables name can be connected to from the other node; no folder stays."""
    (tmp_path / "meet.py").write_text(MEET, encoding="utf-8")
    ran = run(
        lab,
        tmp_path,
        """
        rule meet:
            output: touch("done")
            resources: launch="srun", nodes=2, tasks_per_node=2
            shell: "python3 meet.py >>said"
        """,
    )
    assert ran.result.code == 0, ran.result.said
    assert ran.read("said") == ["met [1, 2, 3]"]
    assert [] == ran.workflow.scratch_folders()


def test_without_launch_the_command_runs_once(lab: Lab, tmp_path: Path) -> None:
    """A job of two nodes whose command starts nothing is told so; the rendezvous is there."""
    ran = run(
        lab,
        tmp_path,
        """
        rule alone:
            output: "alone"
            resources: nodes=2
            shell: "echo $NNODES $MASTER_PORT ${{RANK-none}} >>{output}"
        """,
    )
    assert re.fullmatch(r"2 6\d{4} none", ran.read("alone")[0])
    assert "its command is started once, on the first" in ran.result.said


def test_each_rank_gets_its_gpu(lab: Lab, tmp_path: Path) -> None:
    """With `tasks_per_gpu=1` there is a rank for each GPU, which sees only that one."""
    ran = run(
        lab,
        tmp_path,
        """
        rule train:
            output: touch("done")
            resources: launch="srun", gpu=2, tasks_per_gpu=1, nodes=1
            shell: "echo $RANK/$WORLD_SIZE $CUDA_VISIBLE_DEVICES $SLURM_STEP_GPUS >>said"
        """,
    )
    assert ran.result.code == 0, ran.result.said
    said = sorted(ran.read("said"))
    assert ["0/2", "1/2"] == [line.split()[0] for line in said]
    assert [1, 1] == [len(line.split()[1].split(",")) for line in said]


# --- how they end ------------------------------------------------------------------------


def test_the_first_failure_counts(lab: Lab, tmp_path: Path) -> None:
    """One rank fails, the others are ended: the task's exit code is that of the one."""
    ran = run(
        lab,
        tmp_path,
        """
        rule fails:
            output: "never"
            resources: launch="srun", nodes=2, tasks=3
            shell: "[ $RANK != 2 ] || exit 7; sleep 60"
        """,
    )
    assert ran.result.code == 1
    assert "The command failed with exit code 7" in ran.result.said
    assert [] == ran.workflow.scratch_folders()


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ('mpi="mpirun.none", tasks=2', "The launcher of MPI is missing: there is no program"),
        ('launch="no-launcher -n 2"', "cannot be started: there is no program no-launcher"),
        ('launch="srun --mpi=none_such", tasks=2', "Slurm has no support for MPI of the type"),
        ('mpi="srun"', "`mpi=srun` is set, but not how many processes the job has"),
        ('mpi="srun", launch="srun", tasks=2', "would start each process twice"),
    ],
    ids=["no-mpirun", "no-launcher", "no-such-mpi", "mpi-without-tasks", "both"],
)
def test_a_wrong_launcher_is_explained(
    lab: Lab, tmp_path: Path, resources: str, sentence: str
) -> None:
    """What is missing or contradicts itself is said in a sentence, without a traceback."""
    ran = run(
        lab,
        tmp_path,
        f"""
        rule wrong:
            output: "never"
            resources: {resources}
            shell: "{{resources.mpi}} true"
        """
        if "mpirun" in resources
        else f"""
        rule wrong:
            output: "never"
            resources: {resources}
            shell: "true"
        """,
    )
    assert ran.result.code == 1
    assert sentence in ran.result.said
    assert not ran.result.shows_traceback


@pytest.mark.parametrize("engine", ["host", "apptainer"])
def test_ranks_may_save_their_work(
    lab: Lab, base_image: BaseImage, tmp_path: Path, engine: str
) -> None:
    """Told to end, each rank on each node cleans up in a working container."""
    if engine == "apptainer" and proc.find_program("apptainer") is None:
        pytest.skip("Apptainer is not installed")
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile(f"""
        rule long:
            output: "never"
            container: "{base_image.sif}"
            resources: engine="{engine}", launch="srun", nodes=2, tasks=2, runtime=5
            shell: "trap 'sleep 0.2; ls / >saved.$RANK; exit 3' TERM; touch begun.$RANK; "
                "for i in $(seq 300); do sleep 0.1; done"
    """)
    with workflow.start_hpcctr() as running:
        for rank in (0, 1):
            wait_for_file(tmp_path / f"begun.{rank}")
        running.interrupt()
        running.finish()
    for rank in (0, 1):
        wait_for_file(tmp_path / f"saved.{rank}")
