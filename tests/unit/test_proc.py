"""How programs are run that cannot be started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "mode", "code", "said"),
    [
        ("#!/bin/sh\n", 0o644, 126, "Permission denied"),
        ("no program", 0o755, 126, "Exec format error"),
        ("#!/no/such/shell\n", 0o755, proc.NOT_FOUND, "command not found"),
    ],
)
def test_a_program_that_cannot_be_started_is_told(
    tmp_path: Path, content: str, mode: int, code: int, said: str
) -> None:
    """It is an answer like any other, not an exception in the middle of a poll."""
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(mode)
    for done in (proc.run([program]), proc.feed([program], lambda _: None)):
        assert (code, f"{program}: {said}") == (done.code, done.err)
