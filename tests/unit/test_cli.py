"""The command line: what goes where, and with which exit code."""

from __future__ import annotations

import inspect
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.cli import lab as lab_command
from snakemake_executor_plugin_hpcctr.cli import main, output
from snakemake_executor_plugin_hpcctr.errors import HpcctrError
from snakemake_executor_plugin_hpcctr.lab import LabSettings

if TYPE_CHECKING:
    import pytest

HEAVY = {"snakemake", "pydantic", "snakemake_interface_executor_plugins"}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_help_starts_without_snakemake() -> None:
    """`hpcctr --help` loads neither Snakemake nor pydantic, so that it answers at once."""
    code = (
        "import sys; from snakemake_executor_plugin_hpcctr.cli import main; main(['--help']);"
        "print('LOADED', *{name.split('.')[0] for name in sys.modules})"
    )
    text = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert set() == HEAVY & set(text.partition("LOADED")[2].split())


def test_version_is_data(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints one line on stdout."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("hpcctr ")


def test_mistyped_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command ends with code 2 and says so on stderr only."""
    assert main(["lab", "upp"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "upp" in said.err


def test_known_error_has_a_hint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An error that hpcctr foresees is two lines on stderr, with the error's own exit code."""
    words = ["lab", "up", f"--dir={tmp_path}", f"--plugstack={tmp_path / 'absent'}"]
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first.startswith("error: ")
    assert second.startswith("hint: ")


def test_bug_leaves_a_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An error that nobody foresaw ends with code 3 and a file with the traceback."""
    (tmp_path / "lab.json").mkdir()
    assert main(["lab", "status", f"--dir={tmp_path}"]) == 3
    said = capsys.readouterr().err
    text = Path(said.split("`")[1]).read_text()
    assert "IsADirectoryError" in text.splitlines()[-1]
    assert f"command: hpcctr lab status --dir={tmp_path}" in text


def test_interrupt_has_the_shells_code() -> None:
    """Ctrl-C ends a command with 130."""
    code = """
import sys
from snakemake_executor_plugin_hpcctr.cli import app, main
@app.app.command()
def wait() -> None:
    raise KeyboardInterrupt
sys.exit(main(["wait"]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 130


def test_defaults_of_up_are_those_of_the_lab() -> None:
    """`hpcctr lab up` without options is `LabSettings()`."""
    shown = {
        name: parameter.default
        for name, parameter in inspect.signature(lab_command.up).parameters.items()
    }
    shown["memory_mb"] = shown.pop("memory")
    shown["plugstack"] = shown["plugstack"] or ()
    assert LabSettings() == LabSettings.model_validate(shown)


def test_choices_of_up_are_those_of_the_lab() -> None:
    """Every value that `hpcctr lab up` offers is one that the lab knows."""
    for auth in lab_command.Auth:
        assert auth == LabSettings(auth=auth.value).auth
    for limit in lab_command.MemoryLimit:
        assert limit == LabSettings(memory_limit=limit.value).memory_limit


def test_status_of_no_lab(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`status` of a folder without a lab ends with code 1 and says so, as JSON too."""
    assert main(["lab", "status", "--json", f"--dir={tmp_path}"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["running"], found["daemons"], found["slurm_version"]) == (False, {}, None)
    assert main(["lab", "status", f"--dir={tmp_path}"]) == 1
    assert f"no lab was started in `{tmp_path}`\n" == capsys.readouterr().out


def test_down_without_a_lab_is_fine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`down` where nothing runs is no error, and prints no data."""
    assert main(["lab", "down", f"--dir={tmp_path}"]) == 0
    assert capsys.readouterr().out == ""


def test_error_is_placed(capsys: pytest.CaptureFixture[str]) -> None:
    """The place of an error comes before what is wrong; without a next step there is no hint."""
    output.error(HpcctrError("no such rule", where="hpcctr.yaml"))
    assert capsys.readouterr().err == "error: hpcctr.yaml: no such rule\n"


def test_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are coloured on a terminal, and nowhere if NO_COLOR is set."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.styled("error:", output.RED, Terminal()) == "\x1b[1;31merror:\x1b[0m"
    assert output.styled("error:", output.RED, io.StringIO()) == "error:"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.styled("error:", output.RED, Terminal()) == "error:"


def test_table_aligns_columns() -> None:
    """Columns begin below each other, without blanks at the ends of lines."""
    assert output.table([("a", "b"), ("long", "c")]) == "a     b\nlong  c"
