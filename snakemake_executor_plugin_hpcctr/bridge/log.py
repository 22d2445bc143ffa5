"""Lines of Snakemake's log that would be wrong with hpcctr."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

#: Snakemake says this of `container:` without --sdm apptainer (9.17 to 9.27).
IGNORED = "Singularity containers: ignored"
OURS = "Containers: started by hpcctr, with the engine of each rule"
#: Said while a command is captured, when nothing is started and nothing was to be cleaned up.
NOISE = ("Activating singularity image", "Not cleaning up")


def correct_container_line() -> None:
    """Replace the line that says containers are ignored; call it when a run begins."""
    from snakemake.logging import logger  # noqa: PLC0415 (start-up time)

    if _correct not in logger.filters:
        logger.addFilter(_correct)


def _correct(record: logging.LogRecord) -> bool:
    if record.msg == IGNORED:
        record.msg = OURS
    return True


@contextmanager
def quiet_capture() -> Iterator[None]:
    """Drop what Snakemake says in this thread while it believes it is starting a container."""
    from snakemake.logging import logger  # noqa: PLC0415 (start-up time)

    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        return record.thread != thread or not str(record.msg).startswith(NOISE)

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
