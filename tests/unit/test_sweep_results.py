"""What trials measured, and the copies of a workflow that was not written for sweeps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.bridge.copies import configured, prefixes
from snakemake_executor_plugin_hpcctr.cli.sweep import _write_parquet
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep import Sweep, table
from snakemake_executor_plugin_hpcctr.sweep.metrics import Measured, read_metrics
from snakemake_executor_plugin_hpcctr.sweep.modules import config_file, is_written_for_sweeps
from snakemake_executor_plugin_hpcctr.sweep.naming import text_of
from snakemake_executor_plugin_hpcctr.sweep.plot import render_page
from snakemake_executor_plugin_hpcctr.sweep.rounds import without_snakefile
from snakemake_executor_plugin_hpcctr.sweep.trials import trial_of
from snakemake_executor_plugin_hpcctr.trace.store import Row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.sweep.naming import Value

SWEEP = """
parameters: {lr: [0.1, 0.2, 0.3, 0.4], kind: [é/ ü]}
metrics: {file: m.json, keys: [acc], goal: {acc: maximize}}
"""


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., Sweep]:
    """Return a function that gives each trial the metrics file of this content, if any."""

    def write(*contents: str | None) -> Sweep:
        (tmp_path / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
        sweep = Sweep(tmp_path / "sweep.yaml", output=str(tmp_path / "out"))
        for trial, content in zip(sweep.trials, contents, strict=False):
            if content is not None:
                folder = tmp_path / "out" / trial.name
                folder.mkdir(parents=True)
                (folder / "m.json").write_text(content, encoding="utf-8")
        return sweep

    return write


FILES: dict[str, tuple[str, str, dict[str, float], str]] = {
    "json": ("m.json", '{"acc": 0.5, "deep": {"loss": 1}}', {"acc": 0.5, "loss": 1}, ""),
    "yaml": ("m.yaml", "acc: 1e0\ndeep:\n  loss: 2\n", {"acc": 1.0, "loss": 2}, ""),
    "csv": ("m.csv", "acc,deep.loss\n1,2\n3,4\n", {"acc": 3, "loss": 4}, ""),
    "no key": ("m.json", '{"acc": 1}', {"acc": 1}, "m.json has no number `deep.loss`"),
    "a text": ("m.json", '{"acc": "high", "deep": {"loss": 1}}', {"loss": 1}, "no number `acc`"),
    "half a file": ("m.json", '{"acc": 0.', {}, "m.json: it is not valid JSON: Expecting"),
    "bad yaml": ("m.yaml", "acc: [", {}, "m.yaml: it is not valid YAML"),
    "a list": ("m.json", "[1, 2]", {}, "m.json: expected keys and values"),
    "open quote": ("m.csv", 'acc\n"' + "1" * 200_000, {}, "m.csv: it is not a valid table: field"),
    "empty csv": ("m.csv", "acc\n", {}, "m.csv: it has no rows"),
}


@pytest.mark.parametrize("name", FILES)
def test_metrics_are_read(tmp_path: Path, name: str) -> None:
    """Numbers are found by their keys; what is wrong is told and does not end the reading."""
    file, content, values, problem = FILES[name]
    (tmp_path / file).write_text(content)
    found = read_metrics(tmp_path / file, {"acc": "acc", "loss": "deep.loss"})
    assert values == found.values
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)


def test_a_folder_in_place_of_metrics_is_told(tmp_path: Path) -> None:
    """What cannot be read at all is a problem of that trial only."""
    assert "cannot be read: Is a directory" in read_metrics(tmp_path, None).problem.replace(
        "[Errno 21] ", ""
    )


def test_all_numbers_count_without_keys(tmp_path: Path) -> None:
    """Without `keys:` each number at the top of the file is a metric, other values are none."""
    (tmp_path / "m.json").write_text('{"acc": 1, "note": "x", "flag": true}')
    assert {"acc": 1} == read_metrics(tmp_path / "m.json", None).values


def test_trials_without_a_number_come_last(measured: Callable[..., Sweep], tmp_path: Path) -> None:
    """NaN, a missing file and a broken one spoil neither the order nor the best."""
    sweep = measured('{"acc": NaN}', '{"acc": 0.7}', "{", None)
    lines = table.lines_of(sweep, tmp_path)
    assert 0.2 == table.best_of(sweep, lines).trial.values["lr"]
    assert [0.2, 0.1, 0.3, 0.4] == [
        line.trial.values["lr"] for line in table.sort_lines(sweep, lines, "acc")
    ]
    assert ["done", "done", "done", "new"] == [line.state for line in lines]
    assert math.isnan(lines[0].metrics["acc"])
    assert "not valid JSON" in lines[2].problem


def test_the_last_failure_of_a_trial_is_shown() -> None:
    """Of several rules that failed, the one that was submitted last gives stage, cause and log."""
    row = Row("r", "1.1", "k", "train", "", 1, "host", "", "train.log", 0.0, cause="exit_code")
    late = replace(row, rule="evaluate", log="evaluate.log", cause="oom")
    attempts = [table._Attempt(2, late), table._Attempt(1, row)]
    line = table._line(trial_of({"lr": 1}), attempts, Measured())
    assert ("evaluate", "oom", "evaluate.log") == (line.stage, line.cause, line.log)


@pytest.mark.parametrize("value", ["auto", True])
def test_a_column_of_several_kinds_becomes_text_in_parquet(tmp_path: Path, value: Value) -> None:
    """Values such as 1 and auto, or 1 and true, stand in one column of Parquet, as text."""
    pq = pytest.importorskip("pyarrow.parquet")
    _write_parquet([{"a": 1, "b": 1}, {"a": value, "b": 0.5}, {"a": None, "b": None}],
                   tmp_path / "t")  # fmt: skip
    found = pq.read_table(tmp_path / "t").to_pydict()
    assert {"a": ["1", text_of(value), None], "b": [1, 0.5, None]} == found


def test_no_number_at_all_is_told(measured: Callable[..., Sweep], tmp_path: Path) -> None:
    """With NaN alone there is no best trial."""
    sweep = measured('{"acc": NaN}')
    with pytest.raises(ConfigError, match="no trial has a number for `acc` yet"):
        table.best_of(sweep, table.lines_of(sweep, tmp_path))


def test_an_unknown_metric_is_told(measured: Callable[..., Sweep], tmp_path: Path) -> None:
    """A name that is neither a metric nor a parameter is refused with the nearest."""
    sweep = measured('{"acc": 1}')
    lines = table.lines_of(sweep, tmp_path)
    with pytest.raises(ConfigError, match="did you mean `kind`"):
        table.sort_lines(sweep, lines, "kinds")
    with pytest.raises(ConfigError, match="no trial has the metric `loss`"):
        table.goal_of(sweep, lines, "loss")


def test_the_page_needs_nothing_else(measured: Callable[..., Sweep], tmp_path: Path) -> None:
    """The page of plots loads nothing, and says how many trials are left out."""
    sweep = measured('{"acc": NaN}', '{"acc": 0.7}', '{"acc": 0.8}')
    lines = table.lines_of(sweep, tmp_path)
    page = render_page("Sweep <1>", sweep.names, lines, "acc", table.best_of(sweep, lines))
    assert "<h1>Sweep &lt;1&gt;</h1>" in page
    assert "2 without a number for acc" in page
    assert "<script src=" not in page
    assert "<link" not in page


PREFIXES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "folder": (["results/a.txt", "results/b/{x}.txt"], ["data/x"], ["results/"]),
    "file beside inputs": (["data/clean.csv"], ["data/raw.csv"], ["data/clean.csv"]),
    "file at the top": (["model.bin"], ["input.txt"], ["model.bin"]),
    "same beginning": (["out/a"], ["outside/b"], ["out/"]),
    "nested": (["r/a", "r/b/c"], ["r/b/in"], ["r/a", "r/b/c"]),
}


@pytest.mark.parametrize("name", PREFIXES)
def test_what_moves_into_a_trials_folder(name: str) -> None:
    """The beginnings of paths cover all that is made, and nothing that is only read."""
    made, read, expected = PREFIXES[name]
    assert expected == prefixes(made, read)


def test_a_trials_configuration() -> None:
    """A value takes the place of the old one, as a list of one where a list was."""
    config = {"model": {"x": 1}, "rates": [1, 2], "y": 3}
    assert {"model": {"x": 5}, "rates": [7], "y": 3} == configured(
        config, {"model.x": 5, "rates": 7}
    )
    assert {"model": {"x": 1}, "rates": [1, 2], "y": 3} == config
    with pytest.raises(ConfigError, match="no key `rate`") as caught:
        configured(config, {"rate": 7})
    assert "did you mean `rates`?" in str(caught.value)


def test_what_a_snakefile_says_of_sweeps() -> None:
    """A Snakefile that opens a Sweep is told from one that does not, or says so in a comment."""
    assert is_written_for_sweeps('s = Sweep("sweep.yaml")\n')
    assert not is_written_for_sweeps('# s = Sweep("sweep.yaml")\n')
    assert "a/b.yaml" == config_file('x = 1\nconfigfile: "a/b.yaml"\n')
    assert config_file("rule all:\n") is None


def test_the_snakefile_flag_is_taken_out() -> None:
    """Whatever way it is written, the rest of the command stays."""
    assert ["snakemake", "-j", "5"] == without_snakefile(
        ["snakemake", "-s", "a", "-j", "5", "--snakefile=b"]
    )
