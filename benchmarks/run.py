"""Side by side on one lab: hpcctr, a raw sbatch array, and snakemake-executor-plugin-slurm.

    make bench                     everything; prints a Markdown table
    python benchmarks/run.py --quick          without the slow peer

Every figure of a row comes from the same lab in the same run; repeated measurements alternate,
and the median is shown. Wall time is from the start of the command until its end; for the raw
array until the last output exists.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.lab import Lab, LabSettings

if TYPE_CHECKING:
    from collections.abc import Callable

SNAKEFILE = """
rule all:
    input: [f"out/{{i}}.txt" for i in range({n})]

rule trivial:
    output: "out/{{i}}.txt"
    shell: "echo {{wildcards.i}} > {{output}}"
"""
RAW = """#!/bin/bash
#SBATCH --array=0-{last} --output=logs/%a.log --time=5 --mem=50
set -euo pipefail
i=$SLURM_ARRAY_TASK_ID
echo $i > out/$i.txt
"""
#: A request that both plugins send alike.
REQUEST = ["--default-resources", "mem_mb=50", "runtime=5"]
HPCCTR = ["--executor", "hpcctr"]
PEER = ["--executor", "slurm", "--slurm-no-account", "--slurm-status-command", "squeue"]
PEER_TUNED = [
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
    *("--max-jobs-per-timespan", "10000/1s", "--slurm-array-jobs", "all"),
]


@dataclass(frozen=True)
class Measured:
    """What one command took: wall and CPU seconds, peak memory of its largest process, MiB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(argv: list[str], folder: Path, limit_s: float = 1800) -> Measured:
    """Run a command to its end and measure it."""
    started = time.perf_counter()
    with (folder / "command.log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != 0 or wall > limit_s:
        sys.exit(f"{' '.join(argv)} failed:\n{(folder / 'command.log').read_text()[-3000:]}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def snakemake(jobs: int, root: Path, *flags: str, extra: tuple[str, ...] = ()) -> Measured:
    """Run `jobs` trivial jobs through Snakemake in a fresh folder."""
    folder = Path(tempfile.mkdtemp(dir=root))
    (folder / "Snakefile").write_text(SNAKEFILE.format(n=jobs))
    argv = ["snakemake", "-j", str(jobs), *flags, *REQUEST, *extra]
    result = measure(argv, folder)
    made = len(list((folder / "out").glob("*.txt")))
    if made != jobs:
        sys.exit(f"{made} of {jobs} outputs were made by {' '.join(argv)}")
    shutil.rmtree(folder)
    return result


def raw_array(jobs: int, root: Path) -> Measured:
    """Run the same commands as one hand-written array; wait for the last output."""
    folder = Path(tempfile.mkdtemp(dir=root))
    for name in ("out", "logs"):
        (folder / name).mkdir()
    (folder / "raw.sh").write_text(RAW.format(last=jobs - 1))
    started = time.perf_counter()
    subprocess.run(["sbatch", "raw.sh"], cwd=folder, check=True, capture_output=True)
    while sum(1 for _ in (folder / "out").iterdir()) < jobs:
        time.sleep(0.02)
    wall = time.perf_counter() - started
    wait_until_idle()
    shutil.rmtree(folder)
    return Measured(wall, 0.0, 0.0)


def wait_until_idle() -> None:
    """Let Slurm finish its bookkeeping, so that no measurement pays for the one before."""
    while subprocess.run(["squeue", "-h"], check=True, capture_output=True).stdout.strip():
        time.sleep(0.1)
    time.sleep(1)


def alternate(repeats: int, *contestants: Callable[[], Measured]) -> list[Measured]:
    """Run contestants in turn, `repeats` times, and return the median of each by wall time."""
    results: list[list[Measured]] = [[] for _ in contestants]
    for _ in range(repeats):
        for kept, contestant in zip(results, contestants, strict=True):
            kept.append(contestant())
            wait_until_idle()
    return [sorted(kept, key=lambda m: m.wall_s)[len(kept) // 2] for kept in results]


def import_cost_ms(repeats: int = 7) -> float:
    """Return what the plugin adds to each start of Snakemake, ms (median of -X importtime)."""
    found = []
    for _ in range(repeats):
        argv = [sys.executable, "-X", "importtime", "-c", "import snakemake.cli"]
        said = subprocess.run(argv, check=True, capture_output=True, text=True).stderr
        lines = [line.split("|") for line in said.splitlines() if "plugin_hpcctr" in line]
        # Columns: own time, cumulated time, name; in microseconds.
        found.append(sum(int(line[0].split(":")[1]) for line in lines) / 1000)
    return statistics.median(found)


def row(*cells: object) -> None:
    """Print one line of the table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def show(case: str, contestant: str, found: Measured, ours: Measured) -> None:
    """Print one contestant's line."""
    head = (f"{found.cpu_s:.1f}", f"{found.peak_mb:.0f}") if found.peak_mb else ("", "")
    row(case, contestant, f"{found.wall_s:.1f}", *head, f"{found.wall_s / ours.wall_s:.2f}")


def compare(jobs: int, root: Path, repeats: int) -> None:
    """Compare hpcctr, plain and packed, with a raw array of the same commands."""
    ours, packed, raw = alternate(
        repeats,
        lambda: snakemake(jobs, root, *HPCCTR),
        lambda: snakemake(jobs, root, *HPCCTR, extra=("tasks_per_element=10",)),
        lambda: raw_array(jobs, root),
    )
    case = f"{jobs} trivial jobs"
    show(case, "hpcctr", ours, ours)
    show(case, "hpcctr, `tasks_per_element=10`", packed, ours)
    show(case, "raw `sbatch --array`", raw, ours)


def compare_with_peer(jobs: int, root: Path) -> None:
    """Compare with the Slurm plugin, at its defaults and tuned."""
    (ours,) = alternate(1, lambda: snakemake(jobs, root, *HPCCTR))
    case = f"{jobs} trivial jobs, beside the peer"
    show(case, "hpcctr", ours, ours)
    for words, flags in (("its defaults", ()), ("tuned", tuple(PEER_TUNED))):
        (peer,) = alternate(1, lambda flags=flags: snakemake(jobs, root, *PEER, *flags))
        show(case, f"slurm plugin, {words}", peer, ours)


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave the slow peer out")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        root = Path(name)
        lab = Lab(
            LabSettings(
                directory=root / "lab",
                nodes=2,
                cpus=8,
                extra=("MaxArraySize=20001", "MaxJobCount=50000"),
            )
        )
        lab.up()
        os.environ.update(lab.environ)
        try:
            row("case", "contestant", "wall s", "head CPU s", "head MiB", "ratio to hpcctr")
            row(*["---"] * 6)
            for jobs in (200, 1000):
                compare(jobs, root, arguments.repeats)
            if not arguments.quick:
                compare_with_peer(200, root)
            ours = snakemake(5000, root, *HPCCTR)
            row(
                "5000 trivial jobs",
                "hpcctr",
                f"{ours.wall_s:.1f}",
                f"{ours.cpu_s:.1f}",
                f"{ours.peak_mb:.0f}",
                "1",
            )
            row("import of the plugin", "hpcctr", f"{import_cost_ms() / 1000:.4f}", "", "", "")
        finally:
            lab.down()


if __name__ == "__main__":
    main()
