"""Start, look at and end a whole lab."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.lab import accounting, daemons, packages, plan
from snakemake_executor_plugin_hpcctr.lab.conf import LabSettings, State
from snakemake_executor_plugin_hpcctr.lab.layout import Layout
from snakemake_executor_plugin_hpcctr.lab.machine import inspect_machine
from snakemake_executor_plugin_hpcctr.lab.prepare import prepare
from snakemake_executor_plugin_hpcctr.lab.state import read_state, write_state

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from snakemake_executor_plugin_hpcctr.lab.daemons import Daemon

READY_S = 30.0
CANCEL_S = 10.0
#: What sinfo(1) says of a node that takes jobs, or has them.
IN_SERVICE = frozenset({"idle", "mixed", "allocated", "completing"})


@dataclass(frozen=True)
class LabStatus:
    """How a lab is.

    Args:
        directory: Folder of the lab.
        running: Whether all its daemons live and the controller answers.
        slurm_conf: What `SLURM_CONF` must name for a client of this lab.
        state: How it was started; None if it was not.
        daemons: Name → process number, None for one that has ended.
        nodes: Name → state, as sinfo(1) tells it; empty if the lab does not run.
    """

    directory: str
    running: bool
    slurm_conf: str
    state: State | None
    daemons: dict[str, int | None]
    nodes: dict[str, str]


class Lab:
    """A real, throw-away Slurm on this machine.

    Args:
        settings: What to start. A relative folder is taken from the current one.

    Raises:
        ConfigError: A path in the settings cannot be used.
    """

    def __init__(self, settings: LabSettings) -> None:
        self.settings = plan.checked(settings)
        self.layout = Layout.of(self.settings.directory, os.getuid())

    @property
    def environ(self) -> dict[str, str]:
        """Variables that make Slurm's commands use this lab."""
        return {"SLURM_CONF": str(self.layout.slurm_conf)}

    def up(self) -> None:
        """Start the lab and wait until all nodes take jobs; a running one is left as it is.

        What remains of a lab that died is cleaned away first.

        Raises:
            ConfigError: It runs with other settings, or the machine cannot do what they ask.
            CommandError: A package is missing, or a daemon did not start.
        """
        packages.require(plan.required_programs(self.settings))
        self.layout.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        with self._locked():
            before = read_state(self.layout)
            if before is not None and self._answers(before):
                refuse_change(before.settings, self.settings)
                return
            if before is not None:
                self._stop(before)
            self._start(State(settings=self.settings, machine=inspect_machine(self.settings)))

    def down(self) -> bool:
        """End the lab with all its jobs; return whether there was one.

        Configuration and logs stay until the next `up`.
        """
        if read_state(self.layout) is None:
            return False
        with self._locked():
            state = read_state(self.layout)
            if state is not None:
                self._stop(state)
        return state is not None

    def status(self) -> LabStatus:
        """Look at the daemons and ask the controller for the nodes."""
        state = read_state(self.layout)
        running = state is not None and self._answers(state)
        return LabStatus(
            directory=str(self.layout.directory),
            running=running,
            slurm_conf=str(self.layout.slurm_conf),
            state=state,
            daemons={} if state is None else self._pids(state),
            nodes=self._node_states() if running else {},
        )

    def stop_controller(self) -> None:
        """End slurmctld: jobs go on, clients get no answer."""
        daemons.stop(self._daemon("slurmctld"), self._env())

    def start_controller(self) -> None:
        """Start slurmctld with the jobs that it knew; wait until its living nodes take jobs."""
        daemons.start(self._daemon("slurmctld"), self._env())
        state = self._started()
        pids = self._pids(state)
        self._wait_ready(
            state, [name for name in state.settings.node_names if pids[f"slurmd-{name}"]]
        )

    def restart_controller(self) -> None:
        """End slurmctld and start it again."""
        self.stop_controller()
        self.start_controller()

    def stop_node(self, name: str) -> None:
        """End the slurmd of a node, which is then lost; processes of its jobs go on."""
        daemons.stop(self._daemon(f"slurmd-{name}"), self._env())

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node and wait until the node takes jobs."""
        daemons.start(self._daemon(f"slurmd-{name}"), self._env())
        self._wait_ready(self._started(), [name])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with FileLock(self.layout.directory / ".lock"):
            yield

    def _env(self) -> dict[str, str]:
        return plan.environment(self.layout, os.environ)

    def _started(self) -> State:
        state = read_state(self.layout)
        if state is None:
            raise ConfigError(
                f"no lab was started in `{self.layout.directory}`",
                next_step="start it with `hpcctr lab up`",
            )
        return state

    def _daemon(self, name: str) -> Daemon:
        known = {found.name: found for found in plan.plan_daemons(self._started(), self.layout)}
        if name not in known:
            raise ConfigError(f"the lab has no `{name}`, only {', '.join(known)}")
        return known[name]

    def _start(self, state: State) -> None:
        """Start everything, or nothing: a failure or Ctrl-C ends what has started."""
        prepare(state, self.layout)
        write_state(self.layout, state)
        try:
            if state.settings.accounting:
                accounting.create_database(self.layout, state.machine)
            for daemon in plan.plan_daemons(state, self.layout):
                daemons.start(daemon, self._env())
                if daemon.name == "mariadbd":
                    accounting.wait_for_database(self.layout, daemon)
                elif daemon.name == "slurmdbd":
                    accounting.register(state.machine, daemon, self._env())
                elif daemon.name == "slurmctld":
                    self._wait_ready(state, [])
            self._wait_ready(state, state.settings.node_names)
        except BaseException:
            self._stop(state)
            raise

    def _stop(self, state: State) -> None:
        """End whatever lives, youngest first, and remove the runtime state."""
        planned = plan.plan_daemons(state, self.layout)
        logs = {daemon.log_file for daemon in planned}
        if daemons.steps_of(logs) and self._answers(state):
            self._kill_jobs()
            daemons.wait_until(lambda: not daemons.steps_of(logs), CANCEL_S)
        for daemon in reversed(planned):
            daemons.stop(daemon, self._env())
        daemons.end(daemons.with_descendants(daemons.steps_of(logs)), signal.SIGKILL)
        shutil.rmtree(self.layout.runtime, ignore_errors=True)
        self.layout.state_file.unlink(missing_ok=True)

    def _kill_jobs(self) -> None:
        """Take waiting jobs off the queue and kill running ones, job scripts included."""
        waiting, running = ["--state=PENDING"], ["--state=RUNNING", "--full", "--signal=KILL"]
        for options in (waiting, running):
            proc.run(["scancel", *options], env=self._env(), timeout_s=CANCEL_S)

    def _pids(self, state: State) -> dict[str, int | None]:
        planned = plan.plan_daemons(state, self.layout)
        return {daemon.name: daemons.pid_of(daemon, self._env()) for daemon in planned}

    def _answers(self, state: State) -> bool:
        return None not in self._pids(state).values() and self._controller_answers()

    def _controller_answers(self) -> bool:
        return proc.run(["scontrol", "ping"], env=self._env(), timeout_s=CANCEL_S).ok

    def _node_states(self) -> dict[str, str]:
        return parse_nodes(proc.run(["sinfo", "-h", "-N", "-o", "%N %T"], env=self._env()).out)

    def _wait_ready(self, state: State, nodes: Collection[str]) -> None:
        """Wait until the controller answers and these nodes take jobs.

        Raises:
            CommandError: A daemon ended, or a node is not in service in time.
        """
        needed = {"slurmctld", *(f"slurmd-{name}" for name in nodes)}

        def ended() -> set[str]:
            return {name for name, pid in self._pids(state).items() if pid is None} & needed

        def settled() -> bool:
            if ended():
                return True
            if not self._controller_answers():
                return False
            states = self._node_states() if nodes else {}
            return all(states.get(name) in IN_SERVICE for name in nodes)

        in_time = daemons.wait_until(settled, READY_S)
        for name in ended():
            raise daemons.failure(self._daemon(name), "ended soon after its start")
        if not in_time:
            raise daemons.failure(
                self._daemon("slurmctld"),
                f"has nodes that take no jobs after {READY_S:g} s: {self._node_states()}",
            )


def parse_nodes(text: str) -> dict[str, str]:
    """Read `sinfo -h -N -o "%N %T"`: name → state; a node is listed once per partition."""
    return dict(line.split(maxsplit=1) for line in text.splitlines() if " " in line.strip())


def refuse_change(running: LabSettings, wanted: LabSettings) -> None:
    """Refuse to take a running lab for one with other settings.

    Raises:
        ConfigError: Names each setting that differs.
    """
    before, after = running.model_dump(), wanted.model_dump()
    changes = [f"{name}={before[name]}" for name in before if before[name] != after[name]]
    if changes:
        raise ConfigError(
            f"the lab in `{running.directory}` runs already, with {', '.join(changes)}",
            next_step="end it with `hpcctr lab down` first, or start another one with `--dir`",
        )
