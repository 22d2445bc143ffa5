"""What makes a task the same task in the next run, and what does not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.unit.dsl.planned import keys, plan

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = '''
LIMIT = 3


def helper(text):
    """Say it louder."""
    return text.upper()


class first(Process, container="one.sif", cpus=2, ext={{"args": "-q", "other": "x"}}):
    n: In[int]
    data: In[Path]
    made: Out[tuple[int, Path]] = out(val("n"), path("*.txt"))
    script = r"""
    tool ${{task.ext.args}} ${{n}} ${{data}} > a.txt
    """


class second(Process):
    x: In[tuple[int, str]]
    done: Out[Path] = out(path("b.txt"))
    script = r"""
    echo ${{x[1]}} > b.txt
    """


class other(Process):
    n: In[int]
    done: Out[Path] = out(path("c.txt"))
    script = r"""
    echo ${{n}} ${{params.word}} > c.txt
    """


@workflow
def main(word: str = "w"):
    captured = 5
    made = first(channel.of(1, 2), Path({data!r})).made
    second(made.map(lambda n, file: (n, helper(file.read_text()) + str(captured))))
    other(channel.of(1))
'''
ALL = {"first", "second", "other"}
BEHIND = {"first", "second"}
CHANGES = {
    "an input value": ("channel.of(1, 2)", "channel.of(1, 3)", BEHIND),
    "the script": ("${{n}} ${{data}} >", "${{n}}  ${{data}} >", BEHIND),
    "the container": ("one.sif", "two.sif", BEHIND),
    "an ext value that the script names": ('"args": "-q"', '"args": "-v"', BEHIND),
    "an ext value that it does not name": ('"other": "x"', '"other": "y"', set()),
    "the request": ("cpus=2", "cpus=3", set()),
    "the function of a deferred map": ("helper(file", "helper('!' + file", {"second"}),
    "a helper function": ("text.upper()", "text.lower()", {"second"}),
    "a helper's docstring": ("Say it louder", "Say it", set()),
    "a captured value": ("captured = 5", "captured = 6", {"second"}),
    "an unused constant": ("LIMIT = 3", "LIMIT = 4", set()),
    "an output's pattern": ("c.txt", "d.txt", {"other"}),
}


def _changed(folder: Path, old: str, new: str, **arguments: str) -> set[str]:
    """Return the calls that have another key after a change of the file."""
    data = folder / "data.csv"
    if not data.exists():
        data.write_text("1\n")
    before = plan(folder, PIPELINE.format(data=str(data)), word="w")
    text = PIPELINE.replace(old, new)
    after = plan(folder, text.format(data=str(data)), **{"word": "w", **arguments})
    then, now = keys(before), keys(after)
    return {name for name in then if then[name] != now[name]}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_what_depends_on_it(change: str, tmp_path: Path) -> None:
    """Each change gives new keys to the processes that depend on it, and to no other."""
    old, new, expected = CHANGES[change]
    assert old in PIPELINE
    assert expected == _changed(tmp_path, old, new)


def test_layout_of_the_file_does_not_matter(tmp_path: Path) -> None:
    """Indentation of scripts, comments and line breaks in lambdas leave all keys alone."""
    spread = "lambda n, file: (\n        n,  # a comment\n        helper("
    assert set() == _changed(tmp_path, "lambda n, file: (n, helper(", spread)
    assert set() == _changed(tmp_path, "\n    tool ", "\n\n        tool ".replace("\n\n", "\n"))


def test_a_parameter_reruns_what_names_it(tmp_path: Path) -> None:
    """A parameter that a script names as `params.NAME` is part of that process's keys only."""
    assert {"other"} == _changed(tmp_path, "LIMIT", "LIMIT", word="v")


def test_a_source_file_counts_by_size_and_time(tmp_path: Path) -> None:
    """A changed input file gives new keys to its process and to all behind it."""
    assert set() == _changed(tmp_path, "LIMIT", "LIMIT")
    data = tmp_path / "data.csv"
    before = keys(plan(tmp_path, PIPELINE.format(data=str(data)), word="w"))
    os.utime(data, ns=(1, 1))
    after = keys(plan(tmp_path, PIPELINE.format(data=str(data)), word="w"))
    assert BEHIND == {name for name in before if before[name] != after[name]}


def test_equal_tasks_have_keys_of_their_own(tmp_path: Path) -> None:
    """Two equal items make two tasks; the second key ends in `~2`."""
    text = PIPELINE.replace("channel.of(1, 2)", "channel.of(1, 1)")
    found = sorted(keys(plan(tmp_path, text.format(data="/nowhere"), word="w"))["first"])
    assert 2 == len(found)
    assert f"{found[0]}~2" == found[1]
