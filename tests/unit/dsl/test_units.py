from __future__ import annotations

import pytest

from snakemake_executor_plugin_hpcctr.dsl.units import Duration, Memory


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1 KB", 1024), ("4 GB", 4 * 1024**3), ("4.GB", 4 * 1024**3), ("512.MB", 512 * 1024**2),
        ("1.5 GB", 1536 * 1024**2), ("2GiB", 2 * 1024**3), ("2 T", 2 * 1024**4), (100, 100),
    ],
)  # fmt: skip
def test_memory_is_binary(text: str | int, amount: int) -> None:
    """1 GB is 1024³ bytes, as in Nextflow."""
    assert amount == Memory(text)


def test_memory_prints_with_its_unit() -> None:
    """`${task.memory}` is `16 GB`; methods give numbers."""
    assert "16 GB" == str(Memory("16 GB")) == f"{Memory('16 GB')}"
    assert "1.5 GB" == str(Memory("1536 MB"))
    assert (16, 16 * 1024) == (Memory("16 GB").toGiga(), Memory("16 GB").toMega())


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1h 30m", 5_400_000), ("1h30m", 5_400_000), ("2 days", 172_800_000), ("90s", 90_000),
        ("500ms", 500), ("1:30:00", 5_400_000), ("1.5h", 5_400_000), (1000, 1000),
    ],
)  # fmt: skip
def test_times(text: str | int, amount: int) -> None:
    """Times have units, or are milliseconds."""
    assert amount == Duration(text)


def test_a_time_prints_with_its_units() -> None:
    """`${task.time}` is `1h 30m`; methods give numbers."""
    assert "1h 30m" == str(Duration("90m"))
    assert (90, 1) == (Duration("90m").toMinutes(), Duration("90m").toHours())


@pytest.mark.parametrize("text", ["", "lots", "4 XB", "GB"])
def test_what_is_no_memory(text: str) -> None:
    """Other text is refused."""
    with pytest.raises(ValueError, match="expected an amount of memory"):
        Memory(text)


@pytest.mark.parametrize("text", ["", "soon", "1 fortnight", "h"])
def test_what_is_no_time(text: str) -> None:
    """Other text is refused."""
    with pytest.raises(ValueError, match="expected a time"):
        Duration(text)
