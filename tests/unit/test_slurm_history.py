from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_hpcctr.schedulers.base import Account
from snakemake_executor_plugin_hpcctr.schedulers.slurm.commands import Commands
from snakemake_executor_plugin_hpcctr.schedulers.slurm.history import History

RECORDED = Path(__file__).parent / "recorded" / "slurm-22.05"
DISABLED = "Slurm accounting storage is disabled"


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Return a history that asks the doubles in a folder."""
    return History(Commands({"PATH": f"{tmp_path}:/usr/bin:/bin"}))


def double(folder: Path, name: str, out: str = "", err: str = "", code: int = 0) -> None:
    """Write a double of one of Slurm's commands, which counts its calls."""
    (folder / f"{name}.out").write_text(out)
    (folder / f"{name}.err").write_text(err)
    program = folder / name
    program.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$*\" >>{folder}/{name}.calls\n"
        f"cat {folder}/{name}.out\ncat {folder}/{name}.err >&2\nexit {code}\n"
    )
    program.chmod(0o755)


def calls(folder: Path, name: str) -> list[str]:
    """Return the arguments of each call of a double."""
    file = folder / f"{name}.calls"
    return file.read_text().splitlines() if file.exists() else []


def recorded(name: str) -> str:
    """Return what a real Slurm printed."""
    return (RECORDED / name).read_text()


def test_the_controllers_exit_code_beats_the_databases(tmp_path: Path, history: History) -> None:
    """The database drops the top bit of 255; it adds the peak memory."""
    double(tmp_path, "squeue", recorded("squeue-ended.txt"))
    double(tmp_path, "sacct", recorded("sacct.txt"))
    accounts = history.account(["1_2", "1_5"])
    assert 255 == accounts["1_2"].exit_code
    assert ("CANCELLED", 15, 4824 / 1024) == (
        accounts["1_5"].state,
        accounts["1_5"].signal,
        accounts["1_5"].peak_mb,
    )


def test_the_database_knows_what_the_controller_forgot(tmp_path: Path, history: History) -> None:
    """After MinJobAge, only accounting tells how an element ended."""
    double(tmp_path, "squeue", err="slurm_load_jobs error: Invalid job id specified\n", code=1)
    double(tmp_path, "sacct", recorded("sacct.txt"))
    assert "FAILED" == history.account(["1_1"])["1_1"].state


def test_a_forgotten_element_is_not_running(tmp_path: Path, history: History) -> None:
    """The database may lag: what the controller does not know has ended."""
    double(tmp_path, "squeue", err="slurm_load_jobs error: Invalid job id specified\n", code=1)
    double(tmp_path, "sacct", "17|RUNNING|0:0|n2|5||None\n")
    assert {} == history.account(["17"])


def test_a_silent_controller_leaves_the_word_to_the_database(
    tmp_path: Path, history: History
) -> None:
    """While the controller is down, a running element is still running."""
    double(tmp_path, "squeue", err="slurm_load_jobs error: Socket timed out\n", code=1)
    double(tmp_path, "sacct", "17|RUNNING|0:0|n2|5||None\n")
    assert "RUNNING" == history.account(["17"])["17"].state


def test_elements_that_never_started_are_found(tmp_path: Path, history: History) -> None:
    """Both commands tell of them as a block only."""
    double(tmp_path, "squeue", recorded("squeue-cancelled.txt"))
    double(tmp_path, "sacct", recorded("sacct-blocks.txt"))
    accounts = history.account(["4_0", "44_9"])
    assert ["CANCELLED", "CANCELLED"] == [account.state for account in accounts.values()]


def test_a_cluster_without_accounting_is_asked_once(tmp_path: Path, history: History) -> None:
    """Accounting that is switched off will not come back during a run."""
    double(tmp_path, "squeue", recorded("squeue-ended.txt"))
    double(tmp_path, "sacct", err=DISABLED, code=1)
    for _ in range(3):
        assert (
            Account("FAILED", "NonZeroExitCode", 7, 0, "n2", 0.0)
            == (history.account(["1_1"])["1_1"])
        )
    assert 1 == len(calls(tmp_path, "sacct"))


def test_many_elements_take_few_commands(tmp_path: Path, history: History) -> None:
    """One array is one id for squeue; sacct gets 500 ids at a time."""
    double(tmp_path, "squeue", recorded("squeue-ended.txt"))
    double(tmp_path, "sacct")
    history.account([f"1_{index}" for index in range(1200)])
    assert [" -j 1"] == [call[-5:] for call in calls(tmp_path, "squeue")]
    assert 3 + 1 == len(calls(tmp_path, "sacct"))


def test_another_cluster_is_named(tmp_path: Path, history: History) -> None:
    """Both commands are told which cluster the ids belong to."""
    double(tmp_path, "squeue", recorded("squeue-ended.txt"))
    double(tmp_path, "sacct", recorded("sacct.txt"))
    history.account(["1_1"], "beta")
    heads = [call[:8] for name in ("squeue", "sacct") for call in calls(tmp_path, name)]
    assert {"-M beta "} == set(heads)


def test_a_block_does_not_speak_for_elements_that_ran(tmp_path: Path, history: History) -> None:
    """An element that the controller forgot did not share the end of those that never started."""
    double(tmp_path, "squeue", "1|CANCELLED|0||0:00|Priority|\n")
    double(tmp_path, "sacct", recorded("sacct.txt"))
    accounts = history.account(["1_1", "1_9"])
    assert ["FAILED", "CANCELLED"] == [account.state for account in accounts.values()]
