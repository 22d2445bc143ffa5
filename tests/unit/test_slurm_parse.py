from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.schedulers.base import Account, ElementState
from snakemake_executor_plugin_hpcctr.schedulers.slurm.parse import (
    QueueLine,
    element_state,
    is_known,
    parse_comments,
    parse_config,
    parse_duration,
    parse_ended,
    parse_job_id,
    parse_queue,
    parse_sacct,
)

RECORDED = Path(__file__).parent / "recorded" / "slurm-22.05"


def recorded(name: str) -> str:
    """Return what a real Slurm printed."""
    return (RECORDED / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ("123\n", "123"),
        ("123;alpha\n", "123;alpha"),
        ("Welcome to Alpha!\nPlease use scratch.\n123\n", "123"),
        ("123\nYour job will start soon.\n", "123"),
        ("Remaining hours: 12\n", None),
        ("", None),
    ],
)
def test_the_job_id_is_found_among_a_sites_advice(text: str, job: str | None) -> None:
    """Some sites print sentences around the id."""
    assert job == parse_job_id(text)


def test_a_queue_is_read_element_by_element() -> None:
    """Each line of squeue is one element, with the reason why it waits."""
    queue = parse_queue(recorded("squeue.txt"))
    assert QueueLine("PENDING", "JobArrayTaskLimit") == queue["2_9"]
    assert QueueLine("RUNNING", "") == queue["2_2"]
    assert QueueLine("SUSPENDED", "") == queue["2_0"]
    assert "2_1" not in queue


def test_blocks_of_waiting_elements_are_spread_out() -> None:
    """A squeue that prints blocks says the same as one that prints elements."""
    assert parse_queue(recorded("squeue.txt")) == parse_queue(recorded("squeue-blocks.txt"))


def test_reasons_with_spaces_and_bars_stay_whole() -> None:
    """An administrator may write any text as a node's or a job's reason."""
    queue = parse_queue("7|PENDING|Nodes are down | since noon\n")
    assert QueueLine("PENDING", "Nodes are down | since noon") == queue["7"]


@pytest.mark.parametrize("text", ["", "\n", "slurm_load_jobs error: Unexpected message\n", "7|x\n"])
def test_other_lines_are_not_taken_for_elements(text: str) -> None:
    """A line of another form says nothing about any element."""
    assert {} == parse_queue(text)
    assert {} == parse_ended(text)
    assert {} == parse_sacct(text)


def test_the_controller_tells_true_exit_codes() -> None:
    """Codes above 127 are whole in squeue, and a signal is told apart from a code."""
    ended = parse_ended(recorded("squeue-ended.txt"))
    failed = {one: (ended[one].exit_code, ended[one].signal) for one in ("1_1", "1_2", "1_3")}
    assert {"1_1": (7, 0), "1_2": (255, 0), "1_3": (128, 0)} == failed
    assert (None, 9) == (ended["1_4"].exit_code, ended["1_4"].signal)
    assert 53 == ended["14"].signal
    assert Account("CANCELLED", "", None, 15, "n2", 3.0) == ended["1_5"]
    assert Account("COMPLETED", "", 0, 0, "n2", 0.0) == ended["1_0"]


def test_elements_cancelled_while_waiting_stand_under_their_array() -> None:
    """Slurm prints what never started as the array's own number."""
    ended = parse_ended(recorded("squeue-cancelled.txt"))
    assert "CANCELLED" == ended["4"].state
    assert "4_0" not in ended


def test_an_exit_code_may_be_a_pair() -> None:
    """`CODE:SIGNAL`, as scontrol writes it, is understood as well."""
    assert Account("FAILED", "x", 7, 0, None, 1.0) == parse_ended("3|FAILED|7:0||0:01|x|\n")["3"]


def test_accounting_is_read_with_the_peak_of_its_steps() -> None:
    """The job's line tells how it ended, those of its steps the memory."""
    jobs = parse_sacct(recorded("sacct.txt"))
    assert Account("CANCELLED", "", 0, 0, "n2", 3.0, 4824 / 1024) == jobs["1_5"]
    assert (7, "FAILED", None) == (jobs["1_1"].exit_code, jobs["1_1"].state, jobs["1_1"].peak_mb)
    assert Account("CANCELLED", "PartitionDown", 0, 0, None, 0.0) == jobs["16"]
    assert not any("." in job for job in jobs)


def test_accounting_spreads_blocks_out() -> None:
    """Elements cancelled before they started are stored as one block."""
    jobs = parse_sacct(recorded("sacct-blocks.txt"))
    assert {"CANCELLED": 29} == Counter(account.state for account in jobs.values())
    assert "BeginTime" == jobs["44_9"].reason


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", ElementState.PENDING),
        ("REQUEUED", ElementState.PENDING),
        ("CONFIGURING", ElementState.PENDING),
        ("RUNNING", ElementState.RUNNING),
        ("COMPLETING", ElementState.RUNNING),
        ("SUSPENDED", ElementState.RUNNING),
        ("COMPLETED", ElementState.ENDED),
        ("OUT_OF_MEMORY", ElementState.ENDED),
        ("REVOKED", ElementState.ENDED),
        ("LAUNCH_FAILED", ElementState.ENDED),
    ],
)
def test_states_are_sorted_into_three(word: str, state: ElementState) -> None:
    """An element waits, runs or has ended."""
    assert state == element_state(word)
    assert is_known(word)


@given(st.text())
def test_an_unknown_state_means_still_running(word: str) -> None:
    """A state of tomorrow's Slurm does not end a task."""
    assert is_known(word) or element_state(word) is ElementState.RUNNING


def test_comments_lead_to_their_jobs() -> None:
    """A comment may hold the separator itself."""
    found = parse_comments(recorded("squeue-comments.txt"))
    assert {"tag:1 rule mix": "113", "tag:2|x": "114", "(null)": "115"} == found


def test_the_configuration_is_read() -> None:
    """The limits on arrays come from `scontrol show config`."""
    config = parse_config(recorded("scontrol-config.txt"))
    assert ("plain", "1001", "5000") == (
        config["ClusterName"],
        config["MaxArraySize"],
        config["MaxJobCount"],
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:00", 0),
        ("12:34", 754),
        ("1:00:00", 3600),
        ("2-00:00:01", 172801),
        ("UNLIMITED", None),
        ("", None),
        ("INVALID", None),
        ("a-1:00:00", None),
    ],
)
def test_durations_are_read(text: str, seconds: float | None) -> None:
    """Slurm writes [days-][hours:]minutes:seconds."""
    assert seconds == parse_duration(text)
