"""Reading the files and texts that splitters cut, and writing what they cut off."""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.model import ROOT
from snakemake_executor_plugin_hpcctr.dsl.values import Touched, describe, is_sequence, is_unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Files that operators make while a pipeline is planned.
FILES = f"{ROOT}/files"
GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Source:
    """How a splitter reads.

    Args:
        operator: Its name, for messages.
        charset: Encoding of files.
        decompress: Whether gzipped files are opened.
        elem: Element of a tuple that is read; None for its first file, or its first text.
    """

    operator: str
    charset: str = "utf-8"
    decompress: bool = True
    elem: int | None = None

    def text(self, source: Any) -> str:
        """Return the text of a file, or a text itself.

        Raises:
            DslError: It is neither, or cannot be read.
            Touched: A file that a task has still to make.
        """
        return read_text(source, self.operator, self.charset, decompress=self.decompress)

    def lines(self, source: Any) -> list[str]:
        """Return the lines of a file or text, without their ends."""
        return lines_of(self.text(source))

    def element(self, item: Any) -> tuple[Any, int | None]:
        """Return what is to be read in an item, and its place in a tuple (None for no tuple).

        Raises:
            DslError: There is no such element.
        """
        if not is_sequence(item):
            return item, None
        if self.elem is not None:
            if not -len(item) <= self.elem < len(item):
                raise DslError(
                    f"`{self.operator}`: the item has no element {self.elem}", item=describe(item)
                )
            return item[self.elem], self.elem % len(item)
        for kind in (PurePath, str):
            for number, part in enumerate(item):
                if is_unknown(part) or isinstance(part, kind):
                    return part, number
        raise DslError(
            f"`{self.operator}`: the item holds no file and no text", item=describe(item)
        )


def read_text(
    source: Any, operator: str, charset: str = "utf-8", *, decompress: bool = True
) -> str:
    """Return the text of a file, or a text itself; see `Source.text`."""
    if is_unknown(source):
        raise Touched(source)
    if isinstance(source, str):
        return source
    if not isinstance(source, PurePath):
        raise DslError(
            f"`{operator}` takes files or text, got {describe(source)}", item=describe(source)
        )
    try:
        content = Path(source).read_bytes()
        if decompress and content.startswith(GZIP):
            content = gzip.decompress(content)
        return content.decode(charset).removeprefix(BYTE_ORDER_MARK)
    except (OSError, EOFError, UnicodeDecodeError, LookupError) as error:
        raise DslError(
            f"`{operator}` cannot read {source}: {error}",
            item=describe(source),
            next_step="check the path, and charset= for another encoding than UTF-8",
        ) from None


def lines_of(text: str) -> list[str]:
    """Return lines without their ends; only CR, LF and CR LF end one (a form feed does not)."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def replaced(item: Any, place: int | None, part: Any) -> Any:
    """Return an item with one element replaced."""
    if place is None:
        return part
    return (*item[:place], part, *item[place + 1 :])


@dataclass(frozen=True)
class Chunks:
    """How a splitter gives what it has cut.

    Args:
        operator: Its name, for messages.
        by: Entries in one chunk.
        limit: Entries of each source; None or 0 for all.
        file: Whether chunks are files: True to name them after the source, or a name, or a
            folder (one that exists, or ends in `/`).
        compress: Whether the files are gzipped.
    """

    operator: str
    by: int = 1
    limit: int | None = None
    file: bool | str | Path = False
    compress: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (("by", self.by, 1), ("limit", self.limit or 0, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise DslError(
                    f"`{self.operator}`: {name} must be a whole number from {least}, got {value!r}"
                )
        if self.compress and not self.file:
            raise DslError(
                f"`{self.operator}`: compress is for files", next_step="give file=True, too"
            )

    def limited(self, entries: list[Any]) -> list[Any]:
        """Return the first entries, as many as are wanted."""
        return entries[: self.limit] if self.limit else entries

    def grouped(self, entries: list[Any]) -> list[list[Any]]:
        """Return the entries of each chunk."""
        wanted = self.limited(entries)
        return [wanted[n : n + self.by] for n in range(0, len(wanted), self.by)]

    def given(self, texts: Sequence[str], source: Any) -> list[Any]:
        """Return texts, or the files that hold them, named `base.1.ext`, `base.2.ext` …."""
        if not self.file:
            return list(texts)
        folder, name = self._place(source)
        if folder is None:
            content = "\0".join([name.name, str(self.compress), *texts]).encode()
            folder = Path(FILES) / hashlib.blake2b(content, digest_size=10).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        end = f"{name.suffix}.gz" if self.compress else name.suffix
        return [
            self._written(folder / f"{name.stem}.{number}{end}", text)
            for number, text in enumerate(texts, 1)
        ]

    def _place(self, source: Any) -> tuple[Path | None, PurePath]:
        """Return the folder that was asked for, if any, and the name before numbers."""
        own = source.name.removesuffix(".gz") if isinstance(source, PurePath) else "chunk"
        if self.file is True:
            return None, PurePath(own)
        given = str(self.file)
        if given.endswith("/") or Path(given).is_dir():
            return Path(given), PurePath(own)
        folder = Path(given).parent if isinstance(self.file, PurePath) or "/" in given else None
        return folder, PurePath(PurePath(given).name)

    def _written(self, path: Path, text: str) -> Path:
        content = text.encode()
        write_once(path, gzip.compress(content, mtime=0) if self.compress else content)
        return path.absolute()


def write_once(path: Path, content: bytes) -> None:
    """Write a file in one step, unless it is there with this content: its time then stays."""
    if path.exists() and path.read_bytes() == content:
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)
