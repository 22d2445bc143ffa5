"""What the DSL costs: planning, a dry run beside a hand-written Snakefile, nothing to do.

    python benchmarks/dsl.py [--tasks 1000 3333]      prints a Markdown table

Three stages of so many tasks each. CPU seconds of the whole command, user and system, the
best of three; the contestants alternate. For the run with nothing to do, results of all tasks
are put in place beforehand.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

REPEATS = 3
SNAKEMAKE = (sys.executable, "-m", "snakemake", "--rerun-triggers", "mtime")
HPCCTR = (sys.executable, "-m", "snakemake_executor_plugin_hpcctr.cli", "dsl")
NAMES = {"a": "a.txt", "b": "b.txt", "c": "c.txt"}
PIPELINE = """
from pathlib import Path
from snakemake_executor_plugin_hpcctr.dsl import In, Out, Process, channel, out, path, val, workflow


class a(Process, tag="${n}"):
    n: In[int]
    made: Out[tuple[int, Path]] = out(val("n"), path("a.txt"))
    script = "echo ${n} > a.txt"


class b(Process):
    x: In[tuple[int, Path]]
    made: Out[Path] = out(path("b*.txt"))
    script = "cat ${x[1]} > b.txt"


class c(Process):
    x: In[Path]
    made: Out[Path] = out(path("c.txt"))
    script = "cat ${x} > c.txt"


@workflow
def main(number: int):
    c(b(a(channel.of(range(number))).made).made)
"""
SNAKEFILE = """
rule all:
    input: expand("c/{{i}}.txt", i=range({number}))

rule a:
    output: "a/{{i}}.txt"
    shell: "echo {{wildcards.i}} > {{output}}"

rule b:
    input: "a/{{i}}.txt"
    output: "b/{{i}}.txt"
    shell: "cat {{input}} > {{output}}"

rule c:
    input: "b/{{i}}.txt"
    output: "c/{{i}}.txt"
    shell: "cat {{input}} > {{output}}"
"""
PLANNING = """
import resource, sys
from pathlib import Path
from snakemake_executor_plugin_hpcctr.dsl.run import Options, make_plan
from snakemake_executor_plugin_hpcctr.dsl.pipeline import load
from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout
pipeline = load(Path("main.py"))
before = resource.getrusage(resource.RUSAGE_SELF)
make_plan(pipeline, {"number": int(sys.argv[1])}, Layout(), Options())
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime - before.ru_utime, (after.ru_maxrss - before.ru_maxrss) / 1024)
"""


def cpu_s(argv: tuple[str, ...], folder: Path) -> float:
    """Run a command; return the CPU seconds that it and its children took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def best(argvs: dict[str, tuple[tuple[str, ...], Path]]) -> dict[str, float]:
    """Run commands in turn; return the least of each."""
    found: dict[str, list[float]] = {name: [] for name in argvs}
    for _ in range(REPEATS):
        for name, (argv, folder) in argvs.items():
            found[name].append(cpu_s(argv, folder))
    return {name: min(values) for name, values in found.items()}


def put_results(root: Path) -> None:
    """Write what tasks would have left."""
    plan = json.loads((root / "plan.json").read_text())
    for call in plan["calls"]:
        name = NAMES[call["rule"]]
        for key, task in call["tasks"].items():
            work = root / call["rule"] / key / "work"
            work.mkdir(parents=True)
            file = work / name
            file.write_text("x")
            status = file.stat()
            path = {"$path": name}
            manifest = {
                "version": 1,
                "state": "done",
                "emits": [[task["index"] - 1, path] if call["rule"] == "a" else [path]],
                "files": [{"path": name, "size": status.st_size, "mtime": status.st_mtime_ns}],
            }
            (root / call["rule"] / f"{key}.json").write_text(json.dumps(manifest))


def measure(number: int, folder: Path) -> list[tuple[str, str, str]]:
    """Return the rows of one size."""
    (folder / "main.py").write_text(PIPELINE)
    (folder / "Snakefile").write_text(SNAKEFILE.format(number=number))
    said = subprocess.run(
        [sys.executable, "-c", PLANNING, str(number)],
        cwd=folder, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    size = f"3 x {number}"
    rows = [(f"planning, {size} tasks", f"{float(said[0]):.2f}", f"{float(said[1]):.0f} MiB more")]
    subprocess.run([*HPCCTR, "compile", "main.py", "--number", str(number)], cwd=folder, check=True)
    dry = ("-n", "-q", "rules")
    compiled = ("--snakefile", ".hpcctr/dsl/Snakefile", "--nolock")
    times = best(
        {"hand": ((*SNAKEMAKE, *dry), folder), "ours": ((*SNAKEMAKE, *compiled, *dry), folder)}
    )
    rows.append((f"dry run, {size}, hand-written", f"{times['hand']:.2f}", "1"))
    ratio = times["ours"] / times["hand"]
    rows.append((f"dry run, {size}, compiled", f"{times['ours']:.2f}", f"{ratio:.2f}"))
    put_results(folder / ".hpcctr/dsl")
    argv = (*HPCCTR, "run", "main.py", "--number", str(number), "--", "--executor", "local", "-j1")
    rows.append((f"run with nothing to do, {size}", f"{best({'x': (argv, folder)})['x']:.2f}", ""))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 3333])
    print("| case | CPU s | ratio or memory |\n| --- | --- | --- |")
    for number in parser.parse_args().tasks:
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(number, Path(folder)):
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
