"""What a person types: `hpcctr …`. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.errors import HpcctrError

if TYPE_CHECKING:
    from collections.abc import Sequence

BUG = 3
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0 it worked; 1 it failed for a reason that the message tells (a few commands: the answer is
    no); 2 something was typed or configured wrongly; 3 a bug in hpcctr; 130 Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except HpcctrError as error:
        output.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        output.note("interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the outermost frame: the traceback goes to a file)
        output.bug(error, _write_log(words))
        return BUG


def _run(words: list[str]) -> int:
    from snakemake_executor_plugin_hpcctr.cli.app import run  # noqa: PLC0415 (start-up time)

    try:
        run(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _write_log(words: list[str]) -> Path:
    """Keep what a bug report needs; call it while the exception is being handled."""
    text = "\n".join(
        [
            f"command: hpcctr {' '.join(words)}",
            f"hpcctr: {output.version()}",
            f"python: {sys.version}",
            f"system: {platform.platform()}",
            "",
            traceback.format_exc(),
        ]
    )
    name = f"hpcctr-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        path = _log_folder() / name
        path.write_text(text)
    except OSError:
        path = Path(tempfile.gettempdir()) / name
        path.write_text(text)
    return path


def _log_folder() -> Path:
    from platformdirs import user_log_path  # noqa: PLC0415 (needed after a bug only)

    return user_log_path("hpcctr", appauthor=False, ensure_exists=True)
