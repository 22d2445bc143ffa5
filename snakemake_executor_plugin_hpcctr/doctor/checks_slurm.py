"""Checks of Slurm and of each rule's request. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.doctor.finding import error, of_trouble, ok, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from snakemake_executor_plugin_hpcctr.doctor.facts import Facts, Rule, Slurm
    from snakemake_executor_plugin_hpcctr.doctor.finding import Finding


def check_slurm(facts: Facts) -> Iterator[Finding]:
    """Tell whether Slurm's controller answers."""
    if facts.slurm is None:
        yield ok("slurm", "the scheduler is this machine: Slurm is not asked")
    elif not facts.slurm.answers:
        yield error(
            "slurm",
            "Slurm's controller does not answer",
            "try `scontrol ping` here; off the cluster, set `scheduler: local` in hpcctr.yaml, "
            "or `--hpcctr-scheduler local`",
        )
    else:
        kept = "with" if facts.slurm.accounting else "without"
        yield ok("slurm", f"Slurm {facts.slurm.version} answers, {kept} accounting")


def check_requests(facts: Facts) -> Iterator[Finding]:
    """Tell whether each rule's partition exists and could run its request; images likewise."""
    for rule in facts.rules:
        yield from (of_trouble("request", trouble) for trouble in rule.troubles)
    fine = [rule.name for rule in facts.rules if not rule.troubles]
    if fine:
        yield ok("request", f"the requests and images of these rules fit: {', '.join(fine)}")


def check_accounts(facts: Facts) -> Iterator[Finding]:
    """Tell whether the rules' accounts and qualities of service are known to Slurm."""
    slurm = facts.slurm
    if slurm is None or not slurm.answers or not slurm.accounting:
        return
    for rule in facts.rules:
        account, qos = rule.resources.account, rule.resources.qos
        if account and account not in slurm.accounts:
            yield _unknown(rule, "account", account, slurm.accounts, slurm)
        if qos and qos not in slurm.qos:
            yield _unknown(rule, "QOS", qos, slurm.qos, slurm)
    if not slurm.accounts and "associations" in slurm.enforces:
        yield error(
            "account",
            "Slurm knows no account of yours, and this cluster refuses jobs without one",
            "ask the cluster's administrators for an account",
        )


def _unknown(rule: Rule, kind: str, name: str, known: Collection[str], slurm: Slurm) -> Finding:
    enforced = bool(slurm.enforces & {"associations", "limits", "qos"})
    has = f"you have {', '.join(sorted(known))}" if known else "you have none"
    hint = did_you_mean(name, known)
    what = f"rule {rule.name} asks for the {kind} `{name}`, which is not one of yours"
    step = f"{hint} {has}".strip()
    if enforced:
        return error("account", what, step)
    return warning("account", f"{what}; this cluster runs such jobs all the same", step)


def check_time_limits(facts: Facts) -> Iterator[Finding]:
    """Tell which rules name no time limit, and what they then get."""
    if facts.slurm is None or not facts.slurm.answers:
        return
    unlimited = [rule for rule in facts.rules if rule.resources.runtime_min is None]
    defaults = facts.slurm.default_times
    if unlimited:
        names = ", ".join(rule.name for rule in unlimited)
        partitions = {rule.resources.partition or "" for rule in unlimited} & defaults.keys()
        given = "; ".join(f"{name or 'default'}: {defaults[name]}" for name in sorted(partitions))
        yield warning(
            "time limit",
            f"no `runtime` for {names}: the partition's own limit holds ({given or 'unknown'})",
            "give rules a `runtime` in minutes: Slurm starts short jobs sooner, and one that hangs "
            "ends",
        )
    elif facts.rules:
        yield ok("time limit", "every rule names its time limit")


SLURM_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    check_slurm,
    check_requests,
    check_accounts,
    check_time_limits,
)
