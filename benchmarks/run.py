"""Side by side on one lab: hpcctr, a raw sbatch array, and snakemake-executor-plugin-slurm.

    make bench                     everything; prints a Markdown table
    python benchmarks/run.py --part peer      one part: array, peer, kinds, large or import

Every figure of a row comes from the same lab in the same run; repeated measurements alternate,
and the median is shown. Wall time is from the start of the command until its end; for the raw
array until the last output exists. What a job costs its node is counted by the Pythons that run
there, each at its own end.
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
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.lab import Lab, LabSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SNAKEFILE = """
rule all:
    input: [f"out/{{i}}.txt" for i in range({n})]

rule trivial:
    output: "out/{{i}}.txt"
    {action}
"""
SHELL = 'shell: "echo {wildcards.i} > {output}"'
#: What makes a job of its kind: name, the last lines of its rule.
KINDS = {
    "`script:` jobs": 'script: "write.py"',
    "`run:` jobs": 'run: open(output[0], "w").write(wildcards.i)',
    "groups of two jobs": f"""input: "middle/{{i}}.txt"
    group: "pair"
    {SHELL}

rule before:
    output: "middle/{{i}}.txt"
    group: "pair"
    {SHELL}""",
}
SCRIPT = 'open(snakemake.output[0], "w").write(snakemake.wildcards.i)\n'
#: Loaded by each Python; those of jobs leave their CPU seconds and peak memory in a folder.
SITECUSTOMIZE = """
import atexit, os, resource
def leave():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    text = f"{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss / 1024}"
    open(f"{os.environ['BENCH_USAGE']}/{os.getpid()}", "w").write(text)
if "SLURM_JOB_ID" in os.environ and "BENCH_USAGE" in os.environ:
    atexit.register(leave)
"""
RAW = """#!/bin/bash
#SBATCH --array=0-{last} --output=logs/%a.log --time=5 --mem=50
set -euo pipefail
i=$SLURM_ARRAY_TASK_ID
echo $i > out/$i.txt
"""
REQUEST = ["--default-resources", "mem_mb=50", "runtime=5"]
#: The peer starts Snakemake on the node, which needs more memory; both ask for it alike then.
PEER_REQUEST = ["--default-resources", "mem_mb=500", "runtime=5"]
HPCCTR = ["--executor", "hpcctr"]
PEER = ["--executor", "slurm", "--slurm-no-account", "--slurm-status-command", "squeue"]
PEER_TUNED = [
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
    *("--max-jobs-per-timespan", "10000/1s"),
]


@dataclass(frozen=True)
class Measured:
    """What one command took: wall and CPU seconds, peak memory of its largest process, MiB.

    On the nodes: CPU seconds of Python per job, and peak memory of the largest Python, MiB.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    node_cpu_s: float = 0.0
    node_mb: float = 0.0


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


def snakemake(jobs: int, root: Path, *flags: str, action: str = SHELL) -> Measured:
    """Run `jobs` trivial jobs through Snakemake in a fresh folder."""
    folder = Path(tempfile.mkdtemp(dir=root))
    (folder / "Snakefile").write_text(SNAKEFILE.format(n=jobs, action=action))
    (folder / "write.py").write_text(SCRIPT)
    argv = ["snakemake", "-j", str(jobs), *flags]
    with usage_of_pythons(folder / "usage") as used:
        result = measure(argv, folder)
    if used:
        cpu_s = sum(cpu for cpu, _ in used) / jobs
        result = replace(result, node_cpu_s=cpu_s, node_mb=max(peak for _, peak in used))
    made = len(list((folder / "out").glob("*.txt")))
    if made != jobs:
        sys.exit(f"{made} of {jobs} outputs were made by {' '.join(argv)}")
    shutil.rmtree(folder)
    return result


@contextmanager
def usage_of_pythons(folder: Path) -> Iterator[list[tuple[float, float]]]:
    """Collect CPU seconds and peak memory, MiB, of all Pythons that end in a job."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    saved = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), saved]))
    os.environ["BENCH_USAGE"] = str(folder)
    used: list[tuple[float, float]] = []
    try:
        yield used
    finally:
        os.environ["PYTHONPATH"] = saved
    for file in folder.glob("[0-9]*"):
        cpu_s, peak_mb = map(float, file.read_text().split())
        used.append((cpu_s, peak_mb))


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
    ratio = f"{found.wall_s / ours.wall_s:.2f}"
    node = (f"{found.node_cpu_s:.2f}", f"{found.node_mb:.0f}") if found.node_mb else ("", "")
    row(case, contestant, f"{found.wall_s:.1f}", *head, ratio, *node)


def compare_with_array(root: Path, repeats: int) -> None:
    """Compare hpcctr, packed by itself and by ten, with a raw array of the same commands."""
    for jobs in (200, 1000):
        ours, packed, raw = alternate(
            repeats,
            lambda jobs=jobs: snakemake(jobs, root, *HPCCTR, *REQUEST),
            lambda jobs=jobs: snakemake(jobs, root, *HPCCTR, *REQUEST, "tasks_per_element=10"),
            lambda jobs=jobs: raw_array(jobs, root),
        )
        case = f"{jobs} trivial jobs"
        show(case, "hpcctr", ours, ours)
        show(case, "hpcctr, `tasks_per_element=10`", packed, ours)
        show(case, "raw `sbatch --array`", raw, ours)


def compare_with_peer(root: Path) -> None:
    """Compare with the Slurm plugin, at its defaults and tuned."""
    jobs = 200
    (ours,) = alternate(1, lambda: snakemake(jobs, root, *HPCCTR, *PEER_REQUEST))
    case = f"{jobs} trivial jobs, 500 MB each"
    show(case, "hpcctr", ours, ours)
    with config_in_its_default_place():
        for words, flags in (("tuned", PEER_TUNED), ("its defaults", [])):
            argv = (*PEER, *flags, *PEER_REQUEST)
            (peer,) = alternate(1, lambda argv=argv: snakemake(jobs, root, *argv))
            show(case, f"slurm plugin, {words}", peer, ours)


def compare_kinds(root: Path) -> None:
    """Compare other kinds of jobs with the Slurm plugin, tuned."""
    jobs = 20
    for kind, action in KINDS.items():
        ours = snakemake(jobs, root, *HPCCTR, *PEER_REQUEST, action=action)
        wait_until_idle()
        case = f"{jobs} trivial {kind}"
        show(case, "hpcctr", ours, ours)
        with config_in_its_default_place():
            peer = snakemake(jobs, root, *PEER, *PEER_TUNED, *PEER_REQUEST, action=action)
            wait_until_idle()
        show(case, "slurm plugin, tuned", peer, ours)


@contextmanager
def config_in_its_default_place() -> Iterator[None]:
    """Link slurm.conf to where Slurm looks by itself: the peer takes SLURM_CONF from its jobs."""
    place = Path("/etc/slurm/slurm.conf")
    if place.exists():
        sys.exit(f"{place} exists: the peer would use that cluster and not the lab")
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(os.environ["SLURM_CONF"])
    try:
        yield
    finally:
        place.unlink()


def measure_large(root: Path) -> None:
    """Measure what 5,000 jobs cost the head."""
    ours = snakemake(5000, root, *HPCCTR, *REQUEST)
    show("5000 trivial jobs", "hpcctr", ours, ours)


def main() -> None:
    """Measure everything, or one part, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=["array", "peer", "kinds", "large", "import"])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        root = Path(name)
        # The peer asks about jobs that ended some time ago; a short MinJobAge would forget them.
        extra = ("MaxArraySize=20001", "MaxJobCount=50000", "MinJobAge=300")
        lab = Lab(LabSettings(directory=root / "lab", nodes=2, cpus=8, extra=extra))
        lab.up()
        os.environ.update(lab.environ)
        parts: dict[str, Callable[[], None]] = {
            "array": lambda: compare_with_array(root, arguments.repeats),
            "large": lambda: measure_large(root),
            "peer": lambda: compare_with_peer(root),
            "kinds": lambda: compare_kinds(root),
            "import": lambda: row("import of the plugin", "hpcctr", f"{import_cost_ms():.1f} ms"),
        }
        try:
            head = ("wall s", "head CPU s", "head MiB", "ratio to hpcctr")
            row("case", "contestant", *head, "node CPU s per job", "node MiB")
            row(*["---"] * 8)
            for part, run in parts.items():
                if arguments.part in {None, part}:
                    run()
        finally:
            lab.down()


if __name__ == "__main__":
    main()
