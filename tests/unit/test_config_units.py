from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.config.units import (
    describe_memory,
    parse_count,
    parse_gpu,
    parse_memory,
    parse_minutes,
    parse_switch,
)
from snakemake_executor_plugin_hpcctr.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("32GB", 32000),
        ("2 GB", 2000),
        ("500MB", 500),
        ("1TB", 1_000_000),
        ("1.5gb", 1500),
        ("100KB", 1),
        ("1000000B", 1),
        ("32GiB", 32768),
        ("512MiB", 512),
        ("1TiB", 1_048_576),
        ("1KiB", 1),
        ("2G", 2048),
        ("512m", 512),
        ("1T", 1_048_576),
        ("4000", 4000),
        (4000, 4000),
        (0.5, 1),
        ("0", 0),
    ],
)
def test_memory(text: object, expected: int) -> None:
    """Decimal units are Snakemake's MB, binary and bare ones Slurm's, a number is MB."""
    assert expected == parse_memory(text)


@pytest.mark.parametrize("text", ["", "lots", "-1", -5, "2 XB", "1e3GB", True, None, math.inf, "٣"])
def test_memory_refused(text: object) -> None:
    """What is no amount of memory is refused, and the message shows it."""
    with pytest.raises(ConfigError) as caught:
        parse_memory(text)
    assert f"expected an amount of memory, got {text!r}" == caught.value.what


@given(st.integers(min_value=1, max_value=10**6), st.sampled_from(["MB", "GB", "TB"]))
def test_memory_agrees_with_snakemake(amount: int, unit: str) -> None:
    """Decimal amounts become the number that Snakemake's `mem_mb` has."""
    factor = {"MB": 1, "GB": 1000, "TB": 1000**2}[unit]
    assert amount * factor == parse_memory(f"{amount}{unit}")


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_memory_never_asks_for_less(amount: float) -> None:
    """Part of a MB counts as a whole one."""
    assert parse_memory(amount) == math.ceil(amount)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(0, "not asked for"), (500, "500M (500 MiB)"), (32000, "32000M (31.2 GiB)")],
)
def test_describe_memory(amount: int, expected: str) -> None:
    """People see what Slurm is told and how much that is."""
    assert expected == describe_memory(amount)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (90, 90),
        ("90", 90),
        (1.5, 2),
        ("1h30m", 90),
        ("1.5 hours", 90),
        ("2d", 2880),
        ("2d12h", 3600),
        ("1 week", 10080),
        ("30s", 1),
        ("90:30", 91),
        ("1:30:00", 90),
        ("1-12", 2160),
        ("1-12:30", 2190),
        ("1-12:30:01", 2191),
        ("0", 0),
    ],
)
def test_minutes(text: object, expected: int) -> None:
    """Numbers are minutes; units and Slurm's forms are read; a started minute counts."""
    assert expected == parse_minutes(text)


@pytest.mark.parametrize(
    "text", ["", "soon", "1x", "h", "1h30", "UNLIMITED", -1, True, None, "1:2:3:4"]
)
def test_minutes_refused(text: object) -> None:
    """What is no time limit is refused."""
    with pytest.raises(ConfigError, match="expected a time limit"):
        parse_minutes(text)


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_minutes_forms_agree(days: int, hours: int, minutes: int, seconds: int) -> None:
    """Slurm's longest form and the form with units mean the same time."""
    slurm = f"{days}-{hours:02}:{minutes:02}:{seconds:02}"
    assert parse_minutes(f"{days}d{hours}h{minutes}m{seconds}s") == parse_minutes(slurm)


@pytest.mark.parametrize(("value", "expected"), [(3, 3), ("3", 3), (3.0, 3), (" 3 ", 3), (0, 0)])
def test_count(value: object, expected: int) -> None:
    """Whole numbers are read from numbers and texts."""
    assert expected == parse_count(value)


@pytest.mark.parametrize("value", [True, "1.5", 1.5, "x", None, -1, [1]])
def test_count_refused(value: object) -> None:
    """A switch, a fraction, a word and a number below the least are no count."""
    with pytest.raises(ConfigError):
        parse_count(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), ("Yes", True), ("on", True), (1, True), ("off", False), (0, False)],
)
def test_switch(value: object, expected: bool) -> None:  # noqa: FBT001 (the table's value)
    """The usual words for true and false are read."""
    assert expected is parse_switch(value)


def test_switch_refused() -> None:
    """Other words are refused."""
    with pytest.raises(ConfigError, match="expected true or false, got 'maybe'"):
        parse_switch("maybe")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2, (2, None)), ("2", (2, None)), ("a100:2", (2, "a100")), (0, (0, None))],
)
def test_gpu(value: object, expected: tuple[int, str | None]) -> None:
    """GPUs are a count, or a model and a count."""
    assert expected == parse_gpu(value)


@pytest.mark.parametrize("value", [-1, "a100", "a100:-1", "a,b:1", True, 1.5, ""])
def test_gpu_refused(value: object) -> None:
    """A negative count, a model alone and other forms are refused."""
    with pytest.raises(ConfigError, match="expected a number of GPUs"):
        parse_gpu(value)
