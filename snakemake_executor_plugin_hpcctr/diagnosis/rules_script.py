"""Rows that rest on what the task's own script said, when it stopped before the command."""

from __future__ import annotations

import re

from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause
from snakemake_executor_plugin_hpcctr.diagnosis.match import both, holds, setup
from snakemake_executor_plugin_hpcctr.diagnosis.row import Row

SCRIPT: tuple[Row, ...] = (
    Row(
        Cause.NOT_STARTED,
        setup("not_started"),
        "It did not start, because another job of {what} failed",
        "see what is said of the job that failed",
    ),
    Row(
        Cause.PARTNER_FAILED,
        setup("partner_failed"),
        "It was ended, because {what} failed, with which it runs together",
        "see what is said of the job that failed",
    ),
    Row(
        Cause.OUTPUT_MISSING,
        setup("output_missing"),
        "The command ended well, but its output {what} is not there, and other jobs of its group "
        "wait for it",
        "let the command write the file that `output:` names, to the byte the same path",
    ),
    Row(
        Cause.OUTPUT_MISSING,
        setup("service_silent"),
        "The service made no {what}, and the jobs that use it wait for that file",
        "let the service make the file when it is ready; a slow one gets more time with "
        "`--latency-wait SECONDS` (more than 60)",
    ),
    Row(
        Cause.NO_GPU,
        setup("no_gpu"),
        "The task asked for {gpus} GPU(s) and got none on {node}",
        "choose a partition whose nodes have GPUs (`resources: slurm_partition=…`), and look at "
        "`sinfo -o '%P %G'`; a site may want `gres=\"gpu:1\"` in place of `gpu=1`",
    ),
    Row(
        Cause.BIND_MISSING,
        setup("bind_missing"),
        "The bind source {what} does not exist on {node}",
        "correct the path in `binds`, or mount that file system on the nodes of this partition; "
        "a link counts as missing while its target is",
    ),
    Row(
        Cause.WORKDIR_MISSING,
        setup("workdir_missing"),
        "The working directory {what} does not exist where the command runs, on {node}",
        "run the workflow in a folder that every node sees, or bind that folder",
    ),
    Row(
        Cause.ENGINE_MISSING,
        setup("engine_missing"),
        "There is no program {what} on {node}",
        "choose nodes that have it (`resources: slurm_partition=…` or `constraint=…`), another "
        "engine (`resources: engine=…`), or load its module before you start Snakemake",
    ),
    Row(
        Cause.COMMAND_NOT_FOUND,
        setup("launcher_missing"),
        "The task's processes cannot be started: there is no program {what} on {node}",
        "it must be installed on the nodes, or its module loaded before you start Snakemake; "
        "another one may be named: `resources: launch=…`",
    ),
    Row(
        Cause.COMMAND_NOT_FOUND,
        setup("no_slurm_job"),
        "The task's processes cannot be started: srun needs a Slurm job, and the task runs outside",
        'run it with `--hpcctr-scheduler slurm`, or write `launch="mpirun -n 4"`',
    ),
    Row(
        Cause.IMAGE_MISSING,
        setup("image_missing"),
        "The image {what} does not exist on {node}",
        "correct `container:`, or move the image to a file system that every node sees",
    ),
    Row(
        Cause.NOT_CONTAINED,
        setup("not_contained"),
        "The command was stopped because it would have run on {node} itself, outside any container",
        "where the engine is pyxis, that node lacks the plugin: choose other nodes "
        "(`resources: slurm_partition=…` or `constraint=…`), another engine, or tell the "
        "administrators",
    ),
    Row(
        Cause.COMMAND_NOT_FOUND,
        setup("shell_missing"),
        "The image {image} has no shell `{what}`, which is to read the command",
        'write `shell.executable("sh")` at the top of the Snakefile, or choose an image with '
        "that shell",
    ),
    Row(
        Cause.DISK_FULL,
        both(
            setup("scratch"),
            holds(lambda e: bool(re.search(r"No space left|quota exceeded", e.setup_detail))),
        ),
        "The task's temporary folder could not be made on {node}: the disk is full",
        "choose other nodes, or a folder with room: `resources: tmpdir=…`",
    ),
    Row(
        Cause.DISK_FULL,
        setup("stage"),
        "A copy between the disk of {node} and the shared file system failed: {what}",
        "the log has the reason; make room there, or set `stage: {data: false}` for the rule",
    ),
    Row(
        Cause.WORKDIR_MISSING,
        setup("scratch"),
        "The task's temporary folder could not be made on {node}: {what}",
        "that folder must be writable on the nodes: choose other nodes, or, where you named it, "
        "another `resources: tmpdir=…`",
    ),
)
