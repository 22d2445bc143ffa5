"""One run at a time in a working directory."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout


@contextmanager
def only_run(layout: Layout) -> Iterator[int]:
    """Hold the working directory; give the open file, for a program that shall hold it as well.

    The system lets go of it when the last process that has it open ends, however that ends: no
    lock is left behind by a head that was killed.

    Raises:
        ConfigError: Another run is under way.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    path = layout.root / "lock"
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise ConfigError(
            "another run of a pipeline is under way in this folder",
            where=str(path),
            next_step="wait for its end, or use another working directory",
        ) from None
    try:
        yield file
    finally:
        os.close(file)
