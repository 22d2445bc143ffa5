"""One row of the table of causes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.diagnosis.match import state_word
from snakemake_executor_plugin_hpcctr.diagnosis.plain import printable
from snakemake_executor_plugin_hpcctr.diagnosis.words import node, place

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause, Evidence
    from snakemake_executor_plugin_hpcctr.diagnosis.match import Finding, Matcher

Words = str | Callable[["Evidence", "Finding"], str]


@dataclass(frozen=True)
class Row:
    """What a failure looks like, what it means, what to do.

    Args:
        cause: The kind of failure.
        found: Tells whether the evidence shows it.
        sentence: A text with the fields of `write`, or a function where numbers are computed.
        advice: Likewise.
    """

    cause: Cause
    found: Matcher
    sentence: Words
    advice: Words

    @staticmethod
    def write(text: Words, evidence: Evidence, found: Finding) -> str:
        """Fill in what is known: {what} {node} {place} {image} {engine} {gpus} {state} {setup}.

        {named} is {what} after a colon, and nothing where there is no such thing.
        """
        if callable(text):
            return printable(text(evidence, found))
        filled = text.format(
            what=found.what,
            named=f": {found.what}" if found.what else "",
            setup=f"{evidence.setup_failure} {evidence.setup_detail}",
            node=node(evidence),
            place=place(evidence),
            image=evidence.image,
            engine=evidence.engine,
            gpus=evidence.gpus,
            state=state_word(evidence),
        )
        return printable(filled)
