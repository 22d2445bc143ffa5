"""What a user sees who wrote something wrong: what it is, where it stands, what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.bad_rules import ACCEPTED, REFUSED
from tests.integration.workflow import Result, Run, Workflow, path_without, wait_for_file

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab

pytestmark = pytest.mark.lab

ONE_RULE = """
    rule hello:
        output: "hello.txt"
        shell: "echo hello >{output}"
"""
ONE_CONTAINER = """
    rule hello:
        output: "hello.txt"
        container: "image.sqsh"
        shell: "echo hello >{output}"
"""
#: Enough for a squashfs image that is never started.
SQUASHFS = b"hsqs" + bytes(92)


@pytest.fixture(scope="module")
def bad_rules(lab: Lab, apptainer: str, tmp_path_factory: pytest.TempPathFactory) -> Run:  # noqa: ARG001 (a node has the engine)
    """Run all rules of both tables at once, with --keep-going."""
    workflow = Workflow(tmp_path_factory.mktemp("bad rules"), lab.environ)
    workflow.write("text.sif", "<html>404 Not Found</html>\n")
    (workflow.folder / "folder").mkdir()
    (workflow.folder / "image.sif").write_bytes(bytes(32) + b"SIF_MAGIC" + bytes(64))
    rules = {**REFUSED, **ACCEPTED}
    text = f'SIF = "image.sif"\nrule all:\n    input: {[f"{name}.txt" for name in rules]}\n'
    for name, (lines, _) in rules.items():
        given = "{params.given} " if "params:" in lines else ""
        text += f'rule {name}:\n    output: "{name}.txt"\n    {lines}\n'
        text += f'    shell: "echo {given}'
        text += "$SLURM_JOB_ID ${{CUDA_VISIBLE_DEVICES-none}} "
        text += '$(scontrol -o show job $SLURM_JOB_ID) >{output}"\n'
    workflow.write("Snakefile", text)
    # `engine enroot` is to be refused for the image's sake, not because there is no Enroot.
    fake = workflow.write("bin/enroot", "#!/bin/sh\necho 4.1.2\n")
    fake.chmod(0o755)
    path = f"{fake.parent}:/usr/local/bin:/usr/bin:/bin"
    return Run(workflow, workflow.run("--keep-going", env={"PATH": path}))


@pytest.mark.parametrize("rule", REFUSED)
def test_rule_is_refused_in_words(bad_rules: Run, rule: str) -> None:
    """A rule that cannot run is not submitted; the message names it, the fault and the way out."""
    words = REFUSED[rule][1]
    lines = bad_rules.result.lines(f"rule {rule}") + bad_rules.result.lines("hint: ")
    missing = [word for word in words if not any(word in line for line in lines)]
    assert not missing, bad_rules.result.said
    assert f"Error in rule {rule}:" in bad_rules.result.said
    assert rule not in {row.rule for row in bad_rules.workflow.rows()}


@pytest.mark.parametrize("rule", ACCEPTED)
def test_rule_runs_and_what_was_read_is_said(bad_rules: Run, rule: str) -> None:
    """An odd but clear value is used; where it should be written otherwise, that is said."""
    assert (bad_rules.workflow.folder / f"{rule}.txt").exists(), bad_rules.result.said
    for word in ACCEPTED[rule][1]:
        assert word in bad_rules.result.said


def test_gpu_zero_gets_none(bad_rules: Run) -> None:
    """`gpu=0` asks Slurm for no GPU."""
    seen = (bad_rules.workflow.folder / "gpu_zero.txt").read_text().split()
    assert seen[1] == "none"
    assert "gres" not in " ".join(seen)


def test_gpu_model_and_count_in_one_text(bad_rules: Run) -> None:
    """`gpu="MODEL:2"` asks for two of that model."""
    seen = (bad_rules.workflow.folder / "gpu_with_model.txt").read_text().split()
    assert seen[1] == "0,1"


def test_memory_unit_reaches_slurm(bad_rules: Run) -> None:
    """`mem="2GB"` is sent as 2000M."""
    assert "mem=2000M" in (bad_rules.workflow.folder / "memory_in_words.txt").read_text()


def test_one_bad_rule_stops_no_other(bad_rules: Run) -> None:
    """With --keep-going exactly the good rules ran, and no traceback was shown."""
    assert sorted(ACCEPTED) == sorted(row.rule for row in bad_rules.workflow.submitted())
    assert bad_rules.result.code == 1
    assert not bad_rules.result.shows_traceback


def test_nothing_is_left_in_tmp(bad_rules: Run) -> None:
    """Neither tasks that ran nor those that were refused leave a folder in /tmp."""
    assert [] == bad_rules.workflow.scratch_folders()


@pytest.fixture
def hello(lab: Lab, tmp_path: Path) -> Workflow:
    """Return a workflow of one rule without a container."""
    workflow = Workflow(tmp_path / "work", lab.environ)
    workflow.snakefile(ONE_RULE)
    return workflow


def refused(workflow: Workflow, *words: str, env: dict[str, str] | None = None) -> str:
    """Run a workflow that must fail before anything is submitted; return what it said."""
    result = workflow.run(*words, env=env)
    assert result.code == 1
    assert not result.shows_traceback
    assert not workflow.submitted()
    return result.said


def test_keys_of_the_configuration_file(hello: Workflow) -> None:
    """Each unknown key and wrong value of hpcctr.yaml is named with its line, all at once."""
    hello.write(
        "hpcctr.yaml",
        """\
        engin: apptainer
        defaults:
          partion: cpu
          mem: lots
        rules:
          hello: {apptainer: {no-home: yes}}
        """,
    )
    said = refused(hello)
    assert "hpcctr.yaml:1: engin: unknown key `engin` (did you mean `engine`?)" in said
    assert "hpcctr.yaml:3: defaults.partion: unknown key `partion` (did you mean" in said
    assert "hpcctr.yaml:4: defaults.mem: expected an amount of memory, got 'lots'" in said
    assert "hpcctr.yaml:6: rules.hello.apptainer.no-home: unknown key `no-home`" in said


def test_broken_yaml(hello: Workflow) -> None:
    """A file that is no YAML is named with its line."""
    hello.write("hpcctr.yaml", "defaults:\n\tmem: 2GB\n")
    said = refused(hello)
    assert "hpcctr.yaml:2" in said
    assert "use spaces" in said


def test_memory_in_the_configuration_file(hello: Workflow) -> None:
    """`mem: 3GB` is accepted, and the job gets 3000M."""
    hello.write("hpcctr.yaml", "defaults: {mem: 3GB}\n")
    hello.snakefile("""
        rule hello:
            output: "hello.txt"
            shell: "scontrol -o show job $SLURM_JOB_ID >{output}"
    """)
    result = hello.run()
    assert result.code == 0, result.said
    assert "mem=3000M" in (hello.folder / "hello.txt").read_text()


def test_configuration_file_missing(hello: Workflow) -> None:
    """A file that the command line names must be there."""
    said = refused(hello, "--hpcctr-config", "none.yaml")
    assert "--hpcctr-config: the configuration file" in said
    assert "none.yaml does not exist" in said


def test_unknown_engine_on_the_command_line(hello: Workflow) -> None:
    """The flag is named."""
    said = refused(hello, "--hpcctr-engine", "docker")
    assert "--hpcctr-engine: expected an engine or a list of engines, got 'docker'" in said
    assert "hint: the engines are" in said


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (("--hpcctr-binds", "data:/data"), ("--hpcctr-binds", "'data'", "not absolute")),
        (("--hpcctr-array", "many"), ("--hpcctr-array", "expected auto, off", "'many'")),
        (("--immediate-submit", "--notemp"), ("--immediate-submit", "leave the flag out")),
    ],
)
def test_flags_that_cannot_be_used(
    hello: Workflow, flag: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """A flag with a value of no use is named, with what it takes."""
    said = refused(hello, *flag)
    assert not [word for word in words if word not in said], said


def test_engine_that_no_node_has(lab: Lab, tmp_path: Path) -> None:
    """An engine that the nodes lack ends the run before anything is submitted."""
    workflow = Workflow(tmp_path / "work", lab.environ)
    (workflow.folder / "image.sqsh").write_bytes(SQUASHFS)
    workflow.snakefile(ONE_CONTAINER)
    path = path_without(tmp_path / "bin", "enroot", "apptainer", "singularity")
    said = refused(workflow, "--hpcctr-engine", "enroot", env={"PATH": path})
    assert "rule hello: no node of the default partition has the engine enroot" in said
    assert "hint: " in said
    said = refused(workflow, "--hpcctr-engine", "apptainer,enroot", env={"PATH": path})
    assert "has the engine apptainer or enroot" in said


def test_bind_source_missing(lab: Lab, apptainer: str, tmp_path: Path) -> None:  # noqa: ARG001 (a node has the engine)
    """A bind source that the node lacks stops the task before its command."""
    workflow = Workflow(tmp_path / "work", lab.environ)
    (workflow.folder / "image.sqsh").write_bytes(SQUASHFS)
    workflow.snakefile(ONE_CONTAINER)
    result = workflow.run("--hpcctr-binds", "/no/such/data:/data:ro")
    assert re.search(r"hello failed on n\d", result.said)
    assert re.search(r"The bind source /no/such/data does not exist on node n\d", result.said)
    assert "hint: correct the path in `binds`" in result.said
    assert not result.shows_traceback


def test_no_slurm(hello: Workflow, tmp_path: Path) -> None:
    """Without sbatch on PATH the message says so, and how to go on without Slurm."""
    path = path_without(tmp_path / "bin", "sbatch")
    said = refused(hello, env={"PATH": path})
    assert "there is no Slurm here: sbatch was not found on PATH" in said
    assert "--hpcctr-scheduler local" in said


def test_partition_on_the_command_line(hello: Workflow) -> None:
    """A partition that does not exist is named together with those that do."""
    said = refused(hello, "--hpcctr-partition", "cpuu")
    assert "there is no partition `cpuu`" in said
    assert "did you mean `cpu`?" in said
    assert "this cluster has: cpu, gpu" in said


def test_refusal_of_sbatch_names_the_rule(hello: Workflow) -> None:
    """What sbatch itself refuses is shown with the rule, Slurm's words and a way out."""
    hello.snakefile("""
        rule hello:
            output: "hello.txt"
            resources: constraint="haswell"
            shell: "echo hello >{output}"
        rule other:
            output: "other.txt"
            resources: slurm_extra="--nonsense=1"
            shell: "echo hello >{output}"
    """)
    said = refused(hello, "--keep-going", "hello.txt", "other.txt")
    assert re.search(r"hello: .*feature that `constraint` asks for: haswell", said)
    assert "Invalid feature specification" in said
    assert re.search(r"other: sbatch does not understand an option", said)
    assert "--nonsense=1" in said


def test_log_folder_is_a_file(hello: Workflow) -> None:
    """A log folder that cannot be made is named, and the flag that chooses another."""
    hello.write("logs", "")
    said = refused(hello, "--hpcctr-log-dir", "logs")
    assert f"cannot write to {hello.folder / 'logs'}" in said
    assert "--hpcctr-log-dir" in said


def in_own_mounts(workflow: Workflow, mounts: str, *words: str) -> Result:
    """Run Snakemake where some mounts are seen by it alone, not by the lab's daemons."""
    private = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*private, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount of one's own can be made here (unshare --mount)")
    return workflow.run(*words, timeout_s=60, before=(*private, "bash", "-c", mounts, "bash"))


def test_log_folder_on_a_read_only_disk(hello: Workflow) -> None:
    """A read-only log folder is named with the reason."""
    (hello.folder / "logs").mkdir()
    mounts = 'mount --bind -o ro logs logs && exec "$@"'
    result = in_own_mounts(hello, mounts, "--hpcctr-log-dir", "logs")
    assert "logs" in result.said
    assert "Read-only file system" in result.said
    assert "--hpcctr-log-dir" in result.said
    assert not hello.submitted()


#: The head gets a disk of its own in place of the working directory.
HEAD_ALONE = (
    'cp Snakefile /tmp/.$$ && mount -t tmpfs none "$PWD" && cd "$PWD" '
    '&& mv /tmp/.$$ Snakefile && exec "$@"'
)


def test_no_shared_folder(hello: Workflow) -> None:
    """Where the nodes do not see the head's folder, Slurm cannot even open the log."""
    result = in_own_mounts(hello, HEAD_ALONE, "--latency-wait", "1")
    assert "Slurm could not open its log or its working directory on node n" in result.said
    assert "hint: run the workflow in a folder that exists on every node" in result.said
    assert not result.shows_traceback


def test_no_shared_folder_but_shared_logs(hello: Workflow, tmp_path: Path) -> None:
    """Where only the logs are shared, the task says which file its node does not see."""
    logs = str(tmp_path / "logs")
    flags = ("--latency-wait", "1", "--hpcctr-log-dir", logs)
    result = in_own_mounts(hello, HEAD_ALONE, *flags)
    assert re.search(r"The task never started, because node n\d does not see /", result.said)
    assert "file system that this machine and all nodes share" in result.said


def impatient(lab: Lab, folder: Path) -> Path:
    """Return a slurm.conf with which Slurm's commands give up on a controller soon."""
    conf = folder / "slurm.conf"
    conf.write_text(Path(lab.environ["SLURM_CONF"]).read_text() + "MessageTimeout=2\n")
    return conf


def test_controller_is_away(lab: Lab, tmp_path: Path) -> None:
    """Without a controller, at the start or later, the run waits, says so, and finishes."""
    workflow = Workflow(tmp_path, {"SLURM_CONF": str(impatient(lab, tmp_path))})
    workflow.snakefile("""
        rule second:
            input: "first.txt"
            output: "second.txt"
            shell: "echo second >{output}"
        rule first:
            output: "first.txt"
            shell: "touch started; until [ -e go ]; do sleep 0.1; done; echo first >{output}"
    """)
    silence = "Slurm's controller does not answer"
    lab.stop_controller()
    try:
        with workflow.start_hpcctr() as run:
            run.wait_for(silence)
            lab.start_controller()
            run.wait_for("Submitted first as")
            wait_for_file(tmp_path / "started")
            lab.stop_controller()
            (tmp_path / "go").touch()
            run.wait_for("Finished jobid: 1 (Rule: first)")
            run.wait_for(silence, times=2)
            lab.start_controller()
            result = run.finish()
    finally:
        lab.start_controller()
    assert result.code == 0, result.said
    assert "1 task(s) wait and are submitted again" in result.said
    assert (tmp_path / "second.txt").read_text() == "second\n"
