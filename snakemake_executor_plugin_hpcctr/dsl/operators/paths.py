"""Files that `channel.fromPath` and `channel.fromFilePairs` find."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.model import Leaf
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import attempt
from snakemake_executor_plugin_hpcctr.dsl.runtime.collect import match
from snakemake_executor_plugin_hpcctr.dsl.values import FrozenList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WILD = frozenset("*?[{")
ANY_SIZE = -1
PAIR = 2


@dataclass(frozen=True)
class Search:
    """How files are looked for; options of `channel.fromPath`."""

    type: Literal["file", "dir", "any"] = "file"
    hidden: bool = False
    max_depth: int | None = None
    follow_links: bool = True
    glob: bool = True
    relative: bool = False
    check_if_exists: bool = False

    def __post_init__(self) -> None:
        if self.type not in {"file", "dir", "any"}:
            raise DslError(f"type must be 'file', 'dir' or 'any', got {self.type!r}")

    def find(self, given: Any) -> list[Any]:
        """Return the files of a pattern, or of several, each pattern's sorted.

        Raises:
            DslError: Nothing is there although it is to be checked.
        """
        patterns = [given] if isinstance(given, (str, PurePath)) else list(given)
        return [path for pattern in patterns for path in self._one(str(pattern))]

    def _one(self, pattern: str) -> list[Any]:
        if not pattern:
            raise DslError("the path is empty", next_step="name a file, or a pattern such as *.fa")
        if "://" in pattern:
            return [pattern]
        if not self.glob or not WILD & set(pattern):
            return self._plain(pattern)
        base, rest = split_pattern(pattern)
        leaf = Leaf(
            kind="path",
            type=self.type,
            hidden=self.hidden,
            max_depth=self.max_depth,
            follow_links=self.follow_links,
        )
        names = sorted(match(leaf, rest, base)) if base.is_dir() else []
        if not names and self.check_if_exists:
            raise DslError(
                f"no file matches {pattern}", next_step="check the pattern and the folder"
            )
        return [Path(name) if self.relative else (base / name).absolute() for name in names]

    def _plain(self, pattern: str) -> list[Any]:
        path = Path(pattern).expanduser()
        if self.check_if_exists and not path.exists():
            raise DslError(f"{pattern} does not exist", next_step="check the path")
        return [Path(path.name) if self.relative else path.absolute()]


def split_pattern(pattern: str) -> tuple[Path, str]:
    """Return the folder in front of a pattern's first wildcard, and the rest."""
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if WILD & set(part))
    folder = "/".join(parts[:first]) or ("/" if pattern.startswith("/") else ".")
    return Path(folder).expanduser(), "/".join(parts[first:])


def pairs(
    files: Sequence[tuple[str, Path]],
    *,
    size: int,
    flat: bool,
    group: Callable[[Path], Any] | None,
) -> list[Any]:
    """Return (id, [files]) of files that belong together, each with its pattern.

    Args:
        files: (pattern, file).
        size: Files of a group; groups of another size are dropped, longer ones come in
            portions; -1 for any.
        flat: Whether the files stand in the tuple themselves.
        group: Returns a file's id, in place of its name's beginning.

    Raises:
        DslError: No such size, or `group` failed.
    """
    if size < 1 and size != ANY_SIZE:
        raise DslError(f"`fromFilePairs`: size must be at least 1, or -1 for any, got {size}")
    groups: dict[Any, list[Path]] = {}
    for pattern, file in files:
        groups.setdefault(_id(pattern, file, group), []).append(file)
    return [
        (name, *portion) if flat else (name, FrozenList(portion))
        for name, members in groups.items()
        for portion in _portions(sorted(members), size)
    ]


def _portions(members: list[Path], size: int) -> list[list[Path]]:
    if size == ANY_SIZE:
        return [members]
    portions = [members[n : n + size] for n in range(0, len(members), size)]
    return [portion for portion in portions if len(portion) == size]


def _id(pattern: str, file: Path, group: Callable[[Path], Any] | None) -> Any:
    if group is None:
        return prefix(file.name, pattern)
    return attempt(group, "fromFilePairs", file, file)


def prefix(name: str, pattern: str) -> str:
    """Return what files of a pair have in common: the name up to the last `*` or `?` in front of
    the first `{` or `[`, without `-`, `_` and `.` at its end.
    """  # noqa: D205 (one sentence)
    text = pattern.rsplit("/", 1)[-1]
    if not WILD & set(text):
        return name.partition(".")[0]
    cut = min([text.find(mark) for mark in "{[" if mark in text] or [len(text)])
    last = max(text.rfind("*", 0, cut), text.rfind("?", 0, cut))
    head, tail = (text[: last + 1], text[last + 1 :]) if last >= 0 else (text[:cut], text[cut:])
    found = re.fullmatch(f"({_regex(head)}){_regex(tail)}", name)
    return (found[1] if found else name).rstrip("-_.")


def _regex(pattern: str) -> str:
    """Return a glob as a regular expression."""
    text = ""
    for piece in re.findall(r"\*+|\?|\{[^}]*\}|\[[^\]]*\]|[^*?{\[]+|.", pattern):
        if piece.startswith("*"):
            text += ".*"
        elif piece == "?":
            text += "."
        elif piece.startswith("{"):
            words = (_regex(word) for word in piece[1:-1].split(","))
            text += f"(?:{'|'.join(words)})"
        else:
            kept = piece.startswith("[") and len(piece) > 1
            text += piece.replace("[!", "[^", 1) if kept else re.escape(piece)
    return text


def default_size(pattern: Any) -> int:
    """Return how many files a group has: 2, or 1 for a name without wildcard."""
    patterns = [pattern] if isinstance(pattern, (str, PurePath)) else list(pattern)
    return PAIR if any(WILD & set(str(one)) for one in patterns) else 1
