"""`hpcctr lab …`: a real, throw-away Slurm on this machine."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snakemake_executor_plugin_hpcctr.cli import output

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab, LabStatus

app = typer.Typer(
    help="Start a real, throw-away Slurm on this machine, to try things out and to test.",
    no_args_is_help=True,
)
Directory = Annotated[Path, typer.Option("--dir", help="Folder of the lab.")]
FOLDER = Path(".lab")


class Auth(StrEnum):
    """Values of `--auth`."""

    AUTO = "auto"
    MUNGE = "munge"
    NONE = "none"


class MemoryLimit(StrEnum):
    """Values of `--memory-limit`."""

    AUTO = "auto"
    CGROUP = "cgroup"
    SAMPLED = "sampled"
    NONE = "none"


@app.command()
def up(  # noqa: PLR0913 (one parameter per option)
    *,
    directory: Directory = FOLDER,
    nodes: Annotated[int, typer.Option(min=1, help="Number of nodes: n1, n2 and so on.")] = 2,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs that each node claims to have.")] = 8,
    memory: Annotated[
        int, typer.Option(min=1, metavar="MB", help="Memory that each node claims to have.")
    ] = 16000,
    gpus: Annotated[
        int, typer.Option(min=0, help="GPUs of each node; fake ones where there are none.")
    ] = 2,
    accounting: Annotated[
        bool, typer.Option(help="Also start slurmdbd and MariaDB, so that `sacct` answers.")
    ] = False,
    auth: Annotated[Auth, typer.Option(help="How the daemons trust each other.")] = Auth.AUTO,
    memory_limit: Annotated[
        MemoryLimit,
        typer.Option(help="What ends a job that takes more memory than it asked for."),
    ] = MemoryLimit.AUTO,
    plugstack: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Include FILE in plugstack.conf; may be repeated."),
    ] = None,
) -> None:
    """Start the lab; prints the line that makes Slurm's commands use it.

    In a shell: eval "$(hpcctr lab up)"
    """
    lab = _lab(
        directory,
        nodes=nodes,
        cpus=cpus,
        memory_mb=memory,
        gpus=gpus,
        accounting=accounting,
        auth=auth.value,
        memory_limit=memory_limit.value,
        plugstack=tuple(plugstack or ()),
    )
    lab.up()
    output.note(render_status(lab.status()))
    output.data(f"export SLURM_CONF={shlex.quote(lab.environ['SLURM_CONF'])}")


@app.command()
def down(*, directory: Directory = FOLDER) -> None:
    """End the lab with all its jobs; configuration and logs stay until the next start."""
    lab = _lab(directory)
    folder = lab.layout.directory
    output.note(
        f"the lab in `{folder}` is down" if lab.down() else f"no lab was started in `{folder}`"
    )


@app.command()
def status(
    *,
    directory: Directory = FOLDER,
    json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Show the lab's daemons and nodes; exit code 1 if it does not run."""
    found = _lab(directory).status()
    if json:
        output.as_json(status_data(found))
    else:
        output.data(render_status(found))
    raise typer.Exit(0 if found.running else 1)


@app.command()
def packages(
    *,
    install: Annotated[bool, typer.Option("--install", help="Install them (as root).")] = False,
    accounting: Annotated[bool, typer.Option(help="Also what `up --accounting` needs.")] = False,
) -> None:
    """List missing Debian packages and print the command that installs them.

    Exit code 1 if any is missing.
    """
    from snakemake_executor_plugin_hpcctr.lab import packages as debian  # noqa: PLC0415 (start-up)

    lacking = debian.all_missing(accounting=accounting)
    if not lacking:
        output.note("no package is missing")
        return
    output.note(output.table([("package", "program", "for"), *lacking]))
    needed = {package for package, _, _ in lacking}
    if install:
        debian.install(needed)
        return
    output.data(shlex.join(debian.apt_command(needed)))
    raise typer.Exit(1)


@app.command()
def apptainer() -> None:
    """Install Apptainer: from the distribution, or on Debian from sid, beside its C library."""
    from snakemake_executor_plugin_hpcctr.lab.apptainer import (  # noqa: PLC0415 (start-up)
        install_apptainer,
    )

    output.data(install_apptainer())


@app.command()
def image(
    *,
    directory: Annotated[Path, typer.Option("--dir", help="Folder for the images.")] = FOLDER
    / "images",
) -> None:
    """Build a small image to try things out with: Debian, Python and numpy (about a minute)."""
    from snakemake_executor_plugin_hpcctr.lab.image import (  # noqa: PLC0415 (start-up)
        build_base_image,
    )

    built = build_base_image(directory.absolute())
    for path in (built.sif, built.sqsh):
        if path.exists():
            output.data(str(path))
    if not built.sif.exists():
        output.note(
            f"`{built.sif.name}` needs Apptainer: run `hpcctr lab apptainer`, then this again"
        )


def status_data(found: LabStatus) -> dict[str, object]:
    """Return the status as plain values, for JSON."""
    machine = found.state.machine if found.state else None
    return {
        "directory": found.directory,
        "running": found.running,
        "slurm_conf": found.slurm_conf,
        "slurm_version": None if machine is None else "{}.{:02d}".format(*machine.version),
        "auth": None if machine is None else machine.auth,
        "memory_limit": None if machine is None else machine.memory_limit,
        "accounting": None if found.state is None else found.state.settings.accounting,
        "daemons": found.daemons,
        "nodes": found.nodes,
    }


def render_status(found: LabStatus) -> str:
    """Return the status for people."""
    if found.state is None:
        return f"no lab was started in `{found.directory}`"
    machine = found.state.machine
    rows = [
        ("lab", f"{found.directory} ({'running' if found.running else 'not running'})"),
        ("slurm", "{}.{:02d}".format(*machine.version)),
        ("auth", machine.auth),
        ("memory limit", machine.memory_limit),
        *((name, f"pid {pid}" if pid else "has ended") for name, pid in found.daemons.items()),
        *(("node " + name, state) for name, state in found.nodes.items()),
    ]
    return output.table(rows)


def _lab(directory: Path, **settings: object) -> Lab:
    from snakemake_executor_plugin_hpcctr.lab import Lab, LabSettings  # noqa: PLC0415 (start-up)

    return Lab(LabSettings.model_validate({"directory": directory, **settings}))
