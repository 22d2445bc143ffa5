from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.images import lease as leases
from snakemake_executor_plugin_hpcctr.images.lease import Owner, lease, read_owner

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, time
from pathlib import Path
from snakemake_executor_plugin_hpcctr.images.lease import lease
with lease(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, so that the tests are short."""
    monkeypatch.setattr(leases, "LOOK_S", 0.01)


def test_one_holds_it_and_the_other_waits_and_says_so(tmp_path: Path) -> None:
    """The second comes in when the first has left, and knows for whom it waits."""
    path, order = tmp_path / "x.lock", []
    told: list[Owner] = []

    def second() -> None:
        with lease(path, told.append):
            order.append("second")

    with lease(path, told.append):
        thread = threading.Thread(target=second)
        thread.start()
        while not told:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert ["first", "second"] == order
    assert [os.getpid()] == [owner.pid for owner in told]
    assert not path.exists()


def test_a_lock_of_a_process_that_was_killed_is_taken_over_at_once(tmp_path: Path) -> None:
    """A process of this host that has ended holds nothing."""
    path = tmp_path / "x.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert "held" == holder.stdout.readline().strip()
        holder.kill()
    assert path.exists()
    started = time.monotonic()
    with lease(path, lambda _: None):
        owner = read_owner(path)
    assert owner is not None
    assert os.getpid() == owner.pid
    assert time.monotonic() - started < 5


def test_a_lock_of_a_dead_host_is_taken_over_after_a_while(tmp_path: Path) -> None:
    """One of another host counts as dead when it gave no sign of life for a time."""
    path = tmp_path / "x.lock"
    path.write_text(json.dumps({"host": "gone", "pid": 1, "user": "anna", "token": "x"}))
    told: list[Owner] = []
    with lease(path, told.append, stale_s=0.2):
        pass
    assert ["anna on gone (process 1)"] == [str(owner) for owner in told]


def test_a_lock_that_cannot_be_read_is_taken_over_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without an owner that can be told, such as one closed to us, is not waited for ever."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind("x.lock")  # cannot be opened as a file, by root neither
    with lease(tmp_path / "x.lock", lambda _: None, stale_s=0.2):
        pass


def test_a_living_lock_of_another_host_is_respected(tmp_path: Path) -> None:
    """As long as it is touched it is waited for, whatever the clocks say."""
    path = tmp_path / "x.lock"
    path.write_text(json.dumps({"host": "other", "pid": 1, "user": "anna", "token": "x"}))
    os.utime(path, (1, 1))
    held = threading.Event()

    def take() -> None:
        with lease(path, lambda _: None, stale_s=0.3):
            held.set()

    thread = threading.Thread(target=take)
    thread.start()
    for second in range(2, 12):
        time.sleep(0.1)
        os.utime(path, (second, second))
        assert not held.is_set()
    path.unlink()
    thread.join()
    assert held.is_set()


def test_an_owner_on_this_host_that_lives_has_not_ended() -> None:
    """Only a process that is gone has ended; of another host's nothing is known."""
    assert not Owner(socket.gethostname(), os.getpid(), "", "").ended
    assert not Owner("elsewhere", 2**22 + 1, "", "").ended
    assert Owner(socket.gethostname(), 2**22 + 1, "", "").ended
