from __future__ import annotations

import re
from pathlib import Path

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.proc import Completed
from snakemake_executor_plugin_hpcctr.schedulers.slurm.refusals import (
    describe,
    may_have_arrived,
    refusal,
)
from snakemake_executor_plugin_hpcctr.task import Gpu, Resources

RECORDED = Path(__file__).parent / "recorded" / "slurm-22.05" / "sbatch-refusals.txt"
REQUEST = Resources(
    partition="gpu",
    mem_mb=9000,
    runtime_min=90,
    gpu=Gpu(count=2, model="h100"),
    constraint="fast",
    account="lab",
    qos="long",
)


def read_recorded() -> dict[str, Completed]:
    """Return what a real sbatch said, by the name of the case."""
    cases = {}
    for block in RECORDED.read_text(encoding="utf-8").split("### ")[1:]:
        name, command, *said, last = block.strip().splitlines()
        code = int(re.findall(r"\d+", last)[0])
        argv = tuple(command.removeprefix("$ ").split())
        cases[name] = Completed(argv, code, "", "\n".join(said))
    return cases


CASES = read_recorded()


@pytest.mark.parametrize(
    ("case", "sentence", "advice"),
    [
        ("partition", "Slurm has no partition `gpu`", "sinfo -o %R"),
        ("memory", "no node of partition `gpu` has 9000 MB of memory", "mem_mb"),
        ("gpus", "no node of partition `gpu` has all that the task asks for: 1 CPU", "ask for"),
        ("gres", "knows no such GPU or other generic resource: 2 h100 GPU(s)", "gpu_model"),
        ("feature", "no node has the feature that `constraint` asks for: fast", "sinfo -o"),
        ("node", "names a node that does not exist", "slurm_extra"),
        ("reservation", "you cannot use the reservation", "show reservation"),
        ("array-size", "refuses an array of this size", "MaxArraySize"),
        ("mem-text", "does not understand an option", "slurm_extra"),
        ("option", "does not understand an option", "slurm_extra"),
        ("licenses", "no such license", "show licenses"),
        ("exclusive", "exclude each other", "slurm_extra"),
        ("exclusive-gpu", "exclude each other", "slurm_extra"),
        ("tmp", "of temporary disk", "tmp"),
        ("cpus-enforced", "the task asks for 1 CPU(s), more than partition `gpu`", "threads"),
        ("account-enforced", "you cannot use the account `lab` in partition `gpu`", "sacctmgr"),
        ("qos-enforced", "you cannot use the QOS `long`", "sacctmgr"),
        ("time-enforced", "asks for 90 min, which partition `gpu` does not allow", "runtime"),
        ("nodes-enforced", "asks for 1 node(s)", "nodes"),
        ("qos-cpu-limit", "more than your account or QOS allows", "sacctmgr show qos"),
        ("unknown-cluster", "knows no cluster of the name in `clusters`", "list clusters"),
        ("group", "you may not use partition `gpu`", "administrators"),
        ("inactive", "partition `gpu` takes no jobs like this now", "scontrol show partition"),
        ("no-config", "do not find the cluster's configuration", "SLURM_CONF"),
        ("no-default", "names no partition", "slurm_partition"),
        ("no-file", "could not read the batch file", "free space"),
    ],
)
def test_a_refusal_names_what_is_at_fault(case: str, sentence: str, advice: str) -> None:
    """Each of Slurm's texts becomes a sentence about the request, and a next step."""
    error = refusal(CASES[case], REQUEST)
    assert sentence in error.what
    assert advice in error.next_step
    assert (False, False) == (error.transient, error.too_many)


@pytest.mark.parametrize("case", ["submit-limit", "qos-submit-limit", "queue-full"])
def test_a_limit_on_the_number_of_jobs_passes_with_fewer(case: str) -> None:
    """Smaller submissions may be taken at once, the rest later."""
    error = refusal(CASES[case], REQUEST)
    assert (True, True) == (error.transient, error.too_many)


@pytest.mark.parametrize("case", ["down", "socket-timeout", "munge", "no-database"])
def test_a_silent_slurm_may_answer_later(case: str) -> None:
    """A controller or database that is down ends no run."""
    error = refusal(CASES[case], REQUEST)
    assert (True, False) == (error.transient, error.too_many)


@pytest.mark.parametrize(
    "text",
    [
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
        "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
        "sbatch: error: Batch job submission failed: Unexpected message received",
        "sbatch: no answer within 60 s",
    ],
)
def test_other_hiccups_pass_too(text: str) -> None:
    """Texts that users report from busy clusters are no final refusals."""
    assert refusal(Completed((), 1, "", text), REQUEST).transient


def test_a_limit_on_size_is_not_taken_for_one_on_number() -> None:
    """Slurm ends both refusals with the same words: `job submit limit, user's size …`."""
    assert "job submit limit" in CASES["qos-cpu-limit"].err
    assert not refusal(CASES["qos-cpu-limit"], REQUEST).transient


def test_an_unknown_refusal_is_shown_whole() -> None:
    """What hpcctr does not know, the user reads in Slurm's own words."""
    error = refusal(Completed((), 1, "", "sbatch: error: No.\nsbatch: error: Never."), REQUEST)
    assert "Slurm refused the request (Slurm: No.; Never.)" == error.what
    assert not error.transient


def test_a_missing_sbatch_is_explained() -> None:
    """On a laptop, the way out is the local scheduler."""
    done = proc.run(["sbatch"], env={"PATH": "/nowhere"})
    error = refusal(done, REQUEST)
    assert "there is no Slurm here" in error.what
    assert "--hpcctr-scheduler local" in error.next_step


@pytest.mark.parametrize(
    ("case", "arrived"), [("socket-timeout", True), ("down", True), ("partition", False)]
)
def test_a_lost_answer_is_told_apart_from_a_refusal(case: str, arrived: bool) -> None:  # noqa: FBT001 (a column of the table)
    """Only if Slurm may have taken the job, it has to be looked for."""
    assert arrived == may_have_arrived(CASES[case])


def test_a_killed_sbatch_may_have_arrived() -> None:
    """The job may have been taken before the time was up."""
    assert may_have_arrived(Completed((), proc.TIMED_OUT, "", "sbatch: no answer within 60 s"))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Resources(), "1 CPU(s)"),
        (Resources(nodes=2, tasks=4, cpus_per_task=8), "2 nodes, 4 tasks of 8 CPU(s)"),
        (Resources(mem_mb_per_cpu=100, cpus_per_task=4), "4 CPU(s), 400 MB"),
        (Resources(gres="nvme:1"), "1 CPU(s), nvme:1"),
        (REQUEST, "1 CPU(s), 9000 MB, 2 h100 GPU(s), feature fast"),
    ],
)
def test_a_request_is_told_in_words(request_: Resources, words: str) -> None:
    """Only what was asked for is named."""
    assert words == describe(request_)
