"""A dry run of a sweep's trials beside the same rules with Snakemake's `expand`; no Slurm.

    python benchmarks/sweep.py --trials 10000

Both Snakefiles have the same two stages and ask for the same number of files. CPU time is
compared, so that a busy machine does not matter; repeated measurements alternate, and the median
is shown.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SWEEP_YAML = """
parameters:
  a: {{from: 1, to: {side}, step: 1}}
  b: {{from: 1, to: {side}, step: 1}}
stages: {{train: [a, b], evaluate: [a, b]}}
"""
SWEEP = """
from snakemake_executor_plugin_hpcctr.sweep import Sweep

sweep = Sweep("sweep.yaml")

rule all:
    input: sweep.outputs("evaluate", "metrics.json")

rule train:
    output: sweep.pattern("train", "model")
    params: trial=sweep.params
    shell: "echo {{params.trial[a]}} {{params.trial[b]}} >{{output}}"

rule evaluate:
    input: sweep.inputs("train", "model")
    output: sweep.pattern("evaluate", "metrics.json")
    shell: "cp {{input}} {{output}}"
"""
EXPAND = """
rule all:
    input: expand("evaluate/a{{a}}_b{{b}}/metrics.json", a=range({side}), b=range({side}))

rule train:
    output: "train/a{{a}}_b{{b}}/model"
    shell: "echo {{wildcards.a}} {{wildcards.b}} >{{output}}"

rule evaluate:
    input: "train/a{{a}}_b{{b}}/model"
    output: "evaluate/a{{a}}_b{{b}}/metrics.json"
    shell: "cp {{input}} {{output}}"
"""


def dry_run_s(folder: Path) -> float:
    """Return the CPU time of `snakemake -n`, user and system, s."""
    argv = [sys.executable, "-m", "snakemake", "-n", "--quiet", "all", "-j", "100"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*argv, "--executor", "hpcctr"], cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    side = math.isqrt(arguments.trials)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        times: dict[str, list[float]] = {"Sweep": [], "expand": []}
        for contestant, text in zip(times, (SWEEP, EXPAND), strict=True):
            (Path(name) / contestant).mkdir()
            (Path(name) / contestant / "Snakefile").write_text(text.format(side=side))
        (Path(name) / "Sweep/sweep.yaml").write_text(SWEEP_YAML.format(side=side))
        for _ in range(arguments.repeats):
            for contestant, kept in times.items():
                kept.append(dry_run_s(Path(name) / contestant))
    medians = {contestant: statistics.median(kept) for contestant, kept in times.items()}
    print("| contestant | CPU s | ratio to expand |\n| --- | --- | --- |")
    for contestant, median in medians.items():
        print(f"| `{contestant}` | {median:.1f} | {median / medians['expand']:.2f} |")


if __name__ == "__main__":
    main()
