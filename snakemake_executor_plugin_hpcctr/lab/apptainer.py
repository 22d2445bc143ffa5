"""Install Apptainer on Debian, also where the release does not have it.

Among Debian's suites only sid has a package (seen with 1.4.5). It runs on an older release beside
its own C library: the libraries go to a folder of their own, which only Apptainer's two programs
know. The system's C library stays as it is.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import CommandError, EngineError
from snakemake_executor_plugin_hpcctr.lab import packages
from snakemake_executor_plugin_hpcctr.lab.apt import (
    has_candidate,
    machine_mirror,
    this_distribution,
)
from snakemake_executor_plugin_hpcctr.lab.capabilities import held_capabilities, names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = Path("/usr/bin/apptainer")
LIBRARIES = Path("/usr/local/lib/hpcctr-apptainer")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FUSE = Path("/dev/fuse")
DOWNLOAD_S = 900.0


def install_apptainer() -> str:
    """Install Apptainer unless it is there; return what `apptainer --version` says.

    Raises:
        CommandError: No root, or a step failed.
        EngineError: This distribution's way to Apptainer is not known.
    """
    version = _version()
    if version is None:
        _require_root()
        if lacking := packages.missing({**packages.APPTAINER, "patchelf": "patchelf"}):
            packages.install(set(lacking.values()))
        if has_candidate("apptainer"):
            packages.install(["apptainer"])
        else:
            _install_from_sid()
        version = _version()
    if version is None:
        raise EngineError("Apptainer is installed, but does not start")
    if os.geteuid() == 0:
        _finish()
    return version


def _version() -> str | None:
    done = proc.run(["apptainer", "--version"])
    return done.out.strip() if done.ok else None


def _require_root() -> None:
    if os.geteuid() != 0:
        raise CommandError(
            "only root can install Apptainer", next_step="run `sudo hpcctr lab apptainer`"
        )


def _install_from_sid() -> None:
    if this_distribution().name != "debian":
        raise EngineError(
            "this distribution has no package `apptainer`",
            next_step="install it as its documentation says for your distribution, then go on",
        )
    with tempfile.TemporaryDirectory(prefix="hpcctr-apptainer-") as folder:
        work = Path(folder)
        work.chmod(0o755)  # apt downloads as a user of its own
        download(work)
        unpack(work)
        _patch(work / "root", LIBRARIES)
        _put_in_place(work)


def download(work: Path) -> None:
    """Get the package and the libraries that it names, as .deb files, into `work`."""
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "cache" / "archives" / "partial").mkdir(parents=True)
    (work / "sources").write_text(sid_source(machine_mirror(), signed_by=KEYRING.exists()))
    options = apt_options(work)
    _run(["apt-get", *options, "update"])
    depends = _run(["apt-cache", *options, "depends", "apptainer"])
    _run(["apt-get", *options, "download", "apptainer", *parse_libraries(depends)], work)


def sid_source(mirror: str, *, signed_by: bool) -> str:
    """Write the line of sources.list(5) for sid."""
    option = f"[signed-by={KEYRING}] " if signed_by else ""
    return f"deb {option}{mirror} sid main\n"


def apt_options(work: Path) -> list[str]:
    """Return options that keep apt to folders of its own: the machine's sources stay unknown."""
    return [
        f"-oDir::Etc::SourceList={work / 'sources'}",
        "-oDir::Etc::SourceParts=-",
        f"-oDir::State::Lists={work / 'lists'}",
        f"-oDir::Cache={work / 'cache'}",
    ]


def parse_libraries(depends: str) -> list[str]:
    """Read the libraries out of `apt-cache depends PACKAGE`; their names change with sid."""
    names = [
        line.split(":", 1)[1].strip()
        for line in depends.splitlines()
        if line.strip().startswith(("Depends:", "PreDepends:"))
    ]
    return sorted({name for name in names if name.startswith("lib")} | {"libc6", "libgcc-s1"})


def unpack(work: Path) -> None:
    """Unpack Apptainer to `work/root` and the libraries to `work/libraries`."""
    for package in work.glob("*.deb"):
        target = "root" if package.name.startswith("apptainer_") else "libraries"
        _run(["dpkg", "-x", package, work / target])


def _patch(root: Path, libraries: Path) -> None:
    """Make the two programs use the loader and the libraries of sid."""
    starter = next(root.glob("usr/lib/*/apptainer/bin/starter"))
    for program in (root / "usr/bin/apptainer", starter):
        loader = Path(_run(["patchelf", "--print-interpreter", program]).strip()).name
        found = next((root.parent / "libraries").glob(f"usr/lib/*/{loader}"))
        folder = libraries / found.parent.relative_to(root.parent / "libraries")
        _run(["patchelf", "--set-interpreter", folder / loader, program])
        _run(["patchelf", "--force-rpath", "--set-rpath", folder, program])


def _put_in_place(work: Path) -> None:
    """Copy all to where it belongs, `/usr/bin/apptainer` last: it says that all is there."""
    shutil.rmtree(LIBRARIES, ignore_errors=True)
    LIBRARIES.parent.mkdir(parents=True, exist_ok=True)
    _run(["cp", "-a", work / "libraries", LIBRARIES])
    program = work / "root" / PROGRAM.relative_to("/")
    program.rename(work / "apptainer")
    _run(["cp", "-a", "--no-clobber", f"{work / 'root'}/.", "/"])
    _run(["cp", "-a", work / "apptainer", PROGRAM])


def _finish() -> None:
    """Add the link `singularity`, open FUSE to all, and fit a root that is not almighty."""
    link = PROGRAM.with_name("singularity")
    if not proc.find_program("singularity"):
        link.symlink_to("apptainer")
    if FUSE.exists() and stat.S_IMODE(FUSE.stat().st_mode) & 0o666 != 0o666:  # noqa: PLR2004 (read and write for all)
        FUSE.chmod(0o666)
    held, last = held_capabilities()
    if held != (1 << last + 1) - 1:
        # In a container, root lacks some capabilities, and Apptainer asks for all of them:
        # "Requesting capability set 0x… while permitted capability set is 0x…"
        _run(["apptainer", "config", "global", "--set", "root default capabilities", "file"])
        _run(["apptainer", "capability", "add", "--user", "root", ",".join(names_of(held))])


def _run(argv: Sequence[str | Path], cwd: Path | None = None) -> str:
    done = proc.run(argv, timeout_s=DOWNLOAD_S, cwd=cwd)
    if not done.ok:
        raise done.error("Apptainer could not be installed")
    return done.out
