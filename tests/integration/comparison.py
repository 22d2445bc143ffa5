"""What one executor left behind, in a form that can be compared with another's."""

from __future__ import annotations

import base64
import json
import re
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.workflow import Result

#: Fields of a record that differ between any two runs: times, and a number made of addresses.
PASSING = {"starttime", "endtime", "job_hash"}
#: What stands in a record and is another in each run: folders for temporary files and the cache
#: of sources, the folder of the test.
UNIQUE = re.compile(r"/tmp/hpcctr-[^/\s'\"]+/tmp|snakemake-runtime-cache/\w+|/[^\s'\"]+/work(?=/)")
#: Benchmarks hold times.
TIMES = "benchmark"


def content(folder: Path) -> dict[str, str]:
    """Return all files and folders with their content and mode, hidden ones left out."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if not name.startswith(".") and TIMES not in name:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_bytes().decode(errors="surrogateescape") if path.is_file() else "/"
            found[name] = f"{mode:o} {text}"
    return found


def records(folder: Path) -> dict[str, dict[str, object]]:
    """Return what Snakemake's metadata say of each output, without what no two runs share."""
    found = {}
    for path in (folder / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            name = str(path.relative_to(folder / ".snakemake/metadata")).replace("@", "")
            record = json.loads(UNIQUE.sub("", path.read_text()))
            output = base64.urlsafe_b64decode(name.replace("/", "")).decode()
            found[output] = {k: v for k, v in record.items() if k not in PASSING}
    return found


def planned(result: Result) -> list[str]:
    """Return rule, outputs and reasons of all jobs that a dry run would run."""
    lines = [line.strip() for line in result.said.splitlines()]
    jobs: list[str] = []
    for line in lines:
        if re.match(r"(local)?(rule|checkpoint) \S+:$", line):
            jobs.append(line)
        elif jobs and line.startswith(("output: ", "reason: ")):
            words_in_order = sorted(re.split(r",? ", line))  # Snakemake prints sets
            jobs[-1] += f" {' '.join(words_in_order)}"
    done = [word for word in ["Nothing to be done"] if word in result.said]
    return sorted(jobs) or done or lines
