"""The last steps of a start, as Enroot's switchroot does them: log in, then become the shell."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.doubles.node import kernel, texts

if TYPE_CHECKING:
    from tests.doubles.node.hooks import Person

RC_SCRIPT = "/etc/rc"
STANDARD_PATH = "/usr/bin:/bin"
ROOT_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


class LoginError(Exception):
    """The program cannot go on; the text is what `enroot-switchroot` prints."""


def become(
    root: str,
    rc: bytes | None,
    words: list[str],
    variables: dict[str, str],
    me: Person,
) -> None:
    """Enter the root file system for good and run the words in it.

    Args:
        root: The container's root, a mount point.
        rc: The text of a command script that replaces the image's own.
        words: The command and its arguments.
        variables: The whole environment of the container.
        me: The user; `uid` and `gid` as seen outside.

    Raises:
        LoginError: The new root, the home or the shell cannot be used.
    """
    login = bool(os.environ.get("ENROOT_LOGIN_SHELL"))
    kernel.switch_root(root)
    with suppress(OSError):  # a kernel without them
        kernel.unshare(kernel.CLONE_NEWCGROUP)
    kernel.drop_privileges()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    script = None
    if rc is not None:
        descriptor = os.memfd_create("rc", 0)
        os.write(descriptor, rc)
        script = f"/proc/self/fd/{descriptor}"
    environment = log_in(variables, me) if login else variables
    shell = environment.get("SHELL", "")
    if not os.access(shell, os.R_OK | os.X_OK):
        shell = "/bin/sh"
    name = shell.rpartition("/")[2]
    try:
        os.execve(shell, ["-" * login + name, *shell_words(words, script, name)], environment)
    except OSError as problem:
        raise LoginError(f"failed to execute: {shell}: {problem.strerror}") from problem


def shell_words(words: list[str], script: str | None, shell_name: str) -> list[str]:
    """Return the shell's arguments: the command script, else the command in one of three forms."""
    rc = script or RC_SCRIPT
    if script or Path(rc).exists():
        return [rc, *words]
    if not words:
        return []
    if " " in words[0]:
        return ["-c", words[0], shell_name, *words[1:]]
    if not os.access(words[0], os.F_OK) or os.access(words[0], os.R_OK | os.X_OK):
        return ["-c", 'exec "$@"', shell_name, *words]
    return words  # a file that cannot be executed is taken for a shell script


def log_in(variables: dict[str, str], me: Person) -> dict[str, str]:
    """Complete the environment as a login does, set the mask, and go to the home folder."""
    settings = _read_login_defs()
    uid = os.geteuid()
    entry = next((row for row in _rows("/etc/passwd") if row[2] == str(uid)), None)
    found = {"TERM": "dumb"}
    if entry:
        found |= {"HOME": entry[5], "SHELL": entry[6], "USER": entry[0]}
    path = settings.get("ENV_PATH" if uid else "ENV_SUPATH", "").removeprefix("PATH=")
    found |= {"LOGNAME": me.name, "PATH": path or (STANDARD_PATH if uid else ROOT_PATH)}
    environment = {**{name: value for name, value in found.items() if value}, **variables}
    _set_mask(settings, entry)
    home = environment.get("HOME", "")
    try:
        if home:
            os.chdir(home)
    except OSError as problem:
        text = f"failed to change directory: {home}: {problem.strerror}"
        if settings.get("DEFAULT_HOME", "").lower() not in {"yes", "true"}:
            raise LoginError(text) from problem
        sys.stderr.write(f"enroot-switchroot: {text}\n")
    return environment


def _rows(path: str) -> list[list[str]]:
    """Read a database of `:` fields without the C library, which would load the image's code."""
    try:
        lines = texts.lines(texts.read(path))
    except OSError:
        return []
    return [line.split(":") for line in lines if line.count(":") >= 3]


def _read_login_defs() -> dict[str, str]:
    try:
        lines = texts.lines(texts.read("/etc/login.defs"))
    except OSError:
        return {}
    words = (texts.words(line) for line in lines if not line.lstrip().startswith("#"))
    return {pair[0]: pair[1].strip('"') for pair in words if len(pair) > 1}


def _set_mask(settings: dict[str, str], entry: list[str] | None) -> None:
    if settings.get("UMASK"):
        os.umask(int(settings["UMASK"], 8))
    if settings.get("USERGROUPS_ENAB", "").lower() not in {"yes", "true"} or entry is None:
        return
    group = next((row[0] for row in _rows("/etc/group") if row[2] == entry[3]), None)
    if entry[2] != "0" and entry[2] == entry[3] and entry[0] == group:
        mask = os.umask(0o777)
        os.umask((mask & ~0o070) | ((mask >> 3) & 0o070))
