"""Runs rounds of trials: one Snakemake each, so that a round's stages are one array each."""

from __future__ import annotations

import json
import os
import shlex
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.config.yamlfile import read_text
from snakemake_executor_plugin_hpcctr.errors import CommandError, ConfigError
from snakemake_executor_plugin_hpcctr.schedulers.local.processes import read_process
from snakemake_executor_plugin_hpcctr.sweep.modules import (
    config_file,
    is_written_for_sweeps,
    render_copies,
)
from snakemake_executor_plugin_hpcctr.sweep.snakefile import ROUND_VARIABLE, SEARCHED
from snakemake_executor_plugin_hpcctr.trace.folder import STATE, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snakemake_executor_plugin_hpcctr.sweep.load import Loaded
    from snakemake_executor_plugin_hpcctr.sweep.trials import Trial

#: Where Snakemake looks for a Snakefile of which nothing is said.
SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
UNLOCK_S = 120.0
#: Snakemake takes it whatever the executor, which a profile may name.
LIMIT = "--hpcctr-max-parallel"
ALWAYS = ("--keep-going", "--rerun-incomplete")


@dataclass
class Rounds:
    """Runs trials of one sweep with one command.

    Args:
        loaded: The sweep.
        command: `snakemake` with its flags.
        say: Takes a sentence for the user.
    """

    loaded: Loaded
    command: Sequence[str]
    say: Callable[[str], None]
    _folder: Path = field(init=False)
    _lock: FileLock = field(init=False)

    def __post_init__(self) -> None:
        if not self.command:
            raise ConfigError(
                "there is no command that runs the trials",
                next_step="hpcctr sweep run sweep.yaml -- snakemake --executor hpcctr -j 100",
            )
        self.snakefile = snakefile_of(self.command)
        self._folder = Path.cwd() / STATE / "sweeps" / self.loaded.file.stem
        self._lock = FileLock(self._folder / "lock")

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(
                f"another `hpcctr sweep run` is at work on {self.loaded.name}",
                next_step="wait for it, or end it",
            ) from None
        except OSError as error:
            raise _unwritable(self._folder, error) from None
        self._unlock_after_death()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def run(self, trials: Sequence[Trial]) -> int:
        """Run some trials to their ends; return Snakemake's exit code.

        Args:
            trials: The trials; a sampler may ask for one twice, which runs once.

        Raises:
            CommandError: Snakemake was interrupted.
            ConfigError: A file cannot be read or written.
        """
        trials = list(dict.fromkeys(trials))
        round_file = self._folder / "round.json"
        self._write(round_file, trials)
        environ = dict(os.environ)
        argv = [*self.command, *(flag for flag in ALWAYS if flag not in self.command)]
        text = read_text(self.snakefile, str(self.snakefile), "Snakefile")
        if is_written_for_sweeps(text):
            environ[ROUND_VARIABLE] = str(round_file)
        else:
            copies = self._write_copies(text, round_file, trials)
            argv = [*without_snakefile(argv), "--snakefile", str(copies)]
        limit = self.loaded.config.max_parallel
        if limit and all(word.partition("=")[0] != LIMIT for word in argv):
            argv += [LIMIT, str(limit)]
        return self._foreground(argv, environ)

    def remember(self, trials: Sequence[Trial]) -> None:
        """Note which trials a search has tried, so that other commands show them."""
        self._write(Path(self.loaded.output, SEARCHED), list(dict.fromkeys(trials)))

    def forget(self) -> None:
        """Let sweep.yaml say again which trials there are."""
        Path(self.loaded.output, SEARCHED).unlink(missing_ok=True)

    def _write(self, file: Path, trials: Sequence[Trial]) -> None:
        content = {
            "sweep": str(self.loaded.file.resolve()),
            "output": self.loaded.output,
            "constants": self.loaded.constants,
            "trials": [dict(trial.values) for trial in trials],
        }
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(content))
        except OSError as error:
            raise _unwritable(file, error) from None

    def _write_copies(self, text: str, round_file: Path, trials: Sequence[Trial]) -> Path:
        """Write the Snakefile of copies beside the workflow's own, whose folder it then shares."""
        file = self.snakefile.with_name(f".{self.loaded.file.stem}.smk")
        copies = render_copies(str(self.snakefile), config_file(text), str(round_file), trials)
        try:
            write_atomically(file, copies)
        except OSError as error:
            raise ConfigError(
                f"cannot write {file}: {error.strerror}",
                next_step="copy the workflow to a folder of your own",
            ) from None
        return file

    def _foreground(self, argv: list[str], environ: dict[str, str]) -> int:
        self.say(f"running: {shlex.join(argv)}")
        head = self._folder / "head"
        try:
            code = proc.run_in_foreground(
                argv, env=environ, started=lambda pid: write_atomically(head, _identity(pid))
            )
        finally:
            head.unlink(missing_ok=True)
        if code < 0:
            raise CommandError(
                f"`{argv[0]}` was ended by signal {-code}",
                next_step="start the same command again: it goes on where it was",
            )
        return code

    def _unlock_after_death(self) -> None:
        """Remove Snakemake's lock on this folder if its holder, started by us, is dead."""
        head = self._folder / "head"
        if not head.exists():
            return
        identity = head.read_text(encoding="utf-8")
        pid, _, host = identity.split(" ", 2)
        if host != socket.gethostname() or _identity(int(pid)) == identity:
            raise ConfigError(
                f"the Snakemake of an earlier `hpcctr sweep run` is still there: {pid} on {host}",
                next_step="wait for it, or end it; if it is gone, remove " + str(head),
            )
        self.say("the last run was killed: unlocking the folder, then going on")
        done = proc.run([*self.command, "--unlock"], timeout_s=UNLOCK_S)
        if not done.ok:
            raise done.error("cannot unlock the folder after the last run was killed")
        head.unlink()


def _unwritable(file: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot write {file}: {error.strerror or error}",
        next_step="free space or permissions there, or start in a folder of your own",
    )


def _identity(pid: int) -> str:
    """Return what no other process has: its number, when it started, its machine."""
    process = read_process(pid)
    return f"{pid} {process.start if process else 'ended'} {socket.gethostname()}"


def snakefile_of(command: Sequence[str]) -> Path:
    """Return the Snakefile that a command runs, absolute.

    Raises:
        ConfigError: It does not exist.
    """
    named = [
        word.partition("=")[2] or next_word
        for word, next_word in zip(command, [*command[1:], ""], strict=True)
        if _names_snakefile(word)
    ]
    candidates = named or SNAKEFILES
    found = next((Path(name) for name in candidates if Path(name).is_file()), None)
    if found is None:
        raise ConfigError(
            f"there is no Snakefile: {' or '.join(candidates[:3])}",
            next_step="start in the workflow's folder, or name it: -- snakemake --snakefile FILE",
        )
    return found.absolute()


def without_snakefile(command: Sequence[str]) -> list[str]:
    """Return a command without the flag that names its Snakefile."""
    kept: list[str] = []
    skip = False
    for word in command:
        if not skip and not _names_snakefile(word):
            kept.append(word)
        skip = not skip and _names_snakefile(word) and "=" not in word
    return kept


def _names_snakefile(word: str) -> bool:
    return word in {"-s", "--snakefile"} or word.startswith("--snakefile=")
