"""What is asked of Snakemake's jobs, with plain values in the place of a job."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from snakemake_executor_plugin_hpcctr.bridge.jobs import image_of

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
