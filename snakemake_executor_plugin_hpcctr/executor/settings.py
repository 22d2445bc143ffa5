"""The `--hpcctr-…` flags. Snakemake reads this module at each start: nothing heavy here.

No `from __future__ import annotations`: Snakemake needs the types themselves (interface 9.x).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional

from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=0,
)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Settings of a run; each one also as SNAKEMAKE_HPCCTR_… variable and profile key."""

    scheduler: Optional[str] = field(
        default=None,
        metadata={
            "help": "What runs the tasks: slurm, or local (this machine, same scripts). "
            "Default: slurm",
            "env_var": True,
            "choices": ["slurm", "local"],
        },
    )
    engine: Optional[str] = field(
        default=None,
        metadata={
            "help": "Container engine, or a comma-separated list in order of preference: "
            "apptainer (or singularity), enroot, pyxis, host, auto. Default: auto, the first "
            "of apptainer, enroot, pyxis that the nodes have",
            "env_var": True,
        },
    )
    config: Optional[Path] = field(
        default=None,
        metadata={
            "help": "Configuration file. Default: hpcctr.yaml in the working directory, if "
            "there is one",
            "env_var": True,
        },
    )
    python: Optional[str] = field(
        default=None,
        metadata={
            "help": "Python of the nodes for jobs that need Snakemake there (`run:` rules): a "
            "path, or a name to be found there. Default: the one that runs Snakemake here",
            "env_var": True,
        },
    )
    image_dir: Optional[Path] = field(
        default=None,
        metadata={
            "help": "Folder for images pulled from registries, on a file system that the nodes "
            "see. Default: .snakemake/hpcctr/images",
            "env_var": True,
        },
    )
    locked: bool = field(
        default=False,
        metadata={
            "help": "Run only images that hpcctr.lock names, with the content that it names",
            "env_var": True,
        },
    )
    binds: List[str] = field(
        default_factory=list,
        metadata={
            "help": "Host paths made visible in every container, SRC[:DST[:ro]]",
            "env_var": True,
            "nargs": "+",
        },
    )
    account: Optional[str] = field(
        default=None,
        metadata={"help": "Slurm account, in place of the rules' own", "env_var": True},
    )
    partition: Optional[str] = field(
        default=None,
        metadata={"help": "Slurm partition, in place of the rules' own", "env_var": True},
    )
    array: Optional[str] = field(
        default=None,
        metadata={
            "help": "Job arrays for tasks that are ready together and ask for the same: auto, "
            "off, or the largest number of tasks in one array. Default: auto",
            "env_var": True,
        },
    )
    max_parallel: Optional[int] = field(
        default=None,
        metadata={
            "help": "At most so many elements of each array run at once, in place of the rules' "
            "own. Default: no limit",
            "env_var": True,
        },
    )
    poll_min: float = field(
        default=0.2,
        metadata={
            "help": "Shortest time in seconds between two looks at the exit markers",
            "env_var": True,
        },
    )
    poll_max: float = field(
        default=30.0,
        metadata={
            "help": "Longest time in seconds between two looks, and between two squeue calls "
            "when nothing happens",
            "env_var": True,
        },
    )
    log_dir: Optional[Path] = field(
        default=None,
        metadata={
            "help": "Folder for the tasks' logs. Default: .snakemake/hpcctr/logs",
            "env_var": True,
        },
    )
    keep_logs: Optional[str] = field(
        default=None,
        metadata={
            "help": "Which logs stay after the task ended: all, or failed. Default: all",
            "env_var": True,
            "choices": ["all", "failed"],
        },
    )
    keep_scripts: bool = field(
        default=False,
        metadata={
            "help": "Keep the job scripts of a run in which every task succeeded",
            "env_var": True,
        },
    )

    def __post_init__(self) -> None:
        """Prepare Snakemake for groups, in a dry-run too, where no executor is made."""
        from snakemake_executor_plugin_hpcctr.bridge.groups import allow_differing_words  # noqa: PLC0415 (start-up time)

        allow_differing_words()
