"""What Slurm's commands print → values. Formats as in squeue(1), sacct(1), scontrol(1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.schedulers.base import Account, ElementState
from snakemake_executor_plugin_hpcctr.schedulers.slurm.ids import expand

if TYPE_CHECKING:
    from collections.abc import Iterator

#: squeue's options for one line per live element: id, state, reason.
QUEUE_FORMAT = ("-h", "-r", "-o", "%i|%T|%r")
#: The same with what is known of ended ones; an exit code is there as wait(2) has it.
ENDED_FORMAT = (
    "-h",
    "-r",
    "-t",
    "all",
    "-O",
    "JobArrayID:|,State:|,exit_code:|,NodeList:|,TimeUsed:|,Reason:|",
)
#: Every job with its comment.
COMMENT_FORMAT = ("-h", "-t", "all", "-o", "%F|%k")
SACCT_FORMAT = ("-n", "-P", "-o", "JobID,State,ExitCode,NodeList,ElapsedRaw,MaxRSS,Reason")

JOB_ID = re.compile(r"\d+(;[^\s;]+)?")
SIGNAL_MASK = 0x7F
MIB_OF = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}

PENDING = frozenset(
    {
        "PENDING",
        "CONFIGURING",
        "REQUEUED",
        "REQUEUE_HOLD",
        "REQUEUE_FED",
        "SPECIAL_EXIT",
        "RESV_DEL_HOLD",
    }
)
ENDED = frozenset(
    {
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "TIMEOUT",
        "OUT_OF_MEMORY",
        "NODE_FAIL",
        "PREEMPTED",
        "BOOT_FAIL",
        "DEADLINE",
        "LAUNCH_FAILED",
        "RECONFIG_FAIL",
        "REVOKED",
    }
)
#: On their way: COMPLETING is one of them, since processes may be left until it is over.
RUNNING = frozenset(
    {
        "RUNNING",
        "COMPLETING",
        "SUSPENDED",
        "STOPPED",
        "SIGNALING",
        "RESIZING",
        "STAGE_OUT",
        "UPDATE_DB",
        "POWER_UP_NODE",
        "EXPEDITING",
    }
)


@dataclass(frozen=True)
class QueueLine:
    """One live element, as squeue tells it.

    Args:
        state: Slurm's word, e.g. `RUNNING`.
        reason: Why it waits, e.g. `Resources`; "" if it does not wait.
    """

    state: str
    reason: str


def parse_job_id(text: str) -> str | None:
    """Return `ID` or `ID;CLUSTER` from `sbatch --parsable`, None if there is none.

    It is the last line of that form: some sites print advice around it.
    """
    found = [line.strip() for line in text.splitlines() if JOB_ID.fullmatch(line.strip())]
    return found[-1] if found else None


def element_state(word: str) -> ElementState:
    """Say what a state means for us; one that is not known means "still running"."""
    if word in PENDING:
        return ElementState.PENDING
    return ElementState.ENDED if word in ENDED else ElementState.RUNNING


def is_known(word: str) -> bool:
    """Tell whether a state is in one of the tables."""
    return word in PENDING or word in ENDED or word in RUNNING


def parse_queue(text: str) -> dict[str, QueueLine]:
    """Read `squeue` with QUEUE_FORMAT; the keys are elements."""
    lines: dict[str, QueueLine] = {}
    for job_id, state, reason in _fields(text, 3):
        lines.update(dict.fromkeys(expand(job_id), _queue_line(state, reason)))
    return lines


def parse_ended(text: str) -> dict[str, Account]:
    """Read `squeue` with ENDED_FORMAT; the keys are elements, or arrays.

    Elements that were cancelled before they started stand together under the array's number.
    """
    accounts: dict[str, Account] = {}
    for job_id, *rest in _fields(text, 6):
        accounts.update(dict.fromkeys(expand(job_id), _ended(*rest)))
    return accounts


def parse_sacct(text: str) -> dict[str, Account]:
    """Read `sacct` with SACCT_FORMAT; peak memory is that of the job's largest step."""
    jobs: dict[str, Account] = {}
    peaks: dict[str, float] = {}
    for job_id, state, code, nodes, elapsed, memory, reason in _fields(text, 7):
        job, dot, _ = job_id.partition(".")
        if dot:
            peaks[job] = max(peaks.get(job, 0.0), _megabytes(memory) or 0.0)
            continue
        exit_code, signal = _exit_and_signal(code)
        account = Account(
            state=state.split(" ", 1)[0],
            reason="" if reason == "None" else reason,
            exit_code=exit_code,
            signal=signal,
            node=None if nodes in {"", "None assigned"} else nodes,
            elapsed_s=float(elapsed) if elapsed.isdecimal() else None,
        )
        jobs.update(dict.fromkeys(expand(job_id), account))
    return {job: replace(account, peak_mb=peaks.get(job) or None) for job, account in jobs.items()}


def parse_comments(text: str) -> dict[str, str]:
    """Read `squeue` with COMMENT_FORMAT: comment → number of the job or array."""
    return {comment: job for job, comment in _fields(text, 2)}


def parse_config(text: str) -> dict[str, str]:
    """Read `scontrol show config`."""
    pairs = (line.partition("=") for line in text.splitlines() if " = " in line or "= " in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def parse_duration(text: str) -> float | None:
    """Read `[DAYS-]HOURS:MINUTES:SECONDS` or `MINUTES:SECONDS`; None for anything else."""
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if len(parts) not in {2, 3} or not all(map(str.isdecimal, [*parts, *([days] if dash else [])])):
        return None
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return float(seconds + int(days or 0) * 86400)


# Thousands of elements of one array have few different ends.
@lru_cache
def _queue_line(state: str, reason: str) -> QueueLine:
    return QueueLine(state, "" if reason == "None" else reason)


@lru_cache
def _ended(state: str, status: str, nodes: str, elapsed: str, reason: str) -> Account:
    exit_code, signal = _wait_status(status)
    return Account(
        state=state,
        reason="" if reason == "None" else reason,
        exit_code=exit_code,
        signal=signal,
        node=nodes or None,
        elapsed_s=parse_duration(elapsed),
    )


def _fields(text: str, count: int) -> Iterator[list[str]]:
    """Yield the fields of each line that has as many; the last one may hold `|` itself."""
    for line in text.splitlines():
        fields = line.strip().split("|", count - 1)
        if len(fields) == count:
            yield [*fields[:-1], fields[-1].removesuffix("|").strip()]


def _wait_status(text: str) -> tuple[int | None, int]:
    """Return exit code and signal from squeue's `exit_code`, a status as of wait(2)."""
    if not text.isdecimal():
        return _exit_and_signal(text)
    status = int(text)
    signal = status & SIGNAL_MASK
    return (None if signal else status >> 8 & 0xFF), signal


def _exit_and_signal(text: str) -> tuple[int | None, int]:
    """Read `EXIT:SIGNAL`."""
    code, _, signal = text.partition(":")
    if not (code.isdecimal() and signal.isdecimal()):
        return None, 0
    return (None if int(signal) else int(code)), int(signal)


def _megabytes(text: str) -> float | None:
    """Read sacct's memory, `4824K`, as MiB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    if found is None:
        return None
    return float(found[1]) * MIB_OF[found[2]]
