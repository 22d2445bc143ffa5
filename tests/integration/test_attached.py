"""`hpcctr explain`, `shell`, `exec` and `run` on a real Slurm: as a rule's command would run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.doubles.image import build_image
from tests.doubles.search import engines_path
from tests.integration.terminal import CTRL_C, UP, Terminal
from tests.integration.workflow import HPCCTR, Workflow

pytestmark = pytest.mark.lab

SNAKEFILE = """
rule all:
    input: expand("out/{lr}.txt", lr=[0.1, 1])
rule train:
    output: "out/{lr}.txt"
    container: "base.sqsh"
    threads: 3
    resources: mem_mb=2000, runtime=5, gpu=1, binds="DATA:/data:ro", env="MODE=b c"
    shell: "cat /data/in.txt >{output}  # {wildcards.lr}"
rule script:
    output: "script/{n}.txt"
    script: "make.py"
"""
ENGINES = ("host", "apptainer", "enroot", "pyxis")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny image with an entry point, as a registry has them."""
    return build_image(tmp_path_factory.mktemp("image") / "base.sqsh", registry=True)


@pytest.fixture
def workflow(tmp_path: Path, lab_environ: dict[str, str], image: Path) -> Workflow:
    """Return a workflow with a rule that asks for everything, and an output of an earlier run."""
    flow = Workflow(tmp_path / "flow", {**lab_environ, "PATH": engines_path()})
    (tmp_path / "data").mkdir()
    (tmp_path / "data/in.txt").write_text("data\n")
    (flow.folder / "base.sqsh").symlink_to(image)
    flow.snakefile(SNAKEFILE.replace("DATA", str(tmp_path / "data")))
    flow.write("make.py", "open(snakemake.output[0], 'w').close()\n")
    flow.write("out/1.txt", "kept\n")
    return flow


def _needs(engine: str, request: pytest.FixtureRequest) -> None:
    if engine == "apptainer":
        request.getfixturevalue(engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_command_runs_where_the_rule_would(
    workflow: Workflow, engine: str, request: pytest.FixtureRequest
) -> None:
    """`exec` gives a command the rule's image, binds, variables, GPUs, folder and request."""
    _needs(engine, request)
    look = (
        'echo "$MODE|$OMP_NUM_THREADS|${CUDA_VISIBLE_DEVICES:+gpu}|$PWD|$SLURM_CPUS_PER_TASK"; '
        "cat /data/in.txt; ls /etc/in-the-image; test -w /data || echo read-only; exit 7"
    )
    words = ("exec", "-r", f"engine={engine}", "train", "lr=1", "--", "sh", "-c", look)
    result = workflow.hpcctr(*words)
    assert 7 == result.code, result.said
    assert f"b c|3|gpu|{workflow.folder}|3" in result.said
    inside = engine != "host"
    assert inside == ("data\n" in result.said)
    assert inside == ("\n/etc/in-the-image\n" in result.said)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_shell_has_the_command_in_its_history(
    workflow: Workflow, engine: str, request: pytest.FixtureRequest
) -> None:
    """A shell runs in a job; the up arrow brings the rule's command; Ctrl-C and exit code pass."""
    _needs(engine, request)
    words = (*HPCCTR, "shell", "train", "lr=0.1", "-r", f"engine={engine}")
    with Terminal(words, workflow.folder, workflow.variables()) as terminal:
        terminal.wait_for(rf"\[{engine}: train \(lr=0\.1\)\] {workflow.folder}[#$] ")
        terminal.type("echo job-$SLURM_JOB_ID-\r")
        terminal.wait_for(r"job-\d+-\n")
        terminal.type("sleep 60\r")
        time.sleep(1)
        terminal.type(CTRL_C)
        terminal.wait_for(r"[#$] $")
        terminal.type(UP + UP + UP + "\r")
        terminal.wait_for(r"cat /data/in.txt >out/0.1.txt  # 0.1[^$]*[#$] ")
        terminal.type("exit 5\r")
        assert 5 == terminal.finish()
    if engine != "host":
        assert "data\n" == (workflow.folder / "out/0.1.txt").read_text()


def test_nothing_is_left_behind(workflow: Workflow) -> None:
    """No output of an earlier run is removed, no folder or file of the shell stays."""
    before = {path for path in workflow.folder.rglob("*") if ".snakemake" not in path.parts}
    result = workflow.hpcctr(
        "exec", "-r", "engine=host", "train", "lr=1", "--", "sh", "-c", "echo $TMPDIR"
    )
    assert 0 == result.code, result.said
    after = {path for path in workflow.folder.rglob("*") if ".snakemake" not in path.parts}
    assert before == {path for path in after if not path.name.startswith(".test-output")}
    assert "kept\n" == (workflow.folder / "out/1.txt").read_text()
    assert not (workflow.folder / ".snakemake/hpcctr/shells").exists()
    tmpdir = next(line for line in result.said.splitlines() if line.startswith("/tmp/hpcctr-"))
    assert not Path(tmpdir).parent.exists()


def test_a_running_job_is_joined(workflow: Workflow) -> None:
    """A command for the id of a running job runs inside that job's allocation."""
    workflow.snakefile(
        """
        rule long:
            output: "long.txt"
            threads: 2
            resources: gpu=1, runtime=5
            shell: "echo started >started; sleep 300"
        """
    )
    with workflow.start_hpcctr() as running:
        while not (workflow.folder / "started").exists():
            time.sleep(0.1)
        (row,) = workflow.submitted()
        words = ("exec", row.element, "--", "sh", "-c", 'echo "job=$SLURM_JOB_ID"')
        assert f"job={row.element}" in workflow.hpcctr(*words).said
        running.interrupt()
        running.finish()
    later = workflow.hpcctr(*words)
    assert "does not run now" in later.said
    assert f"job={row.element}" not in later.said


def test_an_image_opens_with_the_request_that_is_given(
    workflow: Workflow,
    apptainer: str,  # noqa: ARG001 (starts the image)
) -> None:
    """`exec IMAGE` takes binds, variables and the request from -r, the rest from hpcctr.yaml."""
    workflow.write("hpcctr.yaml", "images: {small: base.sqsh}\ndefaults: {env: {FROM_FILE: x}}\n")
    data = workflow.folder.parent / "data"
    result = workflow.hpcctr(
        *("exec", "-r", "engine=apptainer", "-r", f"binds={data}:/here", "-r", "cpus_per_task=2"),
        *("small", "--", "sh", "-c", 'cat /here/in.txt; echo "$FROM_FILE $SLURM_CPUS_PER_TASK"'),
    )
    assert ["data", "x 2"] == result.said.splitlines()


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_an_image_runs_its_own_command(
    workflow: Workflow, engine: str, request: pytest.FixtureRequest
) -> None:
    """`run IMAGE` starts the image's entry point with the arguments, in every engine."""
    _needs(engine, request)
    result = workflow.hpcctr(
        "run", "-r", f"engine={engine}", "-r", "mem=2GB", "base.sqsh", "sh", "-c", "pwd; exit 4"
    )
    assert 4 == result.code, result.said
    assert {"entry point: sh -c pwd; exit 4", "/srv/work"} <= set(result.said.splitlines())


def test_here_needs_no_slurm(workflow: Workflow) -> None:
    """With --here the command runs on this machine, as it would in a job."""
    flow = Workflow(workflow.folder, {"SLURM_CONF": "/nowhere", "PATH": engines_path()})
    result = flow.hpcctr(
        "exec", "--here", "-r", "engine=host", "-r", "gpu=0", "train", "--", "sh", "-c",
        'echo "$MODE ${SLURM_JOB_ID-none}"',
    )  # fmt: skip
    assert "b c none" in result.said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("exec", "train"), 2, "there is no command"),
        (("exec", "trian", "--", "ls"), 2, "did you mean `train`?"),
        (("exec", "train", "rate=1", "--", "ls"), 2, "rule train has no wildcard 'rate'"),
        (("exec", "999", "--", "ls"), 2, "ran as job 999"),
        (("exec", "no.sqsh", "--", "ls"), 1, "image no.sqsh does not exist"),
        (("exec", "-r", "gpuu", "train", "--", "ls"), 2, "expected NAME=VALUE for a resource"),
        (("exec", "-r", "slurm_partition=nope", "train", "--", "ls"), 1, "no partition `nope`"),
        (("shell", "-s", "no.smk", "train"), 2, "cannot load the workflow"),
        (("shell", "--snakemake", "--nope", "train"), 2, "does not take these words"),
    ],
)
def test_mistakes_are_named(
    workflow: Workflow, words: tuple[str, ...], code: int, said: str
) -> None:
    """A mistake ends with what is wrong and no traceback, and nothing runs."""
    result = workflow.hpcctr(*words)
    assert (code, False) == (result.code, result.shows_traceback), result.said
    assert said in result.said


def test_explain_tells_what_a_run_does(workflow: Workflow) -> None:
    """The script that `explain` shows is the one a run writes, but for the run's name."""
    (workflow.folder / "out/1.txt").unlink()
    words = ("explain", "train", "lr=1", "-r", "engine=host", "--json")
    told = json.loads(workflow.hpcctr(*words).said)
    flags = ("--set-resources", "train:engine=host", "--hpcctr-keep-scripts")
    workflow.run("out/1.txt", *flags)
    (script,) = workflow.folder.glob(".snakemake/hpcctr/runs/*/tasks/*.sh")
    run = script.parents[1].name
    assert script.read_text() == told["task"]["script"].replace("RUN", run)


def test_explain_changes_nothing(workflow: Workflow) -> None:
    """`explain` leaves outputs as they are, submits nothing, and leaves no copy of a script."""
    result = workflow.hpcctr("explain", "script", "n=4")
    assert 0 == result.code, result.said
    assert "make.py" in result.said
    assert [] == list(workflow.folder.glob(".snakemake/scripts/*"))
    assert 0 == workflow.hpcctr("explain", "train", "lr=1").code
    assert "kept\n" == (workflow.folder / "out/1.txt").read_text()
    assert not (workflow.folder / ".snakemake/hpcctr").exists()
    assert [] == list(workflow.folder.glob(".snakemake/log/*"))


def test_explain_names_the_layer_of_each_value(workflow: Workflow) -> None:
    """Each setting, bind and variable comes with the file and line, or the rule, that set it."""
    workflow.write(
        "hpcctr.yaml",
        """\
        defaults:
          account: science
          binds: [/opt:/opt:ro]
        rules:
          "tr*": {partition: cpu, env: {MODE: lost, OTHER: x}}
        """,
    )
    result = workflow.hpcctr("explain", "train", "--json", "-r", "engine=apptainer")
    told = json.loads(result.said)["settings"]
    settings = {(s["name"], str(s["value"])): s["set_by"] for s in told}
    assert "hpcctr.yaml:2, defaults" == settings["account", "science"]
    assert "hpcctr.yaml:3, defaults" == settings["binds", "/opt:/opt:ro"]
    assert "hpcctr.yaml:5, rules 'tr*'" == settings["partition", "cpu"]
    assert "hpcctr.yaml:5, rules 'tr*'" == settings["env OTHER", "x"]
    assert "rule train, resources: env" == settings["env MODE", "b c"]
    assert "rule train, threads:" == settings["cpus_per_task", "3"]
    assert "the Snakefile, container:" == settings["image", "base.sqsh"]


def test_explain_tells_why_a_run_would_refuse(workflow: Workflow) -> None:
    """A job that a run would refuse is explained with the reason, and the exit code is 1."""
    result = workflow.hpcctr("explain", "train", "-r", "slurm_partition=nope")
    assert 1 == result.code
    assert "a run would refuse it: there is no partition `nope`" in result.said
    assert "rule train, resources: slurm_partition" in result.said


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('shell: "echo {nosuch}"', "The name 'nosuch' is unknown"),
        ('script: "no-such.py"', "No such file or directory"),
        ('resources: mem_mb=lambda w: 1 / 0\n    shell: "true"', "ZeroDivisionError"),
    ],
    ids=["name", "script", "function"],
)
def test_a_mistake_in_the_snakefile_is_no_bug_of_ours(
    workflow: Workflow, line: str, reason: str
) -> None:
    """What Snakemake says of a job only when its command is made is told as the user's to mend."""
    workflow.snakefile(f'rule wrong:\n    output: "wrong.txt"\n    {line}\n')
    result = workflow.hpcctr("explain", "wrong")
    assert result.code in {1, 2}, result.said
    assert "Snakemake refuses the job" in result.said
    assert reason in result.said
    assert "unexpected failure" not in result.said


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_a_staged_image_is_started_from_the_node(
    workflow: Workflow, engine: str, request: pytest.FixtureRequest
) -> None:
    """With `stage.images` every engine starts a copy on the node, made by the first task."""
    _needs(engine, request)
    copies = workflow.folder.parent / "node"
    workflow.write("hpcctr.yaml", f"defaults: {{stage: {{images: {copies}}}}}\n")
    words = ("exec", "-r", f"engine={engine}", "train", "lr=1", "--", "cat", "/etc/in-the-image")
    first = workflow.hpcctr(*words)
    assert 0 == first.code, first.said
    (copy,) = copies.glob("*.sqsh")
    image = (workflow.folder / "base.sqsh").resolve()
    assert image.read_bytes() == copy.read_bytes()
    # The engine reads the copy: with another content of the same size and time it fails.
    status = copy.stat()
    copy.write_bytes(b"\0" * status.st_size)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert 0 != workflow.hpcctr(*words).code
