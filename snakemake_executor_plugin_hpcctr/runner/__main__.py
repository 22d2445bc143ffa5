"""Run one job of a spec file: `python -m snakemake_executor_plugin_hpcctr.runner SPEC`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from snakemake_executor_plugin_hpcctr.bridge import node
from snakemake_executor_plugin_hpcctr.bridge.spec import Spec

BAD_CALL = 2


def main(argv: list[str]) -> int:
    """Do what the file says; return the exit code."""
    try:
        (path,) = argv
        spec = Spec.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return _refuse(f"the job's file cannot be read: {error}")
    os.environ.update(spec.environ)
    try:
        found = node.version()
    except ImportError as error:
        return _refuse(f"{sys.executable} has no Snakemake: {error}")
    if found != spec.snakemake:
        return _refuse(f"{sys.executable} has Snakemake {found}, not {spec.snakemake}")
    run = node.run_block if spec.rule else node.run_snakemake
    return 0 if run(spec) else 1


def _refuse(words: str) -> int:
    sys.stderr.write(f"hpcctr: runner: {words}\n")
    return BAD_CALL


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
