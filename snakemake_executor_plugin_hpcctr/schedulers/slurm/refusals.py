"""What sbatch and srun say when they refuse → an error that names the limit or the name at fault.

Texts as Slurm 22.05 prints them; more of them in slurm/slurm_errno.h.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import SubmitError

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.proc import Completed
    from snakemake_executor_plugin_hpcctr.task import Resources

#: Slurm did not answer, or not in time: the same call may pass later.
UNREACHABLE = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Zero Bytes were transmitted"
    r"|Unexpected message received|controller in standby mode|Connection (refused|reset|timed out)"
    r"|Transport endpoint is not connected|Protocol authentication error|Munge encode failed"
    r"|Insane message length|Message (receive|send) failure|Slurm controller is not responding"
)


@dataclass(frozen=True)
class Refusal:
    """A row of the table.

    Args:
        pattern: Regular expression for what was said.
        what: The sentence; names in braces are filled from the request (see `_names`).
        next_step: What the user can do; the same names.
        transient: The same request may pass later.
        too_many: Fewer tasks at once may pass now.
    """

    pattern: str
    what: str
    next_step: str
    transient: bool = False
    too_many: bool = False


#: The first row that matches counts: limits on the number of jobs, then what passes by itself,
#: then what the user can change, the general texts last.
TABLE: tuple[Refusal, ...] = (
    Refusal(
        r"\w*Submit\w*Limit",
        "Slurm takes no more tasks from you now",
        "they are submitted as others end; `array: N` in hpcctr.yaml makes smaller arrays, and "
        "`sacctmgr show assoc where user=$USER format=account,qos,maxsubmit` shows the limit",
        transient=True,
        too_many=True,
    ),
    Refusal(
        r"Slurm temporarily unable to accept job|Job queue full|job queue full",
        "Slurm's queue is full (MaxJobCount)",
        "tasks are submitted as jobs end; smaller arrays (`array: N` in hpcctr.yaml) fit sooner",
        transient=True,
        too_many=True,
    ),
    Refusal(
        UNREACHABLE.pattern,
        "Slurm's controller does not answer",
        "nothing is lost: it is asked again; `scontrol ping` tells when it is back",
        transient=True,
    ),
    Refusal(
        r"^no answer within",
        "sbatch did not come back in time",
        "nothing is lost: hpcctr looks whether the job arrived before it submits again",
        transient=True,
    ),
    Refusal(
        r"Resource temporarily unavailable|Cannot allocate memory|Try again|try again later",
        "this machine or Slurm is short of something for the moment",
        "it is tried again; `uptime` and `ulimit -u` show whether this machine is overloaded",
        transient=True,
    ),
    Refusal(
        r"Problem talking to (?:the )?database",
        "Slurm's accounting database does not answer, and `clusters` needs it",
        "it is tried again; without `clusters` the request goes to the cluster at hand",
        transient=True,
    ),
    Refusal(
        r"No cluster .* known",
        "Slurm knows no cluster of the name in `clusters`",
        "`sacctmgr list clusters format=cluster` shows their names; correct `clusters`",
    ),
    Refusal(
        r"Invalid partition name|[Ii]nvalid partition specified",
        "Slurm has no {partition}",
        "`sinfo -o %R` shows the names; correct `slurm_partition`",
    ),
    Refusal(
        r"No partition specified or system default partition",
        "the task names no partition, and this cluster has no default one",
        "set `slurm_partition` for the rule, or `partition:` in hpcctr.yaml; `sinfo -o %R` shows "
        "the names",
    ),
    Refusal(
        r"(?:Requested partition configuration|Required partition) not available",
        "{partition} takes no jobs like this now",
        "`scontrol show partition` shows its State and limits; choose another `slurm_partition`",
    ),
    Refusal(
        r"User's group not permitted to use this partition",
        "you may not use {partition}",
        "ask the administrators for access, or choose another `slurm_partition`",
    ),
    Refusal(
        r"Invalid account or account/partition combination",
        "you cannot use {account} in {partition}",
        "`sacctmgr show assoc where user=$USER format=account,partition,qos` shows what you may "
        "use; set `slurm_account`",
    ),
    Refusal(
        r"Invalid qos specification|Requested QOS is not|not allowed to use this QOS",
        "you cannot use {qos}",
        "`sacctmgr show assoc where user=$USER format=account,qos` shows what you may use; set "
        "`qos`",
    ),
    Refusal(
        r"Requested time limit is invalid|(?<!Q)time limit .*exceeds",
        "the task asks for {time}, which {partition} does not allow",
        "`sinfo -o '%R %l'` shows each partition's limit; lower `runtime`, or choose another "
        "`slurm_partition`",
    ),
    Refusal(
        r"(?:QOS|Assoc)\w+Limit|Job violates accounting/QOS policy",
        "the request is more than your account or QOS allows",
        "`sacctmgr show qos` and `sacctmgr show assoc where user=$USER` show the limits; ask for "
        "less, or set another `qos` or `slurm_account`",
    ),
    Refusal(
        r"More processors requested than permitted",
        "the task asks for {cpus}, more than {partition} gives",
        "`sinfo -o '%R %c'` shows the CPUs of each partition's nodes; lower `threads` or "
        "`cpus_per_task`",
    ),
    Refusal(
        r"Node count specification invalid",
        "the task asks for {nodes}, which {partition} does not allow",
        "`scontrol show partition` shows MaxNodes; lower `nodes`",
    ),
    Refusal(
        r"Memory (?:specification|required) can ?not be satisfied"
        r"|Memory required by task is not available",
        "no node of {partition} has {memory} of memory",
        "`sinfo -o '%R %m'` shows how much the nodes have, in MB; lower `mem_mb`, or choose "
        "another `slurm_partition`",
    ),
    Refusal(
        r"Temporary disk specification can ?not be satisfied",
        "no node of {partition} declares {tmp} of temporary disk",
        "`sinfo -o '%R %d'` shows how much the nodes declare, in MB; lower `tmp`, or leave it out",
    ),
    Refusal(
        r"Requested node configuration is not available",
        "no node of {partition} has all that the task asks for: {request}",
        "`sinfo -o '%R %D %c %m %G %f'` shows CPUs, memory, GPUs and features of the nodes; ask "
        "for less, or choose another `slurm_partition`",
    ),
    Refusal(
        r"Invalid feature specification",
        "no node has the feature that `constraint` asks for: {constraint}",
        "`sinfo -o '%R %f'` shows the features of the nodes",
    ),
    Refusal(
        r"Invalid node name specified",
        "an option names a node that does not exist",
        "`sinfo -N` shows the nodes; correct `slurm_extra`",
    ),
    Refusal(
        r"[Rr]equested reservation is invalid|reservation .*invalid|Access denied to requested res",
        "you cannot use {reservation}",
        "`scontrol show reservation` shows those that exist, their times and users",
    ),
    Refusal(
        r"Invalid license specification",
        "Slurm has no such license",
        "`scontrol show licenses` shows them; correct `slurm_extra`",
    ),
    Refusal(
        r"Invalid wckey specification",
        "you cannot use the wckey `{wckey}`",
        "`sacctmgr show wckey` shows yours",
    ),
    Refusal(
        r"Invalid job array specification",
        "Slurm refuses an array of this size",
        "`scontrol show config | grep MaxArraySize` shows the limit; set `array: N` in "
        "hpcctr.yaml to less than that",
    ),
    Refusal(
        r"are mutually exclusive|mutually exclusive with",
        "two options of the request exclude each other",
        "see what sbatch said; give the one or the other, also in `slurm_extra`",
    ),
    Refusal(
        r"Invalid generic resource \(gres\)|Invalid Trackable RESource|Failed to validate job spec",
        "Slurm knows no such GPU or other generic resource: {devices}",
        "`sinfo -o '%R %G'` shows what the nodes have, as name:type:count; correct `gpu`, "
        "`gpu_model` or `gres`",
    ),
    Refusal(
        r"unrecognized option|invalid option|requires an argument|Invalid --[\w-]+ specification"
        r"|ambiguous",
        "sbatch does not understand an option of the request",
        "see what sbatch said; correct `slurm_extra` (options as in `man sbatch`)",
    ),
    Refusal(
        r"^command not found$",
        "there is no Slurm here: sbatch was not found on PATH",
        "load your site's Slurm module or log in to a login node; `--hpcctr-scheduler local` runs "
        "the tasks on this machine",
    ),
    Refusal(
        r"Could not establish a configuration source|Unable to process configuration file",
        "Slurm's commands do not find the cluster's configuration",
        "log in to a login node, or set SLURM_CONF to the path of its slurm.conf",
    ),
    Refusal(
        r"Unable to open file|Pathname of a file, directory or other parameter too long",
        "sbatch could not read the batch file",
        "check that the working directory is a real folder with free space",
    ),
    Refusal(
        r"Access/permission denied|Invalid user id|User not found",
        "Slurm does not let you submit",
        "ask the administrators whether your account is active on this cluster",
    ),
)

UNKNOWN = Refusal(
    "", "Slurm refused the request", "see what sbatch said; `man sbatch` explains its options"
)


def refusal(done: Completed, resources: Resources) -> SubmitError:
    """Return the error for an sbatch or srun that did not succeed.

    Args:
        done: The ended command.
        resources: What it asked for.
    """
    said = _said(done)
    row, line = UNKNOWN, "; ".join(said)[-1000:]
    for candidate in TABLE:
        if found := next((line for line in said if re.search(candidate.pattern, line)), None):
            row, line = candidate, found
            break
    names = _names(resources)
    return SubmitError(
        f"{row.what.format(**names)} (Slurm: {line})",
        next_step=row.next_step.format(**names),
        transient=row.transient,
        too_many=row.too_many,
    )


def _said(done: Completed) -> list[str]:
    """Return what a Slurm command said, line by line, without its own name before each."""
    lines = (done.err.strip() or done.out.strip() or f"exit code {done.code}").splitlines()
    plain = [re.sub(r"^(?:sbatch|srun): (?:error: |fatal: )?", "", line.strip()) for line in lines]
    return [line.removeprefix("Batch job submission failed: ") for line in plain if line]


def may_have_arrived(done: Completed) -> bool:
    """Tell whether Slurm may have taken a job although sbatch failed (seen with 22.05)."""
    return done.code == proc.TIMED_OUT or UNREACHABLE.search(done.err) is not None


def _names(resources: Resources) -> dict[str, str]:
    """Return the words with which the table's sentences name parts of the request."""
    cpus = resources.cpus_per_task * (resources.tasks or 1)
    return {
        "partition": f"partition `{resources.partition}`"
        if resources.partition
        else "the default partition",
        "account": f"the account `{resources.account}`"
        if resources.account
        else "your default account",
        "qos": f"the QOS `{resources.qos}`" if resources.qos else "your default QOS",
        "reservation": f"the reservation `{resources.reservation}`",
        "constraint": resources.constraint or "",
        "wckey": resources.wckey or "",
        "time": f"{resources.runtime_min} min" if resources.runtime_min else "no time limit",
        "cpus": f"{cpus} CPU(s)",
        "nodes": f"{resources.nodes or 1} node(s)",
        "memory": _memory(resources),
        "tmp": f"{resources.tmp_mb or 0} MB",
        "devices": _devices(resources) or "(none asked for)",
        "request": describe(resources),
    }


def describe(resources: Resources) -> str:
    """Return a request in words: `4 CPUs, 2000 MB, 1 GPU (a100)`."""
    parts = [
        f"{resources.nodes} nodes" if resources.nodes else "",
        f"{resources.tasks} tasks of" if resources.tasks else "",
        f"{resources.cpus_per_task} CPU(s)",
        _memory(resources) if resources.mem_mb or resources.mem_mb_per_cpu else "",
        _devices(resources),
        f"feature {resources.constraint}" if resources.constraint else "",
    ]
    return ", ".join(part for part in parts if part).replace(" of,", " of")


def _memory(resources: Resources) -> str:
    amount = resources.mem_mb or (resources.mem_mb_per_cpu or 0) * resources.cpus_per_task
    return f"{amount} MB" if amount else "the default amount"


def _devices(resources: Resources) -> str:
    gpu = resources.gpu
    model = f" {gpu.model}" if gpu and gpu.model else ""
    gpus = f"{gpu.count}{model} GPU(s)" if gpu else ""
    return ", ".join(part for part in (gpus, resources.gres or "") if part)
