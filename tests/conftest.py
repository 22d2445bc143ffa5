"""What several tests share: a place of their own, the lab's Slurm, engines and an image."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import CommandError
from snakemake_executor_plugin_hpcctr.lab import Lab, LabSettings, packages
from snakemake_executor_plugin_hpcctr.lab.image import BaseImage, build_base_image

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Outlives the tests; found out before `_own_folders` hides the user's.
CACHE = Path(
    os.environ.get("HPCCTR_TEST_CACHE") or platformdirs.user_cache_path("hpcctr") / "tests"
)
PYXIS = (
    "usr/lib/*/slurm*/spank_pyxis.so",
    "usr/lib*/slurm/spank_pyxis.so",
    "usr/local/lib/slurm/spank_pyxis.so",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses the lab, so that `-m "not lab"` leaves it out."""
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker("lab")


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the user's folders and settings; an image store in the default place fails."""
    root = tmp_path_factory.mktemp("home")
    barrier = root / "no-folder"
    barrier.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(root))
        for name in ("CACHE", "CONFIG", "DATA", "STATE"):
            patch.setenv(f"XDG_{name}_HOME", str(root / name.lower()))
        patch.setenv("HPCCTR_IMAGES", str(barrier / "images"))
        for name in ("SLURM_CONF", "HPCCTR_SITE", "SNAKEMAKE_PROFILE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Start a Slurm for this test process: nodes n1 and n2, fake GPUs, pyxis where it is built.

    With pytest-xdist, each worker has its own, so that a test may stop nodes or cancel all jobs.
    """
    if lacking := packages.missing(packages.SLURM):
        pytest.skip(f"Slurm is not installed, `hpcctr lab packages` tells how: no {min(lacking)}")
    folder = Path(tempfile.mkdtemp(prefix="hpcctr-"))
    folder.chmod(0o755)
    lab = Lab(LabSettings(directory=folder / "lab", plugstack=_pyxis_plugstack(folder)))
    try:
        lab.up()
        yield lab
    finally:
        lab.down()
        shutil.rmtree(folder)


@pytest.fixture
def lab_environ(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Make Slurm's commands use the lab during one test; return all variables for programs."""
    for name, value in lab.environ.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@pytest.fixture(scope="session")
def apptainer() -> str:
    """Return Apptainer's path."""
    return _program_or_skip("apptainer", "`hpcctr lab apptainer` installs it")


@pytest.fixture(scope="session")
def enroot() -> str:
    """Return Enroot's path."""
    return _program_or_skip("enroot", "see its own documentation")


@pytest.fixture(scope="session")
def pyxis(enroot: str, lab: Lab) -> Lab:  # noqa: ARG001 (pyxis needs Enroot)
    """Return the lab, whose srun knows `--container-image`."""
    if not lab.settings.plugstack:
        pytest.skip("pyxis is not installed")
    return lab


@pytest.fixture(scope="session")
def base_image() -> BaseImage:
    """Return a small image with Python and numpy, built once on a machine and kept."""
    try:
        return build_base_image(CACHE)
    except CommandError as error:
        pytest.skip(f"no base image: {error}")


def _program_or_skip(name: str, advice: str) -> str:
    path = proc.find_program(name)
    if path is None:
        pytest.skip(f"`{name}` is not installed: {advice}")
    return path


def _pyxis_plugstack(folder: Path) -> tuple[Path, ...]:
    found = [path for pattern in PYXIS for path in Path("/").glob(pattern)]
    if not found or proc.find_program("enroot") is None:
        return ()
    plugstack = folder / "pyxis.conf"
    plugstack.write_text(f"required {found[0]} runtime_path={folder / 'pyxis'}\n")
    return (plugstack,)
