from __future__ import annotations

import pytest

from snakemake_executor_plugin_hpcctr.schedulers.slurm.environ import clean, for_submission
from snakemake_executor_plugin_hpcctr.task import Resources


@pytest.mark.parametrize(
    "name",
    [
        "SLURM_JOB_ID",
        "SLURM_MEM_PER_NODE",
        "SLURM_CPUS_PER_TASK",
        "SLURM_TRES_PER_TASK",
        "SLURM_NTASKS_PER_GPU",
        "SLURMD_NODENAME",
        "SBATCH_MEM_BIND",
        "SBATCH_TIMELIMIT",
        "SRUN_CPUS_PER_TASK",
        "PMI_RANK",
        "PMIX_NAMESPACE",
        "SQUEUE_STATES",
        "SCANCEL_INTERACTIVE",
    ],
)
def test_what_describes_a_surrounding_job_goes(name: str) -> None:
    """Started inside a Slurm job, no request inherits that job's size, nor a user's habits."""
    assert {"PATH": "/bin"} == clean({"PATH": "/bin", name: "1"})


@pytest.mark.parametrize("name", ["SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT", "HOME", "SLURMY"])
def test_what_describes_the_cluster_stays(name: str) -> None:
    """The way to the cluster, and everything that is not Slurm's, is kept."""
    assert {name: "x"} == clean({name: "x"})


def test_gpus_of_a_surrounding_job_go() -> None:
    """The GPU number of the head's own job would mislead the tasks."""
    inside = {"SLURM_JOB_ID": "5", "CUDA_VISIBLE_DEVICES": "3"}
    assert {} == clean(inside)


def test_gpus_that_the_user_chose_stay() -> None:
    """Outside of any job, the variable is the user's own."""
    assert {"CUDA_VISIBLE_DEVICES": "3"} == clean({"CUDA_VISIBLE_DEVICES": "3"})


def test_a_users_default_fills_what_the_request_leaves_open() -> None:
    """SBATCH_ACCOUNT in a login script works as with sbatch by hand."""
    environ = clean({"SBATCH_ACCOUNT": "lab", "SBATCH_PARTITION": "old"})
    request = Resources(partition="new")
    assert {"SBATCH_ACCOUNT": "lab"} == for_submission(environ, request)
