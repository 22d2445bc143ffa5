"""The `--container-…` options of pyxis: what they take, refuse and mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

VERSION = "0.24.0"
BANNER = f"double of pyxis {VERSION} for tests"
NO_IMAGE = "because neither --container-image nor --container-name is set"
TRUE, FALSE = frozenset(("1", "true", "yes", "y")), frozenset(("0", "false", "no", "n"))
NAME_FLAGS = ("auto", "create", "exec", "no_exec")
NAMESPACES = ("net", "ipc", "uts")

#: Options with a value → its form in the help text, and what it is for.
VALUES = {
    "image": ("[USER@][REGISTRY#]IMAGE[:TAG]|PATH", "image of the container"),
    "mounts": ("SRC:DST[:FLAGS][,SRC:DST...]", "bind mounts; flags are joined with +"),
    "workdir": ("PATH", "working directory inside the container"),
    "name": ("NAME", "keep the container under this name, or use the one that has it"),
    "save": ("PATH", "save the container in a squashfs file"),
    "env": ("NAME[,NAME...]", "variables of the host that win over those of the image"),
    "unshare": ("NS[,NS...]", "new namespaces for the container: net, ipc, uts"),
}
#: Switches: option → (what it sets, to which value).
SWITCHES = {
    "container-mount-home": ("mount_home", True),
    "no-container-mount-home": ("mount_home", False),
    "container-remap-root": ("remap_root", True),
    "no-container-remap-root": ("remap_root", False),
    "container-entrypoint": ("entrypoint", True),
    "no-container-entrypoint": ("entrypoint", False),
    "container-entrypoint-log": ("entrypoint_log", True),
    "container-writable": ("writable", True),
    "container-readonly": ("writable", False),
}
PURPOSES = {
    "mount_home": "bind mount the user's home directory",
    "remap_root": "be seen as root inside the container",
    "entrypoint": "execute the entrypoint of the image",
    "entrypoint_log": "print the output of the entrypoint",
    "writable": "make the container's file system writable",
}
PAIRS = {
    "mount_home": "--container-mount-home and --no-container-mount-home",
    "remap_root": "--container-remap-root and --no-container-remap-root",
    "entrypoint": "--container-entrypoint and --no-container-entrypoint",
    "writable": "--container-writable and --container-readonly",
}
#: PYXIS_CONTAINER_… → the switch that a yes means.
SWITCH_VARIABLES = {
    "MOUNT_HOME": "container-mount-home",
    "REMAP_ROOT": "container-remap-root",
    "ENTRYPOINT": "container-entrypoint",
    "ENTRYPOINT_LOG": "container-entrypoint-log",
    "WRITABLE": "container-writable",
}
#: Setting → how pyxis names it when it ignores it.
IGNORED = {
    "mounts": "--container-mounts",
    "workdir": "--container-workdir",
    "save": "--container-save",
    "mount_home": "--[no-]container-mount-home",
    "remap_root": "--[no-]container-remap-root",
    "entrypoint": "--[no-]container-entrypoint",
    "entrypoint_log": "--container-entrypoint-log",
}


class OptionError(Exception):
    """srun refuses an option; the arguments are the lines that it prints."""


@dataclass
class Options:
    """What the options of one command line amount to.

    Args:
        values: Option without its prefix → its last value, which is all that reaches the node.
        switches: Setting → on or off; a missing one is left to Enroot's configuration.
    """

    values: dict[str, str] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=dict)

    @property
    def contained(self) -> bool:
        """Whether the command will run in a container at all."""
        return "image" in self.values or "name" in self.values


def long_options() -> dict[str, bool]:
    """Return the name of each option → whether it takes a value."""
    return {f"container-{name}": True for name in VALUES} | dict.fromkeys(SWITCHES, False)


def collect(words: Iterable[tuple[str, str | None]]) -> Options:
    """Check options in their order, as srun does before it asks for resources.

    Args:
        words: Name and value of each option.

    Raises:
        OptionError: The first one that pyxis does not take.
    """
    options = Options()
    for name, value in words:
        complaint = take(options, name, value)
        if complaint:
            shown = "(null)" if value is None else value
            raise OptionError(*complaint, f"Invalid --{name} argument: {shown}")
    return options


def take(options: Options, name: str, value: str | None) -> tuple[str, ...]:
    """Add one option; return pyxis's complaint if it does not take it."""
    if name in SWITCHES:
        setting, on = SWITCHES[name]
        if options.switches.setdefault(setting, on) is not on:
            return (f"pyxis: both {PAIRS[setting]} were specified",)
        return ()
    short = name.removeprefix("container-")
    if not value:
        return (f"pyxis: --{name}: argument required",)
    complaint = CHECKS[short](value) if short in CHECKS else ()
    if not complaint and short in ONLY_ONCE and options.values.get(short, value) != value:
        complaint = (f"pyxis: --{name} specified multiple times",)
    if not complaint:
        options.values[short] = value
    return complaint


def add_variables(options: Options, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Take PYXIS_CONTAINER_… variables for options not given; return complaints about them."""
    complaints: tuple[str, ...] = ()
    for short in VALUES:
        value = environment.get(f"PYXIS_CONTAINER_{short.upper()}")
        if value is not None and short not in options.values:
            complaints += take(options, f"container-{short}", value)
    for suffix, name in SWITCH_VARIABLES.items():
        said = environment.get(f"PYXIS_CONTAINER_{suffix}", "")
        if said in TRUE | FALSE:
            options.switches.setdefault(SWITCHES[name][0], said in TRUE)
    said = environment.get("PYXIS_CONTAINER_READONLY", "")
    if said in TRUE | FALSE:
        options.switches.setdefault("writable", said in FALSE)
    return complaints


def ignored(options: Options) -> list[str]:
    """Return the lines about options that have no effect, as there is no image and no name."""
    if options.contained:
        return []
    given = options.values | options.switches
    names = [shown for setting, shown in IGNORED.items() if setting in given]
    if "writable" in options.switches:
        on = options.switches["writable"]
        names.append("--container-writable" if on else "--container-readonly")
    return [f"pyxis: ignoring {name} {NO_IMAGE}" for name in names]


@dataclass(frozen=True)
class Mount:
    """One entry of `--container-mounts`; `flags` are options of a mount line."""

    source: str
    target: str
    flags: str


def parse_mounts(text: str) -> list[Mount]:
    """Read `SRC:DST[:FLAGS][,…]`; a text that `take` has accepted."""
    mounts: list[Mount] = []
    for entry in filter(None, text.split(",")):
        source, *rest = entry.split(":", 2)
        target = rest[0] if rest else source
        flags = SOURCE_FLAGS.get(source, "x-create=auto,rbind")
        if len(rest) > 1 and rest[1]:
            flags += "," + rest[1].replace("+", ",")
        mount = Mount(source, target, flags)
        mounts += [mount] if mount not in mounts else []
    return mounts


SOURCE_FLAGS = {"tmpfs": "x-create=dir", "umount": "x-detach"}


def _check_mounts(text: str) -> tuple[str, ...]:
    for entry in text.split(","):
        source, *rest = entry.split(":", 2)
        target = rest[0] if rest else source
        if not source or not target:
            return (f"pyxis: --container-mounts: invalid format: {entry}",)
        added = f"pyxis: could not add mount entry: {source}:{target}"
        if source[0] not in "./" and source not in SOURCE_FLAGS:
            kinds = 'a relative path, an absolute path, "tmpfs" or "umount"'
            return (f"pyxis: mount source must be {kinds}", added)
        if target[0] not in "./":
            return ("pyxis: mount target must be a relative path or an absolute path", added)
    return ()


def _check_name(text: str) -> tuple[str, ...]:
    name, _, flag = text.partition(":")
    if not name:
        return ("pyxis: --container-name: empty name",)
    if flag and flag not in NAME_FLAGS:
        known = '"auto", "create", "exec" or "no_exec"'
        return (f"pyxis: --container-name: flag must be {known}",)
    return ()


def _check_save(text: str) -> tuple[str, ...]:
    return ("pyxis: --container-save: target is a directory",) if text.endswith("/") else ()


def _check_env(text: str) -> tuple[str, ...]:
    return () if all(text.split(",")) else (f"pyxis: --container-env: invalid format: {text}",)


def _check_unshare(text: str) -> tuple[str, ...]:
    for name in text.split(","):
        if not name:
            return ("pyxis: --container-unshare: empty namespace argument",)
        if name not in NAMESPACES:
            return (f"pyxis: --container-unshare: unknown namespace '{name}'",)
    return ()


CHECKS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "mounts": _check_mounts,
    "name": _check_name,
    "save": _check_save,
    "env": _check_env,
    "unshare": _check_unshare,
}
ONLY_ONCE = frozenset(("image", "workdir", "name", "save"))


def help_text() -> str:
    """Return the block that Slurm adds to `srun --help` for a plugin's options."""
    lines = [f"Options provided by plugins ({BANNER}):\n"]
    for name, (form, purpose) in VALUES.items():
        lines.append(f"      --container-{name}={form}\n{'':30}[pyxis] {purpose}\n")
    for name, (setting, on) in SWITCHES.items():
        lines.append(
            f"      --{name}\n{'':30}[pyxis] {'' if on else 'do not '}{PURPOSES[setting]}\n"
        )
    return "".join(lines) + "\n"
