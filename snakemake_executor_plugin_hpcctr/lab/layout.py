"""Where a lab keeps its files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

#: Longest folder under which Slurm's sockets still fit (unix(7): 108 bytes for the whole path;
#: slurmstepd adds `/spool/n99/n99_4294967295.4294967295`).
LONGEST_RUNTIME = 64


@dataclass(frozen=True)
class Layout:
    """Where the lab keeps what: `directory` stays, `runtime` goes with `down`."""

    directory: Path
    runtime: Path

    @classmethod
    def of(cls, directory: Path, uid: int) -> Layout:
        """Lay a lab out in an absolute folder.

        A long path leaves no room for the names of unix sockets: sockets, spool and state then
        live in a short folder of the same user.
        """
        runtime = directory / "run"
        if len(bytes(runtime)) > LONGEST_RUNTIME:
            mark = hashlib.sha256(bytes(directory)).hexdigest()[:12]
            # /tmp and not $TMPDIR, which may be long itself; `up` checks the owner
            runtime = Path(f"/tmp/hpcctr-lab-{uid}-{mark}")  # noqa: S108 (see the line above)
        return cls(directory, runtime)

    @property
    def slurm_conf(self) -> Path:
        """What `SLURM_CONF` names."""
        return self.directory / "slurm.conf"

    @property
    def plugstack_conf(self) -> Path:
        """Plug-ins of srun, sbatch and slurmd."""
        return self.directory / "plugstack.conf"

    @property
    def slurmdbd_conf(self) -> Path:
        """Read by slurmdbd, which looks beside slurm.conf."""
        return self.directory / "slurmdbd.conf"

    @property
    def database_conf(self) -> Path:
        """MariaDB's option file."""
        return self.directory / "mariadb.cnf"

    @property
    def state_file(self) -> Path:
        """Says that this lab was started, and how."""
        return self.directory / "lab.json"

    @property
    def munge_key(self) -> Path:
        """Shared secret of this lab alone."""
        return self.runtime / "munge.key"

    @property
    def munge_seed(self) -> Path:
        """Where munged keeps randomness between starts."""
        return self.runtime / "munge.seed"

    @property
    def munge_socket(self) -> Path:
        """Where munged answers."""
        return self.runtime / "munge" / "munge.socket"

    @property
    def database(self) -> Path:
        """MariaDB's data."""
        return self.runtime / "mysql"

    @property
    def database_socket(self) -> Path:
        """Where MariaDB answers; in the folder that only the user can enter."""
        return self.database / "socket"

    @property
    def spool(self) -> Path:
        """What slurmd keeps while jobs run, one folder per node."""
        return self.runtime / "spool"

    @property
    def controller_state(self) -> Path:
        """What slurmctld needs to go on after a restart."""
        return self.runtime / "state"

    @property
    def fake_gpus(self) -> Path:
        """Folder of the links that stand for GPUs."""
        return self.directory / "gpu"

    def log(self, daemon: str) -> Path:
        """Log of one daemon, e.g. of `slurmd-n1`."""
        return self.directory / "log" / f"{daemon}.log"

    def pid(self, daemon: str) -> Path:
        """File with the process number of one daemon."""
        return self.runtime / f"{daemon}.pid"
