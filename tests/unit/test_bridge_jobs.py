"""What is asked of Snakemake's jobs, with plain values in the place of a job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.bridge.finish import remove_script
from snakemake_executor_plugin_hpcctr.bridge.jobs import image_of

if TYPE_CHECKING:
    from pathlib import Path

PULLED = SimpleNamespace(
    is_group=lambda: False,
    container_img_url="docker://debian:12",
    container_img=object(),
    container_img_path="/work/.snakemake/singularity/abc.simg",
)


@pytest.mark.parametrize(
    ("pulled", "expected"),
    [(True, "/work/.snakemake/singularity/abc.simg"), (False, "docker://debian:12")],
)
def test_image_that_snakemake_pulled(pulled: bool, expected: str) -> None:  # noqa: FBT001 (a row of the table)
    """The file that Snakemake pulled is used where an engine may start it, else the reference."""
    assert expected == image_of(PULLED, pulled=pulled)


@pytest.mark.parametrize("by_hand", [True, False], ids=["shell", "script"])
def test_only_scripts_that_snakemake_made_are_removed(tmp_path: Path, *, by_hand: bool) -> None:
    """A file that a command of the user's names is the user's, whatever it is called."""
    script = tmp_path / ".snakemake/scripts/tmpab12_.make.py"
    script.parent.mkdir(parents=True)
    script.touch()
    workflow = SimpleNamespace(execution_settings=SimpleNamespace(cleanup_scripts=True))
    job = SimpleNamespace(is_group=lambda: False, is_shell=by_hand)
    remove_script(workflow, job, f"python {script}")
    assert by_hand == script.exists()
