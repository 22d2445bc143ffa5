"""The one place that starts programs: argv in, code and text out, never through a shell."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from snakemake_executor_plugin_hpcctr.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO, BinaryIO

#: A program that was started and not waited for.
Process = subprocess.Popen[bytes]
#: Raised by `Process.wait` if it still runs at the end of its time.
StillRunning = subprocess.TimeoutExpired

NOT_FOUND = 127
TIMED_OUT = 124


@dataclass(frozen=True)
class Completed:
    """What a finished program left behind."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether the program ended with exit code 0."""
        return self.code == 0

    def error(self, what: str, next_step: str = "") -> CommandError:
        """Turn a failure into an error that shows the command and its last words."""
        said = (self.err.strip() or self.out.strip() or "(no output)")[-2000:]
        detail = f"{what}: `{shlex.join(self.argv)}` ended with exit code {self.code}:\n{said}"
        return CommandError(detail, next_step=next_step)


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float = 60.0,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
) -> Completed:
    """Run a program to its end and return what it said.

    Never raises for what the program does: a missing program has code 127, one that cannot be
    started 126, one that exceeds
    `timeout_s` seconds is killed and has code 124, both with a sentence in `err` (after what the
    program itself had said there).
    """
    words = tuple(os.fspath(word) for word in argv)
    try:
        done = subprocess.run(  # noqa: S603 (argv list, no shell)
            words,
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            env=None if env is None else dict(env),
            cwd=cwd,
            check=False,
            text=True,
            errors="surrogateescape",
        )
    except OSError as error:
        return _not_started(words, error)
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"").decode(errors="surrogateescape")
        late_words = f"{words[0]}: no answer within {timeout_s:g} s"
        return Completed(words, TIMED_OUT, "", said + late_words)
    return Completed(words, done.returncode, done.stdout, done.stderr)


def _not_started(words: tuple[str, ...], error: OSError) -> Completed:
    """Return what a shell says: 127 for no such program, 126 for one that cannot be started."""
    if isinstance(error, FileNotFoundError):
        return Completed(words, NOT_FOUND, "", f"{words[0]}: command not found")
    # No permission, or no process may be made.
    return Completed(words, 126, "", f"{words[0]}: {error.strerror}")


def feed(
    argv: Sequence[str | Path],
    write: Callable[[BinaryIO], None],
    *,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a program that reads what `write` writes to its standard input.

    As for `run`, a program that fails raises nothing. If `write` fails, the program is killed
    and the error passed on.
    """
    words = tuple(os.fspath(word) for word in argv)
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(  # noqa: S603 (argv list, no shell)
                words,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
            )
        except OSError as error:
            return _not_started(words, error)
        assert process.stdin is not None  # noqa: S101 (a pipe was asked for)
        try:
            # A program that ends early breaks the pipe: its own words tell why.
            with suppress(BrokenPipeError), process.stdin as stdin:
                write(cast("BinaryIO", stdin))
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        said.seek(0)
        text = said.read().decode(errors="surrogateescape")
    return Completed(words, code, "", text)


@contextmanager
def reading(argv: Sequence[str | Path]) -> Iterator[IO[bytes]]:
    """Start a program and give what it prints as a stream; it is killed when that is closed early.

    Raises:
        CommandError: The program does not exist.
    """
    words = [os.fspath(word) for word in argv]
    try:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)  # noqa: S603 (argv list, no shell)
    except FileNotFoundError as error:
        raise CommandError(f"`{words[0]}` was not found on PATH") from error
    assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
    try:
        yield process.stdout
    finally:
        process.stdout.close()
        process.kill()
        process.wait()


def start(
    argv: Sequence[str | Path],
    *,
    output: Path,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
) -> Process:
    """Start a program in a process group of its own, both output streams appended to a file.

    Raises:
        CommandError: The program does not exist.
    """
    words = [os.fspath(word) for word in argv]
    with output.open("ab") as stream:
        try:
            return subprocess.Popen(  # noqa: S603 (argv list, no shell)
                words,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise CommandError(f"`{words[0]}` was not found on PATH") from error


def _flush() -> None:
    """Let what was printed so far stand before what a program prints on the same streams."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def attach(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    keep: Sequence[int] = (),
) -> int:
    """Run a program on our own streams, a terminal perhaps, and return its exit code.

    Ctrl-C reaches the program, which decides what it means; we wait for its end.

    Args:
        argv: The program and its arguments.
        env: Its environment; this process's own if None.
        cwd: Where it starts.
        keep: Open files that it inherits, such as a lock that it shall hold as well.

    Raises:
        CommandError: The program does not exist.
    """
    words = [os.fspath(word) for word in argv]
    environ = None if env is None else dict(env)
    _flush()
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        program = subprocess.Popen(words, env=environ, cwd=cwd, pass_fds=keep)  # noqa: S603 (argv list, no shell)
        code = program.wait()
    except FileNotFoundError as error:
        raise CommandError(f"`{words[0]}` was not found on PATH") from error
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def run_in_foreground(
    argv: Sequence[str], *, env: Mapping[str, str], started: Callable[[int], object]
) -> int:
    """Run a program on our own terminal to its end; return its exit code, -N after signal N.

    Ctrl-C reaches the program, too, which ends in its own time: it is waited for.

    Args:
        argv: Program and arguments.
        env: Its variables.
        started: Takes its process id.

    Raises:
        CommandError: The program does not exist.
        KeyboardInterrupt: Ctrl-C was pressed, and the program has ended.
    """
    interrupted = False
    try:
        process = subprocess.Popen(list(argv), env=dict(env))  # noqa: S603 (argv list, no shell)
    except (FileNotFoundError, PermissionError) as error:
        raise CommandError(f"`{argv[0]}` was not found on PATH") from error
    started(process.pid)
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            interrupted = True
            continue
        if interrupted:
            raise KeyboardInterrupt
        return code


def find_program(name: str, *, extra_path: str = "/usr/sbin:/sbin") -> str | None:
    """Return the full path of a program, or None.

    `/usr/sbin` is searched too: Slurm's daemons live there, and it is not on an ordinary
    user's PATH on Debian.
    """
    return shutil.which(name) or shutil.which(name, path=extra_path)
