"""MariaDB and slurmdbd: the parts of their start that are more than starting a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.lab.daemons import failure, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snakemake_executor_plugin_hpcctr.lab.conf import Machine
    from snakemake_executor_plugin_hpcctr.lab.daemons import Daemon
    from snakemake_executor_plugin_hpcctr.lab.layout import Layout

INSTALL_S = 120.0
ANSWER_S = 60.0


def create_database(layout: Layout, machine: Machine) -> None:
    """Fill MariaDB's data folder; its root needs no password, but must reach the socket.

    Raises:
        CommandError: mariadb-install-db failed.
    """
    done = proc.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={layout.database}",
            f"--user={machine.user}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        timeout_s=INSTALL_S,
    )
    if not done.ok:
        raise done.error("the accounting database could not be made")


def wait_for_database(layout: Layout, daemon: Daemon) -> None:
    """Wait until MariaDB can be reached, since slurmdbd tries again only after 5 s.

    Raises:
        CommandError: It did not open its socket.
    """
    if not wait_until(layout.database_socket.exists, ANSWER_S):
        raise failure(daemon, "did not open its socket")


def register(machine: Machine, daemon: Daemon, env: Mapping[str, str]) -> None:
    """Wait for slurmdbd and add the lab's cluster, account and user.

    Raises:
        CommandError: It does not answer, or sacctmgr(1) refused.
    """
    if not wait_until(lambda: _sacctmgr(env, "list", "cluster").ok, ANSWER_S):
        raise failure(daemon, "does not answer")
    for words in (
        ("add", "cluster", "lab"),
        ("add", "account", "lab", "cluster=lab"),
        ("add", "user", machine.user, "account=lab"),
    ):
        done = _sacctmgr(env, *words)
        # the user `root` is there from the start
        if not done.ok and "already exist" not in done.out + done.err:
            raise done.error("the lab could not be entered into the accounting database")


def _sacctmgr(env: Mapping[str, str], *words: str) -> proc.Completed:
    return proc.run(["sacctmgr", "--immediate", "--noheader", *words], env=env)
