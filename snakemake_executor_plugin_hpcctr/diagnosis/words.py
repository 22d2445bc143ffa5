"""Sentences and advice that hold numbers or names from the evidence."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.diagnosis.match import (
    SIGNAL_BASE,
    exit_code,
    signal_name,
    signal_number,
)

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Evidence
    from snakemake_executor_plugin_hpcctr.diagnosis.match import Finding

LARGE_MB = 10_000
#: A peak that says something of a limit that nobody named.
TELLING_MB = 1000
#: No node has that much; such a number is a slip of whoever counted.
UNLIKELY_MB = 2**60

SIGNAL_ADVICE = {
    "SIGKILL": "the usual reason is memory: {memory}; else somebody, or the node's own "
    "watchdog, killed it",
    "SIGSEGV": "the program reached for memory that is not its own, a bug in it or in a library: "
    "run it by hand in the same image, with a smaller input",
    "SIGBUS": "a file that the program had mapped into memory went away: /dev/shm was full "
    "(fewer loader processes), or the image's mount ended",
    "SIGABRT": "the program gave up by itself: the reason stands in the log above the abort",
    "SIGILL": "the program was compiled for newer CPUs than that of {node}: choose newer nodes "
    "(`resources: constraint=…`), or an image built for older CPUs",
    "SIGFPE": "the program divided an integer by zero: look for an empty input",
    "SIGPIPE": "a program later in the pipe, such as `head`, stopped reading: where that is meant, "
    "write `set +o pipefail;` before the command",
    "SIGTERM": "something asked the command to end: `scancel` of a step, a warning before the "
    "time limit, or a parent process of its own",
    "SIGINT": "something interrupted the command, as Ctrl-C does",
    "SIGXCPU": "the command used more CPU seconds than `ulimit -t` allows on {node}",
    "SIGXFSZ": "the command wrote a larger file than `ulimit -f` allows on {node}",
}


def node(evidence: Evidence) -> str:
    """Name the node."""
    return f"node {evidence.node}" if evidence.node else "the compute node"


def place(evidence: Evidence) -> str:
    """Say where the command looks for programs: in the image, or on the node itself."""
    if evidence.engine == "host":
        return f"on {node(evidence)}"
    return f"in the image {evidence.image}" if evidence.image else "in the image"


def no_command(evidence: Evidence, found: Finding) -> str:
    """Name the command and where it was looked for."""
    if found.what.endswith("/sh"):
        return f"There is no {found.what}, which starts every command, {place(evidence)}"
    if not found.what:
        return f"A program was not found {place(evidence)} (exit code 127)"
    return f"The command `{found.what}` was not found {place(evidence)}"


def no_command_advice(evidence: Evidence, found: Finding) -> str:
    """Say where a command may come from."""
    if found.what.endswith("/sh"):
        return "choose an image that has a shell; those called `distroless` or `scratch` have none"
    if found.what.endswith("python"):
        return "many images have only `python3`: write that, or choose an image with `python`"
    if evidence.engine == "host":
        return (
            "give the rule an image that has it (`container: …`), load its module before you "
            "start Snakemake, or write its full path"
        )
    return (
        "correct the name, write its full path, or choose an image that has it; programs of "
        "the node are not visible inside"
    )


def mib(amount: float) -> str:
    """Write an amount of memory: `2,000 MiB`."""
    return f"{amount:,.0f} MiB"


def asked_memory_mb(evidence: Evidence) -> float | None:
    """Return the memory limit in MiB, from the request or from Slurm's own message."""
    if evidence.mem_mb:
        return evidence.mem_mb
    found = re.search(r"exceeded memory limit \(\d+ > (\d{1,18})\)", evidence.log_tail)
    return int(found[1]) / 2**20 if found else None


def peak_memory_mb(evidence: Evidence) -> float | None:
    """Return the largest amount of memory seen, in MiB; Slurm's own message counts."""
    found = re.search(r"exceeded memory limit \((\d{1,18}) > \d+\)", evidence.log_tail)
    seen = [int(found[1]) / 2**20] if found else []
    seen += [evidence.peak_mb] if evidence.peak_mb is not None else []
    return max(seen, default=None)


def more_memory(evidence: Evidence) -> str:
    """Advise twice the memory, rounded up."""
    asked = asked_memory_mb(evidence) or 0
    base = max(asked, peak_memory_mb(evidence) or 0)
    # Without a request the site's default was the limit, and a small peak tells nothing of it.
    if not (asked or TELLING_MB) <= base < UNLIKELY_MB or base < 1:
        return "ask for memory, in MiB: `resources: mem_mb=4000`"
    step = 1000 if base * 2 >= LARGE_MB else 100
    target = math.ceil(base * 2 / step) * step
    return f"raise mem_mb to about {target}: `resources: mem_mb={target}`"


def out_of_memory(evidence: Evidence, _: Finding) -> str:
    """Tell that Slurm or the kernel killed for memory."""
    asked = asked_memory_mb(evidence)
    limit = f"than it asked for ({mib(asked)})" if asked else "than it was given"
    if evidence.exit_code == 0:
        return (
            "A process of the task was killed because the task used more memory "
            f"{limit}; the command ended with exit code 0 all the same, so its outputs may be "
            "incomplete"
        )
    return f"The task was killed because it used more memory {limit}"


def memory_error(evidence: Evidence, found: Finding) -> str:
    """Tell that the program itself was refused memory."""
    asked = f"; the task asked for {mib(evidence.mem_mb)}" if evidence.mem_mb else ""
    return f"The command could not get the memory that it wanted ({found.what}){asked}"


def near_memory_limit(evidence: Evidence) -> bool:
    """Whether the peak came within a tenth of the request."""
    return bool(
        evidence.mem_mb
        and evidence.peak_mb is not None
        and evidence.peak_mb >= 0.9 * evidence.mem_mb
    )


def probably_memory(evidence: Evidence, _: Finding) -> str:
    """Guess that memory was the reason of a SIGKILL."""
    return (
        "The task was probably killed because it used more memory than it asked for: it ended "
        f"by SIGKILL at a peak of {mib(evidence.peak_mb or 0)} out of {mib(evidence.mem_mb or 0)} "
        "(a guess: nothing reported a kill for memory)"
    )


def minutes(seconds: float) -> str:
    """Write a duration for people: `45 s`, `12 min`, `3 h 20 min`."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 120:  # noqa: PLR2004 (two minutes)
        return f"{seconds:.0f} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def time_limit(evidence: Evidence, _: Finding) -> str:
    """Tell which limit was reached."""
    if evidence.runtime_min:
        asked = f"the {minutes(evidence.runtime_min * 60)} that it asked for"
    else:
        asked = "its partition's default time limit (it asked for none)"
    return f"The task was stopped because it ran longer than {asked}"


def near_time_limit(evidence: Evidence) -> bool:
    """Whether four fifths of the time had passed, late enough for a warning signal."""
    return bool(
        evidence.runtime_min
        and evidence.elapsed_s is not None
        and evidence.elapsed_s >= 0.8 * 60 * evidence.runtime_min
    )


def probably_time_limit(evidence: Evidence, _: Finding) -> str:
    """Guess that a warning before the time limit ended the command."""
    return (
        "The command was probably ended by the warning signal that comes before the time limit: "
        f"{signal_name(signal_number(evidence))} after {minutes(evidence.elapsed_s or 0)} of "
        f"{minutes(60 * (evidence.runtime_min or 0))} (a guess)"
    )


def more_time(evidence: Evidence, _: Finding) -> str:
    """Advise twice the time."""
    elapsed_s = evidence.elapsed_s or 0
    seen = math.ceil(elapsed_s / 60) if math.isfinite(elapsed_s) else 0
    target = 2 * max(evidence.runtime_min or 0, seen) or 120
    partition = f"partition {evidence.partition}" if evidence.partition else "the partition"
    return (
        f"raise runtime to about {target} minutes: `resources: runtime={target}`; if {partition} "
        "does not allow it, choose another one with slurm_partition, or let the command save "
        "its state and go on from there"
    )


def cancelled(evidence: Evidence, _: Finding) -> str:
    """Tell by whom, as far as sacct(1) tells (`CANCELLED by UID`)."""
    found = re.search(r"\bby (\w+)", f"{evidence.state} {evidence.reason}")
    if not found:
        return "The task was cancelled (`scancel`)"
    who = "root, an administrator" if found[1] == "0" else f"user {found[1]}"
    return f"The task was cancelled by {who}"


def killed(evidence: Evidence, _: Finding) -> str:
    """Name the signal."""
    number = signal_number(evidence)
    name = signal_name(number) or f"signal {number}"
    code = exit_code(evidence)
    if code is not None and code == number + SIGNAL_BASE:
        return f"The command was ended by {name} (exit code {code})"
    return f"The task was ended by {name}, before it could leave its exit marker"


def killed_advice(evidence: Evidence, _: Finding) -> str:
    """Say what usually sends such a signal."""
    name = signal_name(signal_number(evidence))
    text = SIGNAL_ADVICE.get(name, "the end of the log may tell what sent it")
    return text.format(memory=more_memory(evidence), node=node(evidence))


def exited(evidence: Evidence, _: Finding) -> str:
    """Name the exit code, and who tells it."""
    code = exit_code(evidence)
    if code is None:
        return "The task failed, and its exit code is not known"
    if not evidence.has_marker:
        return f"The task failed with exit code {code}, as the scheduler tells it"
    if code == 0:
        return "The command ended with exit code 0, yet the task counts as failed"
    return f"The command failed with exit code {code}"


def exited_advice(evidence: Evidence, _: Finding) -> str:
    """Point at the log; warn of codes from the scheduler alone."""
    if evidence.log_tail.strip():
        advice = "the reason is most likely in the last lines of the log"
    else:
        advice = "the log is empty: let the command say more, e.g. with `set -x;` before it"
    if not evidence.has_marker and exit_code(evidence) is not None:
        advice += (
            "; no exit marker was left, and old releases of Slurm tell exit codes above 127 "
            "without their top bit (255 as 127, 137 as 9)"
        )
    return advice
