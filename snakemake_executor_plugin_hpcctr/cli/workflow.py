"""What the commands about a rule share: their options, and how the rule is found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from snakemake_executor_plugin_hpcctr.bridge.load import Loaded
    from snakemake_executor_plugin_hpcctr.executor.preview import Preview, Purpose

Snakefile = Annotated[
    Path | None, typer.Option("--snakefile", "-s", help="The workflow, as for Snakemake.")
]
Directory = Annotated[
    Path | None, typer.Option("--directory", "-d", help="Working directory of the workflow.")
]
More = Annotated[
    str,
    typer.Option(
        "--snakemake",
        metavar="WORDS",
        help="More words for Snakemake, as one text: '--configfile test.yaml --profile mine'.",
    ),
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--resource",
        "-r",
        metavar="NAME=VALUE",
        help="A resource, in place of the rule's own; may be repeated.",
    ),
]


@dataclass(frozen=True)
class Selected:
    """A workflow, as the options of a command name it."""

    snakefile: Path | None = None
    directory: Path | None = None
    more: str = ""

    def words(self) -> list[str]:
        """Return words for Snakemake's command line.

        Raises:
            ConfigError: A quote without its partner.
        """
        from snakemake_executor_plugin_hpcctr.config.texts import parse_words  # noqa: PLC0415 (start-up)

        words = [] if self.snakefile is None else ["--snakefile", str(self.snakefile)]
        words += [] if self.directory is None else ["--directory", str(self.directory)]
        return [*words, *parse_words(self.more)]


def pairs(items: Iterable[str], what: str) -> dict[str, str]:
    """Read `NAME=VALUE` items.

    Raises:
        ConfigError: An item of another form.
    """
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise ConfigError(
                f"expected NAME=VALUE for a {what}, got {item!r}",
                next_step="wildcards follow the rule as NAME=VALUE; a command follows `--`",
            )
        found[name] = value
    return found


def preview(
    rule: str,
    wildcards: Mapping[str, str],
    workflow: Selected,
    given: Mapping[str, str],
    purpose: Purpose,
    key: str = "",
) -> Preview:
    """Return a rule's job as it would run.

    A job that the workflow does not make by default is planned by its wildcards, unless it was
    named by its durable key.

    Raises:
        HpcctrError: The workflow cannot be loaded, or has no such job.
    """
    from snakemake_executor_plugin_hpcctr.bridge.load import (  # noqa: PLC0415 (start-up time)
        rules_of,
        with_workflow,
    )
    from snakemake_executor_plugin_hpcctr.executor.preview import (  # noqa: PLC0415 (start-up time)
        preview_rule,
    )

    words = workflow.words()
    if given:
        words += ["--set-resources", *(f"{rule}:{name}={text}" for name, text in given.items())]
    needed: list[tuple[str, ...]] = []

    def look(loaded: Loaded) -> Preview | None:
        needed.append(rules_of(loaded.workflow).get(rule, ()))
        return preview_rule(loaded, rule, wildcards, purpose, key)

    found = with_workflow(words, look)
    if found is None and not key:
        found = with_workflow([*words, *_targeted(rule, wildcards, needed[0])], look)
    if found is None:
        raise ConfigError(
            f"the workflow plans no such job of rule {rule}",
            next_step="name the workflow with --snakefile and --snakemake as for its run, and the "
            "job by rule and wildcards",
        )
    return found


def _targeted(rule: str, wildcards: Mapping[str, str], needed: tuple[str, ...]) -> list[str]:
    """Return words that make Snakemake plan one job of a rule.

    Raises:
        ConfigError: A wildcard has no value.
    """
    lacking = [name for name in needed if name not in wildcards]
    if lacking:
        raise ConfigError(
            f"the workflow's default target needs no such job of rule {rule}",
            next_step=f"give a value for each wildcard: {' '.join(f'{n}=…' for n in needed)}",
        )
    values = ",".join(f"{name}={wildcards[name]}" for name in needed)
    return ["--target-jobs", f"{rule}:{values}"]
