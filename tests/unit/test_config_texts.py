from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.config import texts
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.task import Bind

HOME = {"HOME": "/home/u", "DATA": "/data"}
ITEM = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(str.strip).filter(bool)
PATH = st.from_regex(r"(/[a-z0-9_.,~ -]*[a-z0-9])+", fullmatch=True)
VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"))


@given(st.lists(ITEM))
def test_split_items_round_trip(items: list[str]) -> None:
    """Items with commas, newlines and backslashes come back once these are escaped."""
    escaped = [re.sub(r"([\\,\n])", r"\\\1", item) for item in items]
    assert items == texts.split_items(",".join(escaped))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a, b ,\n c,,", ["a", "b", "c"]),
        (r"a\,b,c", ["a,b", "c"]),
        (r"C:\x,d", [r"C:\x", "d"]),
        ("a\\", ["a\\"]),
    ],
)
def test_split_items(text: str, expected: list[str]) -> None:
    """Empty items vanish; a backslash before an ordinary letter stays."""
    assert expected == texts.split_items(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~", "/home/u"),
        ("~/x", "/home/u/x"),
        ("a~", "a~"),
        ("$DATA/${HOME}", "/data//home/u"),
        ("$$DATA", "$DATA"),
        ("cost$", "cost$"),
        ("$1", "$1"),
    ],
)
def test_expand(text: str, expected: str) -> None:
    """A leading `~` and variables are replaced, `$$` is a dollar sign."""
    assert expected == texts.expand(text, HOME)


def test_expand_names_the_missing_variable() -> None:
    """A variable that is not set is an error that names it."""
    with pytest.raises(ConfigError, match=r"`\$SLURM_TMPDIR` in '\$SLURM_TMPDIR/x' is not set"):
        texts.expand("$SLURM_TMPDIR/x", HOME)


@given(PATH, PATH, st.booleans())
def test_bind_text_and_mapping_agree(source: str, target: str, read_only: bool) -> None:  # noqa: FBT001 (drawn)
    """A bind means the same as text and as mapping, and its own text reads back as itself."""
    text = f"{source}:{target}" + (":ro" if read_only else "")
    bind = texts.parse_bind(text, {})
    mapping = {"source": source, "target": target, "read_only": str(read_only)}
    assert bind == texts.parse_bind(mapping, {})
    assert bind == texts.parse_bind(str(bind), {})


def test_bind_mapping_takes_any_path() -> None:
    """A path with a colon can be bound as a mapping; the target defaults to the source."""
    expected = Bind(source="/a:b", target="/a:b")
    assert expected == texts.parse_bind({"source": "/a:b"}, {})


@pytest.mark.parametrize(
    "value",
    [
        "data:/data",
        "/a:/b:rw:x",
        {"source": "data"},
        {"source": "/a", "target": "b"},
        {"src": "/a"},
        {"source": "/a", "mode": "ro"},
        {"source": "/a", "read_only": "perhaps"},
        {},
    ],
)
def test_bind_refused(value: object) -> None:
    """Relative paths, unknown keys and unknown modes are refused."""
    with pytest.raises(ConfigError):
        texts.parse_bind(value, {})


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), VALUE))
def test_env_file_takes_values_literally(variables: dict[str, str]) -> None:
    """A quoted value of an env_file arrives byte for byte, whatever stands in it."""
    text = "".join(f'{name}="{value}"\n' for name, value in variables.items())
    assert variables == texts.parse_env_file(text, "x.env")


def test_env_file_forms() -> None:
    """Comments, empty lines, `export`, white space and one pair of quotes are understood."""
    text = "# c\n\n export A=1 \r\nB='x y'\nC=\"'q'\"\nD=a # b\nE=\nF=$HOME `id`\nA=2\n"
    expected = {
        "A": "2",
        "B": "x y",
        "C": "'q'",
        "D": "a # b",
        "E": "",
        "F": "$HOME `id`",
    }
    assert expected == texts.parse_env_file(text, "x.env")


@pytest.mark.parametrize("line", ["no equals", "1A=2", "=2", "A B=2"])
def test_env_file_error_names_the_line(line: str) -> None:
    """A line that sets nothing is an error with file and line."""
    with pytest.raises(ConfigError) as caught:
        texts.parse_env_file(f"OK=1\n{line}\n", "x.env")
    assert caught.value.where == "x.env:2"


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), VALUE))
def test_assignments_take_values_literally(variables: dict[str, str]) -> None:
    """`NAME=VALUE` items are cut at the first `=` only."""
    items = [f"{name}={value}" for name, value in variables.items()]
    assert variables == texts.parse_assignments(items)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("--a --b=c", ("--a", "--b=c")),
        ("--comment='x y'", ("--comment=x y",)),
        ("'--a --b'", ("--a", "--b")),
        ('"--a"', ("--a",)),
        ("'--a' '--b'", ("--a", "--b")),
        (["--a b", 3], ("--a b", "3")),
        ("", ()),
    ],
)
def test_words(value: object, expected: tuple[str, ...]) -> None:
    """Text is split as a shell would, one outer pair of quotes dropped; a list stays."""
    assert expected == texts.parse_words(value)


def test_words_with_a_lonely_quote() -> None:
    """A quote without its partner is an error."""
    with pytest.raises(ConfigError, match="has no partner"):
        texts.parse_words("--a='b")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("images/x.sif", True),
        ("./dir", True),
        ("../x", True),
        ("/abs/dir", True),
        ("~/x.sqsh", True),
        ("docker://a/b.sif", False),
        ("ubuntu:22.04", False),
        ("nvcr.io/nvidia/pytorch:23.12-py3", False),
        ("science", False),
    ],
)
def test_is_image_file(reference: str, expected: bool) -> None:  # noqa: FBT001 (the table's value)
    """A reference is a path if it begins or ends as one."""
    assert expected is texts.is_image_file(reference)
