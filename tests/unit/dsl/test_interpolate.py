from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl.interpolate import as_text, as_words, fill

VALUES: dict[str, Any] = {
    "x": 0.1,
    "flag": True,
    "none": None,
    "file": Path("my file.txt"),
    "files": [Path("a"), Path("b c")],
    "meta": {"id": "s1", "odd key": 2},
    "pair": ("left", "right"),
    "task": SimpleNamespace(cpus=4, ext={"args": "-v"}),
}
CASES = {
    "${x}": "0.1",
    "a${x}b": "a0.1b",
    "${ x }": "0.1",
    "${flag} ${none}|": "true |",
    "${file}": "'my file.txt'",
    "${files}": "a 'b c'",
    "${file.suffix}": ".txt",
    "${meta.id} ${meta['odd key']}": "s1 2",
    "${pair[1]} ${pair[-2]}": "right left",
    "${task.cpus} ${task.ext.args}": "4 -v",
    "${files[0]}": "a",
}
LEFT_ALONE = (
    "$x", "$1", "${HOME}", "${x%.gz}", "${a[@]}", "$(date)", "{x}", "$$", "${#x}", "${x:-1}",
    "awk '{print $1}'", "${undeclared}", "cat <<EOF\n$x\nEOF",
)  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_declared_names_are_filled(text: str) -> None:
    """`${name}` with attributes, keys and indices becomes its value, files quoted."""
    assert CASES[text] == fill(text, VALUES.keys(), VALUES.__getitem__, as_words)


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_everything_else_is_the_shells(text: str) -> None:
    """Shell variables, expansions, substitutions and braces are left as they are."""
    assert text == fill(text, VALUES.keys(), VALUES.__getitem__, as_words)


def test_names_of_files_in_plain_text() -> None:
    """In tags and file names a file is its name, unquoted."""
    assert "my file.txt a b c" == f"{as_text(VALUES['file'])} {as_text(VALUES['files'])}"
