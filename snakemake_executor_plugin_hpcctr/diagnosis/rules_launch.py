"""Rows that rest on what launchers of several processes say: srun, and those of MPI.

The texts are those of Slurm 22.05, Open MPI 4 and MPICH 4.
"""

from __future__ import annotations

from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause
from snakemake_executor_plugin_hpcctr.diagnosis.match import both, exit_code, holds, log
from snakemake_executor_plugin_hpcctr.diagnosis.row import Row

_NAMES = r"mpirun|mpiexec|orterun|prterun|srun|ibrun|aprun|jsrun"

LAUNCH: tuple[Row, ...] = (
    Row(
        Cause.EXIT_CODE,
        log(r"srun: error: Invalid MPI type '(?P<what>[^']*)'"),
        "Slurm has no support for MPI of the type `{what}`",
        'choose one that `srun --mpi=list` names: `launch="srun --mpi=…"`, or `mpi="srun --mpi=…"` '
        "where the command itself starts srun",
    ),
    Row(
        Cause.EXIT_CODE,
        log(r"OMPI was not built with SLURM's PMI support", r"PMI\d?_Init (returned|failed)"),
        "The processes started, but MPI {place} and srun did not find each other",
        "both must speak the same PMI: `srun --mpi=list` names those of Slurm; Open MPI wants "
        '`launch="srun --mpi=pmix"`, MPICH and Intel MPI `launch="srun --mpi=pmi2"`; a job inside '
        "one node can use the `mpirun` of the image",
    ),
    Row(
        Cause.EXIT_CODE,
        log(r"(mpirun|mpiexec|prterun) has detected an attempt to run as root"),
        "Open MPI's launcher refuses to run as root",
        "run Snakemake as an ordinary user, or set OMPI_ALLOW_RUN_AS_ROOT=1 and "
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 with `env`",
    ),
    Row(
        Cause.COMMAND_NOT_FOUND,
        both(
            holds(lambda e: exit_code(e) == 127),  # noqa: PLR2004 (POSIX: not found)
            log(rf"(^|[\s:])(?P<what>({_NAMES})[.\w]*): (command )?not found", last=True),
        ),
        "The launcher of MPI is missing: there is no program {what} {place}",
        "load its module (`envmodules:`), or name another with `resources: mpi=…`; in a container "
        'there is no srun: let hpcctr start the processes with `resources: launch="srun"`',
    ),
)
