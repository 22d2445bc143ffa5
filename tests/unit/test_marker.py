from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.script.marker import Marker, Measured, parse_marker

WHOLE = {
    "exit": "0",
    "setup": "",
    "started": "1700000000.250000",
    "ended": "1700000010.500000",
    "host": "n1",
    "job": "17",
    "user": "1m1.250s",
    "system": "0m0.500s",
    "peak": "1048576000",
    "oom": "0",
    "signal": "",
    "detail": "",
}


def text(**changes: str) -> str:
    """Return the text of a marker as hpcctr.sh writes it."""
    return "".join(f"{name}={value}\n" for name, value in (WHOLE | changes).items())


def test_a_whole_marker_is_read() -> None:
    """Every field arrives in its unit: seconds and MiB."""
    expected = Marker(
        exit_code=0,
        started=1700000000.25,
        ended=1700000010.5,
        host="n1",
        cpu_s=61.75,
        peak_mb=1000.0,
    )
    assert expected == parse_marker(text())


def test_what_could_not_be_measured_is_none() -> None:
    """Without a cgroup and without times the marker is whole all the same."""
    marker = parse_marker(text(user="", system="", peak="", oom=""))
    assert marker
    assert (marker.cpu_s, marker.peak_mb, marker.oom_kills) == (None, None, 0)


def test_times_with_a_decimal_comma_are_read() -> None:
    """Bash writes times as the node's locale has them."""
    marker = parse_marker(text(user="0m1,250s", system="2m0,000s"))
    assert marker
    assert marker.cpu_s == 121.25


@pytest.mark.parametrize(
    ("changes", "success"),
    [
        ({}, True),
        ({"exit": "7"}, False),
        ({"exit": "137"}, False),
        ({"oom": "1"}, False),
        ({"exit": "1", "setup": "bind_missing", "detail": "/data"}, False),
        ({"setup": "not_contained"}, False),
        ({"signal": "USR1"}, True),
    ],
)
def test_success_is_exit_code_0_with_nothing_killed(
    changes: dict[str, str], *, success: bool
) -> None:
    """A command that ends with 0 after a part of it was killed for memory has failed."""
    marker = parse_marker(text(**changes))
    assert marker
    assert success == marker.success


def test_each_run_of_a_benchmark_is_read() -> None:
    """Memory arrives in MiB, bytes too, times in seconds; what was not seen is None."""
    marker = parse_marker(
        text(measured="100.5 102.0 2048 4096 1024 512 1048576 0 1250;102.0 102.25 - - - - - - 3;")
    )
    assert marker
    assert marker.measured == (
        Measured(1.5, 1.25, 2.0, 4.0, 1.0, 0.5, 1.0, 0.0),
        Measured(0.25, 0.003),
    )


@pytest.mark.parametrize("record", ["1 2 3;", "1 2 x 1 1 1 1 1 1;", "a 2 1 1 1 1 1 1 1;"])
def test_a_damaged_record_makes_no_marker(record: str) -> None:
    """Numbers that are not there are no measurement, and no exception."""
    assert parse_marker(text(measured=record)) is None


@pytest.mark.parametrize("lines", range(len(WHOLE)))
def test_a_marker_that_is_cut_short_is_not_one_yet(lines: int) -> None:
    """A file that a full disk or a late file system cut short is read again later."""
    assert parse_marker("".join(text().splitlines(keepends=True)[:lines])) is None


@pytest.mark.parametrize("field", ["exit", "started", "ended", "peak", "oom"])
def test_a_marker_with_a_damaged_number_is_not_one(field: str) -> None:
    """Something else where a number belongs is no marker, and no exception."""
    assert parse_marker(text(**{field: "x"})) is None


@given(st.text(st.characters(exclude_characters="\n")))
def test_no_path_in_the_detail_changes_another_field(detail: str) -> None:
    """A path may hold `=`, and what Python takes for ends of lines."""
    written = text(exit="1", setup="bind_missing", detail=f"/data/{detail}\x0b\x85\u2028exit=0")
    marker = parse_marker(written)
    assert marker
    assert (marker.exit_code, marker.detail) == (1, f"/data/{detail}\x0b\x85\u2028exit=0")


@given(st.text())
def test_any_text_is_a_marker_or_none(data: str) -> None:
    """Whatever lies in the folder of markers, reading it raises nothing."""
    marker = parse_marker(data)
    assert marker is None or isinstance(marker, Marker)
