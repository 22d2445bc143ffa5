"""Answers of Slurm's commands, of quota(1) and of registries → facts. Parsers are pure."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.doctor.facts import Quota, Registry, Slurm
from snakemake_executor_plugin_hpcctr.images.http import Client
from snakemake_executor_plugin_hpcctr.schedulers.slurm.cluster import Cluster

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.schedulers.slurm.commands import Commands

REGISTRY_S = 8.0
#: quota(1), one line per file system, names not wrapped.
QUOTA = ("quota", "-w", "-p")
QUOTA_FIELDS = 7
ASSOCIATIONS = ("sacctmgr", "-n", "-P", "show", "assoc", "format=Account,QOS")
EVERY_QOS = ("sacctmgr", "-n", "-P", "show", "qos", "format=Name")
NO_ACCOUNTING = "accounting_storage/none"


def ask_slurm(commands: Commands, user: str) -> Slurm:
    """Return what Slurm, whose controller answers, says of itself and of a user."""
    cluster = Cluster(commands)
    accounting = cluster.config("AccountingStorageType") not in {None, NO_ACCOUNTING, "(null)"}
    accounts: frozenset[str] = frozenset()
    qos: frozenset[str] = frozenset()
    if accounting:
        mine = commands.ask_database([*ASSOCIATIONS, f"user={user}"])
        accounts = parse_accounts(mine.out)
        qos = frozenset(commands.ask_database(EVERY_QOS).out.split())
    shown = commands.ask(["scontrol", "-a", "-o", "show", "partition"])
    enforces = (cluster.config("AccountingStorageEnforce") or "").lower()
    return Slurm(
        answers=True,
        version=cluster.config("SLURM_VERSION") or "",
        accounting=accounting,
        enforces=frozenset(enforces.split(",")) - {"", "none"},
        accounts=accounts,
        qos=qos,
        default_times=parse_default_times(shown.out),
    )


def parse_accounts(text: str) -> frozenset[str]:
    """Read `sacctmgr show assoc` with Account first."""
    return frozenset(line.partition("|")[0] for line in text.splitlines() if line.strip())


def parse_default_times(text: str) -> dict[str, str]:
    """Read `scontrol -o show partition`: partition → time limit of a job that names none.

    The default partition stands under "", too.
    """
    found = {}
    for line in text.splitlines():
        keys: dict[str, str] = dict(re.findall(r"(\S+?)=(\S*)", line))
        if name := keys.get("PartitionName"):
            time = keys.get("DefaultTime", "NONE")
            found[name] = keys.get("MaxTime", "") if time == "NONE" else time
            if keys.get("Default") == "YES":
                found[""] = found[name]
    return found


def ask_quotas() -> tuple[Quota, ...]:
    """Return the user's quotas, as far as quota(1) is there and tells them."""
    return parse_quotas(proc.run(QUOTA, timeout_s=10).out)


def parse_quotas(text: str) -> tuple[Quota, ...]:
    """Read `quota -w -p`: blocks of 1 KiB, `*` where a limit is exceeded."""
    found = []
    for line in text.splitlines():
        name, *rest = line.split()[: QUOTA_FIELDS + 1] or [""]
        numbers = [field.rstrip("*") for field in rest]
        if len(numbers) >= QUOTA_FIELDS and all(number.isdecimal() for number in numbers):
            blocks, _, hard, _, files, _, file_limit = map(int, numbers[:QUOTA_FIELDS])
            found.append(Quota(name, blocks // 1024, hard // 1024, files, file_limit))
    return tuple(found)


def ask_registry(host: str) -> Registry:
    """Return whether a registry answers; any answer counts, "log in first" as well."""
    url = f"{Client(host, None, lambda _: None).base}/v2/"
    try:
        urllib.request.urlopen(url, timeout=REGISTRY_S).close()  # noqa: S310 (http or https only)
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Registry(host, str(getattr(error, "reason", error)))
    return Registry(host)
