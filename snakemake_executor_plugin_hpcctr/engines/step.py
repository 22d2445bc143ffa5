"""A task of several processes: what starts each of them. Options as in srun(1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.task import Task

SRUN = "srun"


def is_srun(launcher: tuple[str, ...]) -> bool:
    """Whether a launcher is Slurm's own, which knows the allocation."""
    return bool(launcher) and launcher[0].rpartition("/")[2] == SRUN


def launcher_argv(task: Task) -> tuple[str, ...]:
    """Return what stands before the command line of each process; () if there is only one.

    What the user adds to `srun` comes last and wins. Another launcher is taken as it is: it has to
    be told how many processes to start, as in `mpirun -n 4`.
    """
    if not is_srun(task.launcher):
        return task.launcher
    return (*step_argv(task, task.launcher[0]), *task.launcher[1:])


def step_argv(task: Task, program: str = SRUN) -> tuple[str, ...]:
    """Return `srun` with the shape of the step: one process, or all that the task asks for.

    The shape is repeated although the step is part of the job: srun takes the CPUs of a process
    from nowhere else (since 22.05). Processes for each GPU are in the job's environment.
    """
    asked = task.resources
    shape = {
        "nodes": asked.nodes,
        "ntasks": asked.tasks,
        "ntasks-per-node": asked.tasks_per_node,
    }
    if not task.launcher:
        shape = {"nodes": 1, "ntasks": 1}
    options = {**shape, "cpus-per-task": asked.cpus_per_task, "kill-on-bad-exit": 1}
    words = [f"--{name}={count}" for name, count in options.items() if count]
    # Without it, a second step of the allocation would wait for the first.
    return (program, *words, *(("--overlap",) if task.shared else ()))
