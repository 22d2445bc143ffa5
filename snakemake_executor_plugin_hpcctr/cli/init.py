"""`hpcctr init`: a workflow of one's own, from a template, that runs at once."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
#: In an installed package, and in its source.
PLACES = (PACKAGE / "templates", PACKAGE.parent / "workflows")
#: Not part of a template: what a run leaves, and the script of `make demo`.
LEFT_BY_RUNS = (".snakemake", "__pycache__", "results", "logs", "images", "demo.sh")
PROFILE = Path("profiles/default/config.yaml")
PROFILE_HEAD = "# Read by `snakemake` in this folder: https://snakemake.readthedocs.io, profiles.\n"


def init(
    template: Annotated[
        str | None, typer.Argument(metavar="TEMPLATE", help="One of those that are listed.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A new folder. Default: the template's.")
    ] = None,
    *,
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Slurm account of all tasks.")
    ] = None,
    partition: Annotated[
        str | None, typer.Option(metavar="PARTITION", help="Slurm partition of all tasks.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="ENGINE", help="Engine of all rules; host for no container."),
    ] = None,
) -> None:
    """Make a workflow from a template, or list the templates.

    What no flag says is asked for on a terminal; an empty answer leaves it to the cluster and to
    the template. Afterwards the command is `snakemake`. Nothing is overwritten.
    """
    found = templates()
    if template is None:
        output.data(output.table((name, about(folder)) for name, folder in found.items()))
        return
    source = chosen(template, found)
    target = directory or Path(template)
    refuse_what_is_there(target)
    flags = {"account": account, "partition": partition, "engine": engine}
    answers = {name: _asked(name) if given is None else given for name, given in flags.items()}
    text = profile(answers)
    write(source, target, text)
    output.note(f"{target} is a workflow; its README.md says what it does. Run it:")
    output.data(f"cd {shlex.quote(str(target))} && snakemake")


def write(source: Path, target: Path, text: str) -> None:
    """Write a template into a folder, and the profile into that.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        shutil.copytree(
            source, target, ignore=shutil.ignore_patterns(*LEFT_BY_RUNS), dirs_exist_ok=True
        )
        (target / PROFILE).parent.mkdir(parents=True, exist_ok=True)
        (target / PROFILE).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write to {target}: {error.strerror or error}",
            next_step="free space or permissions there, or name another folder; what is there of "
            "this one is not whole",
        ) from None


def templates() -> dict[str, Path]:
    """Return name and folder of all templates.

    Raises:
        ConfigError: There are none.
    """
    for place in PLACES:
        files = sorted(place.glob("*/workflow/Snakefile"))
        if files:
            return {file.parents[1].name: file.parents[1] for file in files}
    raise ConfigError(
        "the templates are missing", next_step="install snakemake-executor-plugin-hpcctr again"
    )


def about(folder: Path) -> str:
    """Return the first sentence of a template's README, which says what it is."""
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    first = next(line for line in lines if line and not line.startswith("#"))
    return first.partition(". ")[0].rstrip(".")


def chosen(name: str, found: dict[str, Path]) -> Path:
    """Return a template's folder.

    Raises:
        ConfigError: There is no such template.
    """
    from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean  # noqa: PLC0415 (start-up time)

    if name not in found:
        raise ConfigError(
            f"there is no template `{name}`",
            next_step=did_you_mean(name, found) or f"the templates are {', '.join(found)}",
        )
    return found[name]


def refuse_what_is_there(target: Path) -> None:
    """Refuse a folder that holds something, and a file.

    Raises:
        ConfigError: It does.
    """
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        what = "is not empty" if target.is_dir() else "is not a folder"
        raise ConfigError(f"{target} {what}", next_step="name another folder: nothing is replaced")


def profile(answers: dict[str, str]) -> str:
    """Return the Snakemake profile.

    Raises:
        ConfigError: There is no such engine.
    """
    from snakemake_executor_plugin_hpcctr.config.fields import ENGINES  # noqa: PLC0415 (start-up time)

    engine = answers["engine"]
    if engine and engine not in ENGINES:
        raise ConfigError(
            f"there is no engine `{engine}`",
            where="--engine",
            next_step=f"the engines are {', '.join(ENGINES)}",
        )
    lines = ["executor: hpcctr", "jobs: 100"]
    # JSON's quotes are YAML's: `no` stays a name.
    lines += [f"hpcctr-{name}: {json.dumps(answer)}" for name, answer in answers.items() if answer]
    return PROFILE_HEAD + "\n".join(lines) + "\n"


def _asked(name: str) -> str:
    if not sys.stdin.isatty():
        return ""
    answer: str = typer.prompt(f"{name.capitalize()} (Enter: none)", default="", show_default=False)
    return answer.strip()
