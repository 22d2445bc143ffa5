"""The Snakefile that loads a workflow once per trial: text only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.sweep.naming import rule_of_trial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snakemake_executor_plugin_hpcctr.sweep.trials import Trial

CONFIGFILE = re.compile(
    r"^configfile:\s*(?P<quote>[\"'])(?P<file>[^\"'\n]+)(?P=quote)", re.MULTILINE
)
SWEEP = re.compile(r"^(?!\s*#).*\bSweep\(", re.MULTILINE)

HEAD = """\
# Written by `hpcctr sweep run`, which writes it anew each time: one copy of the workflow per
# trial, each with its own configuration and folder.
from snakemake_executor_plugin_hpcctr.bridge.copies import Copies
{configfile}

copies = Copies({round_file!r}, config)


module original:
    snakefile: {snakefile!r}
    config: config


use rule * from original as *__original


copies.learn(workflow)
"""
COPY = """

module trial_{digest}:
    snakefile: {snakefile!r}
    config: copies.config({digest!r})
    replace_prefix: copies.places({digest!r})


use rule * from trial_{digest} as {rules}
"""
TAIL = """

rule sweep:
    default_target: True
    input: copies.targets(rules)
"""


def is_written_for_sweeps(snakefile: str) -> bool:
    """Tell whether a Snakefile opens its sweep itself."""
    return SWEEP.search(snakefile) is not None


def config_file(snakefile: str) -> str | None:
    """Return the configuration file that a Snakefile names, None if it names none."""
    match = CONFIGFILE.search(snakefile)
    return match["file"] if match else None


def render_copies(
    snakefile: str, config: str | None, round_file: str, trials: Iterable[Trial]
) -> str:
    """Return the Snakefile.

    Args:
        snakefile: Absolute path of the workflow's own.
        config: The configuration file that it names.
        round_file: Where the trials are written down.
        trials: The trials.
    """
    head = HEAD.format(
        configfile=f"\n\nconfigfile: {config!r}" if config else "",
        round_file=round_file,
        snakefile=snakefile,
    )
    copies = [
        COPY.format(digest=one.digest, snakefile=snakefile, rules=rule_of_trial("*", one.digest))
        for one in trials
    ]
    return "".join([head, *copies, TAIL])
