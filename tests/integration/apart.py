"""A lab whose nodes have a /tmp each, as those of a cluster: by Slurm's job_container/tmpfs."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import HpcctrError
from snakemake_executor_plugin_hpcctr.lab import Lab, LabSettings, packages
from tests.integration.workflow import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Jobs see their own /tmp, so what they need is elsewhere.
BASE = "/var/tmp"
EXTRA = ("JobContainerType=job_container/tmpfs", "PrologFlags=Contain")


@contextmanager
def lab_with_nodes_apart(plugstack: tuple[Path, ...]) -> Iterator[tuple[Lab, Path]]:
    """Start such a lab; yield it, and a folder that all of its nodes see."""
    if lacking := packages.missing(packages.SLURM):
        pytest.skip(f"Slurm is not installed, `hpcctr lab packages` tells how: no {min(lacking)}")
    if os.getuid() != 0:
        pytest.skip("only root can give each node a /tmp of its own")
    if ROOT.is_relative_to("/tmp"):
        pytest.skip("the project lies in /tmp, which the jobs of this lab do not see")
    folder = Path(tempfile.mkdtemp(prefix="hpcctr-", dir=BASE))
    folder.chmod(0o755)
    plugins = tuple(Path(shutil.copy(path, folder)) for path in plugstack)
    lab = Lab(LabSettings(directory=folder / "lab", plugstack=plugins, extra=EXTRA))
    lab.settings.directory.mkdir()
    lines = [f"NodeName={n} AutoBasePath=true BasePath={folder / n}" for n in ("n1", "n2")]
    (lab.settings.directory / "job_container.conf").write_text("\n".join(lines) + "\n")
    try:
        _start(lab)
        yield lab, folder
    finally:
        lab.down()
        for name in ("n1", "n2"):
            proc.run(["umount", "--lazy", str(folder / name)])
        shutil.rmtree(folder, ignore_errors=True)


def _start(lab: Lab) -> None:
    """Start the lab; skip where this machine lets nobody make a namespace."""
    try:
        lab.up()
    except HpcctrError as error:
        pytest.skip(f"no lab whose nodes have a /tmp of their own: {error}")
    probe = ["srun", "--nodes=2", "--ntasks=2", "--immediate=10", "sh", "-c", "ls -A /tmp | wc -l"]
    done = proc.run(probe, env={**os.environ, **lab.environ}, timeout_s=30)
    if done.out.split() != ["0", "0"]:
        pytest.skip(f"Slurm cannot give each node a /tmp of its own here: {done.err}")
