"""Every kind of rule does on the cluster what it does with Snakemake's own executor."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.workflow import Result, Workflow

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab

pytestmark = pytest.mark.lab

SNAKEFILE = r'''
envvars: "GIVEN"
PLAIN = ["by_shell.txt", "by_script.txt", "by_bash.txt", "by_run.txt", "shadowed.txt",
    "shadow_minimal.txt", "kept.txt", "guarded.txt", "touched.txt", "gathered.txt",
    "benchmarked.txt", "grouped_b.txt", "many_lines.txt", "threads.txt", "third_try.txt",
    "with_log.txt", "environment.txt", "tmpdir.txt", "folder", "long.txt", "piped.txt",
    "space in name/a b.txt", "by_function.txt", "priority.txt", "unnamed.txt", "stdin.txt"]
ODD = "it's a \"b\" $HOME `c` é 漢 ; & | * ? [x] \\ -d.txt"

rule all:
    input: *PLAIN, ODD

rule by_shell:
    output: "by_shell.txt"
    params: text="a 'b' \"c\" $d"
    shell: "printf '%s\\n' {params.text:q} >{output}"

rule by_script:
    output: "by_script.txt"
    params: number=3, names=["x", "y z"]
    threads: 2
    script: "scripts/write.py"

rule by_bash:
    output: "by_bash.txt"
    params: number=4
    script: "scripts/write.sh"

rule by_run:
    output: "by_run.txt"
    run:
        with open(output[0], "w") as stream:
            print("run", threads, file=stream)

rule shadowed:
    input: "by_shell.txt"
    output: "shadowed.txt"
    shadow: "shallow"
    shell: "echo rubbish >rubbish.txt; cat {input} >{output}"

rule shadow_minimal:
    input: "by_shell.txt"
    output: "shadow_minimal.txt"
    shadow: "minimal"
    shell: "echo rubbish >rubbish.txt; cat {input} >{output}"

rule temporary:
    output: temp("temporary.txt")
    shell: "echo temporary >{output}"

rule kept:
    input: "temporary.txt"
    output: "kept.txt"
    shell: "cat {input} >{output}"

rule guarded:
    output: protected("guarded.txt")
    shell: "echo guarded >{output}"

rule touched:
    output: touch("touched.txt")
    shell: "true"

rule folder:
    output: directory("folder")
    shell: "mkdir -p {output}/deep; echo deep >{output}/deep/file.txt"

checkpoint scatter:
    output: directory("parts")
    shell: "mkdir {output}; for i in 1 2 3; do echo part $i >{output}/$i.txt; done"

rule part:
    input: "parts/{i}.txt"
    output: "done/{i}.txt"
    shell: "sed s/part/done/ {input} >{output}"

def parts(wildcards):
    folder = checkpoints.scatter.get().output[0]
    return expand("done/{i}.txt", i=sorted(glob_wildcards(folder + "/{i}.txt").i))

rule gathered:
    input: parts
    output: "gathered.txt"
    shell: "cat {input} >{output}"

rule benchmarked:
    output: "benchmarked.txt"
    benchmark: "benchmark.tsv"
    shell: "sleep 0.5; echo benchmarked >{output}"

rule grouped_a:
    output: "grouped_a.txt"
    group: "pair"
    shell: "echo a >{output}"

rule grouped_b:
    input: "grouped_a.txt"
    output: "grouped_b.txt"
    group: "pair"
    shell: "cat {input} >{output}; echo b >>{output}"

rule many_lines:
    output: "many_lines.txt"
    shell:
        """
        cat >{output} <<'END'
        first line
            second $HOME {{braces}}
        END
        # a comment
        for word in 'a b' "c"; do
          echo "$word" >>{output}
        done
        """

rule threads:
    output: "threads.txt"
    threads: 2
    shell: "echo {threads} $OMP_NUM_THREADS $MKL_NUM_THREADS >{output}"

rule third_try:
    output: "third_try.txt"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt
    shell: "[ {resources.mem_mb} = 300 ] && echo {resources.mem_mb} >{output}"

rule with_log:
    output: "with_log.txt"
    log: out="logs/out.log", err="logs/deep/err.log"
    shell: "echo out >{log.out}; echo err >&2 2>{log.err}; echo done >{output}"

rule environment:
    output: "environment.txt"
    shell: "echo $GIVEN >{output}"

rule tmpdir:
    output: "tmpdir.txt"
    params: file=lambda wildcards, resources: f"{resources.tmpdir}/file"
    shell:
        "echo through >{params.file}; [ $TMPDIR = {resources.tmpdir} ]; "
        "cat {params.file} >{output}"

rule long:
    output: "long.txt"
    params: text=" ".join(f"word{i}" for i in range(30000))
    shell: "echo {params.text} | wc -w >{output}"

rule source_of_pipe:
    output: pipe("pipe.txt")
    shell: "echo through the pipe >{output}"

rule piped:
    input: "pipe.txt"
    output: "piped.txt"
    shell: "cat {input} >{output}"

rule spaces:
    output: "space in name/{name}.txt"
    shell: "echo {wildcards.name:q} >{output:q}"

rule by_function:
    input: lambda wildcards: "by_shell.txt"
    output: "by_function.txt"
    params: size=lambda wildcards, input: os.path.getsize(input[0])
    shell: "echo {params.size} >{output}"

rule priority:
    output: "priority.txt"
    priority: 50
    message: "A message of the rule about {output}"
    shell: "echo $(umask) >{output}"

rule:
    output: "unnamed.txt"
    shell: "echo unnamed >{output}"

rule stdin:
    output: "stdin.txt"
    shell: "cat >{output}; echo end >>{output}"

rule odd:
    output: ODD
    shell: "echo odd >{output:q}"
'''

SCRIPT_PY = """
    import os
    seen = [snakemake.params.number, snakemake.params["names"], snakemake.threads]
    seen += [os.environ["OMP_NUM_THREADS"], snakemake.rule, os.path.basename(os.getcwd())]
    with open(snakemake.output[0], "w") as stream:
        print(*seen, file=stream)
"""
SCRIPT_SH = """
    echo "number ${snakemake_params[number]}" >"${snakemake_output[0]}"
"""


@dataclass(frozen=True)
class Run:
    """The workflow after one executor ran it."""

    workflow: Workflow
    result: Result

    @property
    def folder(self) -> Path:
        """Where it ran."""
        return self.workflow.folder


def prepare(folder: Path, environ: dict[str, str]) -> Workflow:
    """Write the workflow."""
    workflow = Workflow(folder / "work", {**environ, "GIVEN": "a 'given' value"})
    workflow.write("Snakefile", SNAKEFILE)
    workflow.write("scripts/write.py", SCRIPT_PY)
    workflow.write("scripts/write.sh", SCRIPT_SH)
    return workflow


@pytest.fixture(scope="module")
def on_slurm(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it on the lab."""
    workflow = prepare(tmp_path_factory.mktemp("slurm"), lab.environ)
    return Run(workflow, workflow.run(timeout_s=120))


@pytest.fixture(scope="module")
def on_local(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with the scheduler `local`."""
    workflow = prepare(tmp_path_factory.mktemp("local"), {})
    return Run(workflow, workflow.run("--hpcctr-scheduler", "local", timeout_s=120))


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with Snakemake's own executor."""
    workflow = prepare(tmp_path_factory.mktemp("snakemake"), {})
    return Run(workflow, workflow.run_local(timeout_s=120))


def content(run: Run) -> dict[str, bytes]:
    """Return all files that the workflow made, without those that hold times."""
    files = [
        path
        for path in run.folder.rglob("*")
        if path.is_file() and not str(path.relative_to(run.folder)).startswith(".")
    ]
    found = {str(path.relative_to(run.folder)): path.read_bytes() for path in files}
    return {name: text for name, text in found.items() if name != "benchmark.tsv"}


def test_outputs_are_those_of_snakemake(on_slurm: Run, by_snakemake: Run) -> None:
    """Names and contents of all files are equal, odd characters included."""
    assert by_snakemake.result.code == 0, by_snakemake.result.said
    assert on_slurm.result.code == 0, on_slurm.result.said
    assert content(by_snakemake) == content(on_slurm)


def test_outputs_of_the_local_scheduler(on_local: Run, by_snakemake: Run) -> None:
    """The scheduler `local` makes the same files, too."""
    assert on_local.result.code == 0, on_local.result.said
    assert content(by_snakemake) == content(on_local)


def test_file_with_odd_characters_is_there(on_slurm: Run) -> None:
    """Quotes, dollars, UTF-8 and brackets in a name arrive as they are."""
    assert "odd\n" in [p.read_text() for p in on_slurm.folder.glob("it's a*")]


def test_protected_output_is_read_only(on_slurm: Run) -> None:
    """A protected output has lost its write permission."""
    mode = (on_slurm.folder / "guarded.txt").stat().st_mode
    assert mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) == 0


def test_temporary_and_shadowed_files_are_gone(on_slurm: Run) -> None:
    """Temporary outputs are removed, and nothing of a shadow folder but its output stays."""
    assert not (on_slurm.folder / "temporary.txt").exists()
    assert not (on_slurm.folder / "rubbish.txt").exists()
    assert [] == list((on_slurm.folder / ".snakemake/shadow").glob("*"))


def test_scripts_are_removed(on_slurm: Run) -> None:
    """Copies of scripts that Snakemake made for the tasks are removed after them."""
    assert [] == list((on_slurm.folder / ".snakemake/scripts").glob("*"))


def test_benchmark_is_measured_on_the_node(on_slurm: Run) -> None:
    """The benchmark holds the seconds of the command."""
    lines = (on_slurm.folder / "benchmark.tsv").read_text().splitlines()
    row = dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=True))
    assert 0.5 <= float(row["s"]) < 10


def test_retries_were_counted(on_slurm: Run) -> None:
    """A rule that needs three attempts got three."""
    tries = [row.attempt for row in on_slurm.workflow.rows() if row.rule == "third_try"]
    assert [1, 2, 3] == tries


def test_threads_become_cpus(on_slurm: Run) -> None:
    """The thread variables hold the rule's threads."""
    assert (on_slurm.folder / "threads.txt").read_text() == "2 2 2\n"


def test_nothing_stays_on_the_nodes(on_slurm: Run) -> None:
    """The tasks' folders in /tmp are removed."""
    run = on_slurm.workflow.rows()[0].run
    assert [] == list(Path("/tmp").glob(f"hpcctr-{os.getuid()}-{run}-*"))


@pytest.mark.parametrize("executor", ["local", "hpcctr"])
def test_other_executor_runs_nothing_again(on_slurm: Run, executor: str) -> None:
    """After a run on the cluster, no executor finds anything left to do."""
    result = on_slurm.workflow.start("--executor", executor, "-j", "2", "-n").finish()
    assert "Nothing to be done" in result.said, result.said


def test_nothing_runs_again_after_snakemake(by_snakemake: Run) -> None:
    """After a run with Snakemake's own executor, hpcctr finds nothing left to do."""
    result = by_snakemake.workflow.start("--executor", "hpcctr", "-j", "2", "-n").finish()
    assert "Nothing to be done" in result.said, result.said
