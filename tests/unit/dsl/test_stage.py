"""How inputs appear in a task's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl import DslError
from snakemake_executor_plugin_hpcctr.dsl.interpolate import as_text, fill
from snakemake_executor_plugin_hpcctr.dsl.model import Input
from snakemake_executor_plugin_hpcctr.dsl.runtime.stage import stage, staged_names

ONE = ["x.fa"]
TWO = ["a.fa", "b.fa"]


@pytest.mark.parametrize(
    ("pattern", "names", "expected"),
    [
        ("", TWO, TWO),
        ("*", TWO, TWO),
        ("seq", ONE, ["seq"]),
        ("seq", TWO, ["seq1", "seq2"]),
        ("f*.e", ONE, ["f.e"]),
        ("f*.e", TWO, ["f1.e", "f2.e"]),
        ("f?.e", ONE, ["f1.e"]),
        ("f??.e", ONE, ["f01.e"]),
        ("f??.e", TWO, ["f01.e", "f02.e"]),
        ("f?.e", ["n"] * 10, [f"f{n}.e" for n in range(1, 11)]),
        ("dir/*", TWO, ["dir/a.fa", "dir/b.fa"]),
        ("dir*/*", ONE, ["dir1/x.fa"]),
        ("dir*/*", TWO, ["dir1/a.fa", "dir2/b.fa"]),
        ("dir??/*", TWO, ["dir01/a.fa", "dir02/b.fa"]),
        ("dir/name", ONE, ["dir/name"]),
    ],
)
def test_patterns_of_names(pattern: str, names: list[str], expected: list[str]) -> None:
    """Names follow Nextflow's table of patterns."""
    assert expected == staged_names(pattern, names)


def taken(declared: Input, value: Any, *more: tuple[Input, Any]) -> Any:
    """Return the staging of some inputs."""
    inputs = [declared, *(one for one, _ in more)]
    values = [value, *(given for _, given in more)]
    return stage(inputs, values, lambda t, known: fill(t, known.keys(), known.__getitem__, as_text))


FILES = Input(name="files", kind="path")


def test_one_file_is_a_path_several_are_a_list() -> None:
    """The script sees one name, or a list of them."""
    assert Path("a.fa") == taken(FILES, Path("/d/a.fa")).values["files"]
    found = taken(FILES, [Path("/d/a.fa"), Path("/d/b.fa")])
    assert [Path("a.fa"), Path("b.fa")] == found.values["files"]
    assert ["/d/a.fa", "/d/b.fa"] == [str(link.source) for link in found.links]


def test_arity_decides_the_form() -> None:
    """`'1'` gives a path, any other arity a list."""
    one = FILES.model_copy(update={"arity": (1, 1)})
    many = FILES.model_copy(update={"arity": (1, None)})
    assert Path("a") == taken(one, [Path("/d/a")]).values["files"]
    assert [Path("a")] == taken(many, Path("/d/a")).values["files"]


@pytest.mark.parametrize(
    ("arity", "count", "said"),
    [
        ((1, 1), 2, "wants 1 file(s), got 2"),
        ((2, None), 1, "2 to any number"),
        ((0, 1), 2, "0 to 1"),
    ],
)
def test_a_wrong_number_of_files(arity: tuple[int, int | None], count: int, said: str) -> None:
    """A number of files outside of the arity is an error."""
    declared = FILES.model_copy(update={"arity": arity})
    with pytest.raises(DslError) as caught:
        taken(declared, [Path(f"/d/{n}") for n in range(count)])
    assert said in caught.value.what


def test_a_name_may_use_other_inputs() -> None:
    """`"${id}.fa"` is filled with the input `id`, wherever that stands."""
    declared = Input(name="seq", kind="path", stage_as="${id}.fa")
    found = taken(declared, Path("/d/x.fa"), (Input(name="id"), "s1"))
    assert Path("s1.fa") == found.values["seq"]


def test_elements_of_a_tuple_have_names_of_their_own() -> None:
    """Each element is staged in its way, and the tuple holds what the script sees."""
    parts = [Input(name="id"), Input(name="reads", kind="path")]
    declared = Input(name="sample", kind="tuple", parts=parts)
    found = taken(declared, ("s1", [Path("/d/a"), Path("/d/b")])).values
    assert "s1" == found["id"]
    assert ("s1", [Path("a"), Path("b")]) == found["sample"]


def test_variables_and_stdin() -> None:
    """`env` becomes a variable, `stdin` is kept for the pipe."""
    found = taken(
        Input(name="x", kind="env", variable="LEVEL"), 3, (Input(name="s", kind="stdin"), "text")
    )
    assert ({"LEVEL": "3"}, "text") == (found.variables, found.stdin)


def test_two_files_with_one_name() -> None:
    """Two inputs that would have one name are refused, both named."""
    with pytest.raises(DslError, match="both be named `a`") as caught:
        taken(FILES, Path("/one/a"), (Input(name="other", kind="path"), Path("/two/a")))
    assert "/one/a" in caught.value.what
    assert "/two/a" in caught.value.what


def test_what_is_no_file() -> None:
    """URIs are not downloaded, None is no file unless it is allowed."""
    with pytest.raises(DslError, match="does not download"):
        taken(FILES, "https://example.org/a")
    with pytest.raises(DslError, match="takes a file"):
        taken(FILES, None)
    optional = FILES.model_copy(update={"optional": True})
    assert taken(optional, None).values["files"] is None
