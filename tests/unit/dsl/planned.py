"""Plans a pipeline whose file a test writes."""

from __future__ import annotations

import itertools
import os
import textwrap
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.pipeline import load
from snakemake_executor_plugin_hpcctr.dsl.run import Options, make_plan
from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.model import Call, Plan

HEAD = """\
from pathlib import Path
from snakemake_executor_plugin_hpcctr.dsl import *

"""
_NUMBERS = itertools.count()


def write(folder: Path, text: str) -> Path:
    """Write a pipeline's file under a name that no other test has used."""
    path = folder / f"pipeline_{os.getpid()}_{next(_NUMBERS)}.py"
    path.write_text(HEAD + textwrap.dedent(text), encoding="utf-8")
    return path


def plan(folder: Path, text: str, **arguments: Any) -> Plan:
    """Return the plan of a pipeline, in a folder where nothing has run."""
    return make_plan(load(write(folder, text)), arguments, Layout(folder / "root"), Options())


def call(made: Plan, name: str) -> Call:
    """Return a call of a plan."""
    return next(call for call in made.calls if call.name == name)


def keys(made: Plan) -> dict[str, set[str]]:
    """Return the keys of each call's tasks."""
    return {call.name: set(call.tasks) for call in made.calls}
