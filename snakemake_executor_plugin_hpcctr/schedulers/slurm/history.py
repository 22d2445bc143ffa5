"""How elements ended: the controller's memory first, then the accounting database.

The controller forgets a job after MinJobAge (300 s by default), but tells its true exit code;
sacct 22.05 drops the code's top bit, may lag behind, and is not there on every cluster. It knows
the peak memory.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.schedulers.base import Account, ElementState
from snakemake_executor_plugin_hpcctr.schedulers.slurm.ids import chunks, job_of
from snakemake_executor_plugin_hpcctr.schedulers.slurm.parse import (
    ENDED_FORMAT,
    SACCT_FORMAT,
    element_state,
    parse_ended,
    parse_sacct,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snakemake_executor_plugin_hpcctr.schedulers.slurm.commands import Commands

#: Ids per command.
CHUNK = 500
#: A database that did not answer is left alone for so long.
SACCT_PAUSE_S = 60.0
NO_ACCOUNTING = re.compile(r"accounting storage is disabled|command not found")
UNKNOWN_JOB = "Invalid job id specified"


@dataclass
class History:
    """Asks how elements ended.

    Args:
        commands: Runs squeue and sacct.
    """

    commands: Commands
    _sacct_from: float = 0.0

    def account(self, elements: Sequence[str], cluster: str = "") -> dict[str, Account]:
        """Return what is known of elements of one cluster, whose ids have no cluster's name."""
        remembered = self._controller(elements, cluster)
        known = remembered or {}
        stored = self._database(
            [one for one in elements if one not in known or _is_over(known[one])], cluster
        )
        if remembered is not None:
            # What the controller does not know is not running, whatever the database says.
            stored = {one: account for one, account in stored.items() if _is_over(account)}
        accounts = {}
        for one in elements:
            # The controller lists elements that were cancelled before they started as one block,
            # by their array's number.
            account = _merge(known.get(one), stored.get(one)) or known.get(job_of(one))
            if account is not None:
                accounts[one] = account
        return accounts

    def _controller(self, elements: Sequence[str], cluster: str) -> dict[str, Account] | None:
        """Ask the controller; None if it does not answer."""
        found: dict[str, Account] = {}
        for jobs in chunks(list(dict.fromkeys(map(job_of, elements))), CHUNK):
            done = self.commands.ask(
                ["squeue", *ENDED_FORMAT, "-j", ",".join(jobs)], cluster=cluster
            )
            if not done.ok and UNKNOWN_JOB not in done.err:
                return None
            found |= parse_ended(done.out)
        return found

    def _database(self, elements: Sequence[str], cluster: str) -> dict[str, Account]:
        found = self._sacct(elements, cluster)
        # Elements that were cancelled before they started are stored as one block, which sacct
        # does not find by an element's id.
        blocks = {job_of(one) for one in elements if "_" in one and one not in found}
        return self._sacct(sorted(blocks), cluster) | found

    def _sacct(self, jobs: Sequence[str], cluster: str) -> dict[str, Account]:
        found: dict[str, Account] = {}
        for some in chunks(jobs, CHUNK):
            if time.monotonic() < self._sacct_from:
                break
            done = self.commands.ask_database(
                ["sacct", *SACCT_FORMAT, "-j", ",".join(some)], cluster=cluster
            )
            if not done.ok:
                never = NO_ACCOUNTING.search(done.err)
                self._sacct_from = float("inf") if never else time.monotonic() + SACCT_PAUSE_S
            found |= parse_sacct(done.out)
        return found


def _merge(known: Account | None, stored: Account | None) -> Account | None:
    if known is None or stored is None:
        return known or stored
    return replace(known, peak_mb=stored.peak_mb)


def _is_over(account: Account) -> bool:
    return element_state(account.state) is ElementState.ENDED
