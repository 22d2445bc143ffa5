"""Processes and channels in Python: a pipeline that Snakemake runs.

Example:
    from pathlib import Path
    from snakemake_executor_plugin_hpcctr.dsl import In, Out, Process, channel, out, path, workflow

    class count(Process):
        text: In[Path]
        lines: Out[Path] = out(path("lines.txt"))
        script = r'''
        wc -l < ${text} > lines.txt
        '''

    @workflow
    def main(data: str = "*.txt"):
        count(channel.fromPath(data))
"""

from snakemake_executor_plugin_hpcctr.dsl.channels import Channel, Value
from snakemake_executor_plugin_hpcctr.dsl.declare import (
    Each,
    In,
    Out,
    env,
    eval_,
    out,
    path,
    stdin,
    stdout,
    tuple_,
    val,
)
from snakemake_executor_plugin_hpcctr.dsl.definition import raw
from snakemake_executor_plugin_hpcctr.dsl.directives import TaskView, publish
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.factories import channel
from snakemake_executor_plugin_hpcctr.dsl.operators.grouping import groupKey
from snakemake_executor_plugin_hpcctr.dsl.outputs import output
from snakemake_executor_plugin_hpcctr.dsl.process import Process
from snakemake_executor_plugin_hpcctr.dsl.samplesheet import Column
from snakemake_executor_plugin_hpcctr.dsl.workflow import Workflow, workflow

__all__ = [
    "Channel",
    "Column",
    "DslError",
    "Each",
    "In",
    "Out",
    "Process",
    "TaskView",
    "Value",
    "Workflow",
    "channel",
    "env",
    "eval_",
    "groupKey",
    "out",
    "output",
    "path",
    "publish",
    "raw",
    "stdin",
    "stdout",
    "tuple_",
    "val",
    "workflow",
]
