"""`collectFile`: items written into files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import STEADY, functions_in, ordered
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import spread
from snakemake_executor_plugin_hpcctr.dsl.operators.texts import FILES, read_text, write_once
from snakemake_executor_plugin_hpcctr.dsl.values import Touched, describe, is_sequence, is_unknown

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "collectFile"
UNNAMED = "collect-file.data"
ARRIVAL = ("none", "index")
NATURAL = ("true", "natural")


@dataclass(frozen=True)
class Collect:
    """Options of `collectFile`; see `Channel.collectFile`."""

    name: str | Path = ""
    function: Callable[..., Any] | None = None
    sort: Any = STEADY[0]
    new_line: bool = False
    seed: Any = None
    skip: int = 0
    keep_header: bool = False
    store_dir: str | Path | None = None

    def __post_init__(self) -> None:
        if self.keep_header and self.seed is not None:
            raise DslError(
                f"`{NAME}`: keepHeader and seed exclude each other", next_step="give one"
            )
        if isinstance(self.skip, bool) or not isinstance(self.skip, int) or self.skip < 0:
            raise DslError(f"`{NAME}`: skip must be a whole number from 0, got {self.skip!r}")
        words = (*ARRIVAL, *STEADY, *NATURAL)
        if not (isinstance(self.sort, bool) or callable(self.sort) or self.sort in words):
            raise DslError(
                f"`{NAME}`: sort cannot be {self.sort!r}",
                next_step=f"give True, False, one of {', '.join(words)}, or a function",
            )

    @property
    def has_folder(self) -> bool:
        """Whether the user says where the files are."""
        return self.store_dir is not None or "/" in str(self.name)

    def run(self, items: list[Any]) -> list[Any]:
        """Write the files; return their paths in the order in which they begin."""
        call = spread(self.function, NAME) if self.function is not None else None
        entries: dict[str, list[Any]] = {}
        for item in items:
            for name, content in self._named(item if call is None else call(item)):
                entries.setdefault(name, []).append(content)
        return [self._write(name, found) for name, found in entries.items()]

    def _named(self, made: Any) -> list[tuple[str, Any]]:
        """Return (name of the file, content) for each content of an item."""
        if not is_sequence(made):
            return [] if made is None else [(self._own_name(made), made)]
        if not made:
            return []
        name, *contents = made
        if not contents or isinstance(name, PurePath):
            return [pair for part in made for pair in self._named(part)]
        if self.name and self.function is None:
            raise DslError(
                f"`{NAME}`: the item says (name, content), but name={str(self.name)!r} is given",
                item=describe(made),
                next_step="leave name out, or emit the contents one by one with .flatten()",
            )
        if is_unknown(name):
            raise Touched(name)
        return [(self._checked(str(name)), part) for part in contents if part is not None]

    def _own_name(self, content: Any) -> str:
        if self.name:
            return PurePath(self.name).name
        if is_unknown(content):
            return str(content.name)
        return content.name if isinstance(content, PurePath) else UNNAMED

    def _checked(self, name: str) -> str:
        path = PurePath(name)
        if not path.name or path.is_absolute() or ".." in path.parts:
            raise DslError(
                f"`{NAME}`: {name!r} is no name of a file",
                next_step="return a name, and the folder as storeDir=",
            )
        return name

    def _write(self, name: str, contents: list[Any]) -> Path:
        entries = self._cut(self._ordered(contents))
        head = self._head(name)
        if head is not None:
            entries.insert(0, head)
        end = "\n" if self.new_line else ""
        content = "".join(f"{entry}{end}" for entry in entries).encode()
        path = self._folder(content) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_once(path, content)
        return path.absolute()

    def _folder(self, content: bytes) -> Path:
        if self.store_dir is not None:
            return Path(self.store_dir)
        if "/" in str(self.name):
            return Path(self.name).parent
        return Path(FILES) / hashlib.blake2b(content, digest_size=10).hexdigest()

    def _head(self, name: str) -> str | None:
        seed = spread(self.seed, NAME)(name) if callable(self.seed) else self.seed
        if isinstance(seed, dict):
            seed = seed.get(name)
        return None if seed is None else _text(seed)

    def _ordered(self, contents: list[Any]) -> list[str]:
        if self.sort in STEADY:
            texts = map(_text, contents)
            return sorted(texts, key=lambda text: hashlib.blake2b(text.encode()).digest())
        if self.sort is not False and self.sort not in ARRIVAL:
            contents = ordered(contents, self.sort if callable(self.sort) else True, NAME)
        return [_text(content) for content in contents]

    def _cut(self, texts: list[str]) -> list[str]:
        """Return entries without their first lines, the first one's in front if they are kept."""
        lines = self.skip or (1 if self.keep_header else 0)
        if not lines:
            return texts
        parts = [text.splitlines(keepends=True) for text in texts]
        found = ["".join(part[lines:]) for part in parts]
        if self.keep_header:
            header = "".join(parts[0][:lines])
            found[0] = header + ("" if header.endswith("\n") else "\n") + found[0]
        return found


def _text(content: Any) -> str:
    if isinstance(content, (int, float)):
        return str(content)
    if isinstance(content, bytes):
        return content.decode()
    return read_text(content, NAME)


def collect_file(options: Collect) -> Operator:
    """Return `collectFile`.

    With a fixed name it gives one file, whatever is in it: that can be written when a
    consumer's task is made. Else the number of files depends on what is read.
    """
    functions = functions_in(options.function, options.sort, options.seed)
    if options.name and options.function is None:
        return Operator(
            NAME, run=options.run, touched="manifest", absent="manifest", functions=functions
        )
    return Operator(NAME, run=options.run, functions=functions)
