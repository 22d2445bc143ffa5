"""Options for sbatch that a user adds as words: which of them hpcctr cannot live with.

Names as in sbatch(1); getopt_long(3) accepts an abbreviation of a long one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Options that would hide a task from hpcctr, and why.
REFUSED = {
    "array": "hpcctr makes the arrays itself; see `array:` in hpcctr.yaml",
    "wrap": "the command is the rule's own",
    "parsable": "hpcctr sets it already",
    "output": "the log's place is hpcctr's; see `logs:` in hpcctr.yaml",
    "error": "the log's place is hpcctr's; see `logs:` in hpcctr.yaml",
    "chdir": "tasks start in the workflow's working directory",
    "job-name": "the name shows rule and wildcards",
    "clusters": "set the resource `clusters`, or `clusters:` in hpcctr.yaml",
}

#: Options that a setting covers: its name in hpcctr.yaml.
COVERED = {
    "account": "account",
    "partition": "partition",
    "time": "runtime",
    "mem": "mem",
    "mem-per-cpu": "mem_per_cpu",
    "cpus-per-task": "cpus_per_task",
    "cpus-per-gpu": "cpus_per_gpu",
    "ntasks": "tasks",
    "ntasks-per-node": "tasks_per_node",
    "ntasks-per-gpu": "tasks_per_gpu",
    "nodes": "nodes",
    "constraint": "constraint",
    "qos": "qos",
    "reservation": "reservation",
    "wckey": "wckey",
    "tmp": "tmp",
    "gres": "gres",
    "gpus": "gpu",
    "requeue": "requeue",
    "no-requeue": "requeue",
}

SHORT = {
    "a": "array",
    "o": "output",
    "e": "error",
    "D": "chdir",
    "J": "job-name",
    "M": "clusters",
    "A": "account",
    "p": "partition",
    "t": "time",
    "c": "cpus-per-task",
    "n": "ntasks",
    "N": "nodes",
    "C": "constraint",
    "q": "qos",
    "G": "gpus",
}

#: Short options without a value: another may follow in the same word.
BARE = frozenset("hHIkOQsvVWX")

GPU_OPTIONS = frozenset({"gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket"})


def option_names(words: Sequence[str]) -> list[str]:
    """Return the long name of each option among the words, in order."""
    return [name for word in words if word.startswith("-") for name in _names_in(word)]


def _names_in(word: str) -> list[str]:
    if word.startswith("--"):
        name = word[2:].partition("=")[0]
        return [_whole(name)] if name else []
    letters = word[1:].lstrip("".join(BARE))[:1]
    return [SHORT[letters]] if letters in SHORT else []


def _whole(name: str) -> str:
    """Complete an abbreviation of an option that is refused; other names stay."""
    if name in COVERED:
        return name
    return next((full for full in REFUSED if full.startswith(name)), name)


def check_extra(words: Sequence[str]) -> None:
    """Refuse words that would break the submission.

    Raises:
        ConfigError: Names the option and what to use in its place.
    """
    if words and not words[0].startswith("-"):
        raise ConfigError(
            f"expected options for sbatch, got {words[0]!r}",
            next_step="each option begins with `-`, e.g. --exclude=node7",
        )
    for name in option_names(words):
        if name in REFUSED:
            raise ConfigError(
                f"the option --{name} cannot be given to sbatch here", next_step=REFUSED[name]
            )


def overriding(words: Sequence[str]) -> list[str]:
    """Return a sentence for each option that takes the place of a setting."""
    found = []
    for name in dict.fromkeys(option_names(words)):
        if name in GPU_OPTIONS or (name == "gres" and any("gpu" in word for word in words)):
            found.append(
                f"--{name} asks for GPUs behind hpcctr's back, so the container gets no GPU "
                "flag: use `gpu` or `gres`"
            )
        elif name in COVERED:
            found.append(f"--{name} overrides the setting `{COVERED[name]}`")
    return found
