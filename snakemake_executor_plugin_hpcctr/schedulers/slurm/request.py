"""Submission → the batch file and sbatch's command line. Options as in sbatch(1).

An option that is one plain word becomes a line `#SBATCH --name=value` of the file. One that
sbatch might read otherwise there (blanks, `#`, quotes) is given on the command line, which takes
every character, and the file says how to submit it by hand. So are all options that the user
adds: sbatch prefers its command line to the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import SubmitError
from snakemake_executor_plugin_hpcctr.schedulers.slurm.ids import ranges
from snakemake_executor_plugin_hpcctr.schedulers.slurm.pattern import find_pattern
from snakemake_executor_plugin_hpcctr.script.quote import PLAIN, quote, words

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.schedulers.base import Submission
    from snakemake_executor_plugin_hpcctr.task import Gpu, Resources


def sbatch_argv(submission: Submission) -> list[str]:
    """Return the command that submits the batch file.

    Raises:
        SubmitError: A path cannot be given to Slurm.
    """
    return ["sbatch", "--parsable", *_arguments(submission), submission.batch_file]


def render_batch_file(submission: Submission) -> str:
    """Return the script that Slurm starts: its request, and the element's own script.

    The script is read by the batch shell itself: no further process per element.

    Raises:
        SubmitError: A path cannot be given to Slurm.
    """
    plain = [option for option in _options(submission) if PLAIN.fullmatch(option)]
    directives = "".join(f"#SBATCH {option}\n" for option in plain)
    command = words(["sbatch", *_arguments(submission), submission.batch_file])
    by_hand = f"# by hand: {command}\n" if "\n" not in command else ""
    return f"#!/bin/bash\n{directives}{by_hand}\nsource {_script_word(submission)}\n"


def indices(submission: Submission) -> tuple[int, ...]:
    """Return the array index of each element; () if the submission is no array."""
    return find_pattern(submission.scripts).indices if len(submission.scripts) > 1 else ()


def tag_of(comment: str) -> str:
    """Return the tag of the submission to which a job's comment belongs."""
    return comment.split(" ", 1)[0]


def _arguments(submission: Submission) -> list[str]:
    """Return the options that go on the command line."""
    odd = [option for option in _options(submission) if not PLAIN.fullmatch(option)]
    return [*odd, *submission.resources.extra]


def _options(submission: Submission) -> list[str]:
    """Return all options of hpcctr's own, `--name` or `--name=value`."""
    given = [
        ("job-name", _one_line(submission.name)),
        ("comment", _comment(submission)),
        ("output", _log_pattern(submission)),
        ("chdir", _checked(submission.workdir)),
        ("open-mode", "append"),
        ("export", "ALL"),
        ("array", _array(submission)),
    ]
    own = [f"--{name}={value}" for name, value in given if value is not None]
    requeue = "--requeue" if submission.resources.requeue else "--no-requeue"
    return [*own, *request_options(submission.resources), requeue]


def request_options(resources: Resources) -> list[str]:
    """Return what is asked for as options of sbatch(1), srun(1) and salloc(1)."""
    return [f"--{name}={value}" for name, value in _request(resources) if value is not None]


def _request(resources: Resources) -> list[tuple[str, str | int | None]]:
    """Return what is asked for and nothing more: Slurm's defaults are the site's."""
    return [
        ("clusters", resources.clusters),
        ("partition", resources.partition),
        ("account", resources.account),
        ("qos", resources.qos),
        ("reservation", resources.reservation),
        ("constraint", resources.constraint),
        ("wckey", resources.wckey),
        ("nodes", _nodes(resources)),
        ("ntasks", resources.tasks),
        ("ntasks-per-node", resources.tasks_per_node),
        ("ntasks-per-gpu", resources.tasks_per_gpu),
        # Slurm refuses the two together.
        ("cpus-per-task", None if resources.cpus_per_gpu else resources.cpus_per_task),
        ("cpus-per-gpu", resources.cpus_per_gpu),
        ("mem", _megabytes(resources.mem_mb)),
        ("mem-per-cpu", _megabytes(resources.mem_mb_per_cpu)),
        ("tmp", _megabytes(resources.tmp_mb)),
        ("gpus", gpus_value(resources.gpu)),
        ("gres", resources.gres),
        ("time", resources.runtime_min),
    ]


def _nodes(resources: Resources) -> int | None:
    """Keep the GPUs of a task that is one process together.

    Slurm counts `--gpus` over the whole job: without `--nodes` it gives such a job two GPUs here
    and two there, of which the task's process sees the first two (seen with 22.05).
    """
    many_gpus = resources.gpu is not None and resources.gpu.count > 1
    return 1 if many_gpus and resources.is_one_process else resources.nodes


def gpus_value(gpu: Gpu | None) -> str | None:
    """Return the value of `--gpus`: `2`, or `a100:2`; None for none."""
    if gpu is None:
        return None
    return f"{gpu.model}:{gpu.count}" if gpu.model else str(gpu.count)


def _megabytes(value: int | None) -> str | None:
    return f"{value}M" if value else None


def _array(submission: Submission) -> str | None:
    numbers = indices(submission)
    if not numbers:
        return None
    limit = f"%{submission.max_parallel}" if submission.max_parallel else ""
    return ranges(numbers) + limit


def _comment(submission: Submission) -> str:
    """Begin with the tag: it is how a job is found again whose id never reached us."""
    parts = dict.fromkeys((submission.tag, _one_line(submission.comment)))
    return " ".join(part for part in parts if part)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _log_pattern(submission: Submission) -> str:
    """Return the log's path in Slurm's notation, where `%a` is the array index."""
    logs = [_checked(log) for log in submission.logs]
    if any("\\" in log for log in logs):
        raise SubmitError(
            f"Slurm cannot write a log whose path has a backslash: {logs[0]}",
            next_step="set `--hpcctr-log-dir` to a folder without one",
        )
    if len(logs) == 1:
        return logs[0].replace("%", "%%")
    pattern = find_pattern(logs)
    if pattern.indices != indices(submission):
        raise ValueError(f"logs and scripts are numbered differently: {logs[0]}")
    return f"{pattern.before.replace('%', '%%')}%a{pattern.after.replace('%', '%%')}"


def _script_word(submission: Submission) -> str:
    """Return the path of the element's script as a word of the batch shell."""
    if len(submission.scripts) == 1:
        return quote(submission.scripts[0])
    pattern = find_pattern(submission.scripts)
    return f'{quote(pattern.before)}"$SLURM_ARRAY_TASK_ID"{quote(pattern.after)}'


def _checked(path: str) -> str:
    if "\n" in path or "\0" in path:
        raise SubmitError(
            f"Slurm cannot use a path with a line break: {path!r}",
            next_step="run the workflow in a folder with an ordinary name",
        )
    return path
