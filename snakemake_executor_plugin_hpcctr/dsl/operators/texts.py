"""Reading the files and texts that splitters cut, and writing what they cut off."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.model import ROOT
from snakemake_executor_plugin_hpcctr.dsl.values import Touched, describe, is_sequence, is_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Files that operators make while a pipeline is planned.
FILES = f"{ROOT}/files"
GZIP = b"\x1f\x8b"


def read_text(source: Any, operator: str, charset: str = "utf-8") -> str:
    """Return the text of a file (a gzipped one opened), or a text itself.

    Raises:
        DslError: It is neither, or cannot be read.
        Touched: A file that a task has still to make.
    """
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
        if content.startswith(GZIP):
            content = gzip.decompress(content)
        return content.decode(charset)
    except (OSError, EOFError, UnicodeDecodeError, LookupError) as error:
        raise DslError(
            f"`{operator}` cannot read {source}: {error}",
            item=describe(source),
            next_step="check the path, and charset= for another encoding than UTF-8",
        ) from None


def element_of(item: Any, elem: int | None, operator: str) -> tuple[Any, int | None]:
    """Return what is to be split in an item, and its place in a tuple (None for no tuple).

    Without `elem` it is the first file of a tuple, or its first text if it holds no file.

    Raises:
        DslError: There is no such element.
    """
    if not is_sequence(item):
        return item, None
    if elem is not None:
        if not -len(item) <= elem < len(item):
            raise DslError(f"`{operator}`: the item has no element {elem}", item=describe(item))
        return item[elem], elem % len(item)
    for kinds in ((PurePath,), (str,)):
        for number, part in enumerate(item):
            if is_unknown(part) or isinstance(part, kinds):
                return part, number
    raise DslError(f"`{operator}`: the item holds no file and no text", item=describe(item))


def replaced(item: Any, place: int | None, part: Any) -> Any:
    """Return an item with one element replaced."""
    if place is None:
        return part
    return (*item[:place], part, *item[place + 1 :])


def write_parts(
    parts: Iterable[str], source: Any, *, named: bool | str, compress: bool
) -> list[Path]:
    """Write texts to files named `base.1.ext`, `base.2.ext` …; return their paths.

    Args:
        parts: The texts.
        source: What they were cut from.
        named: True to name them after the source, or a name, or a folder (ending in `/`).
        compress: Whether they are gzipped.
    """
    texts = list(parts)
    base, suffix = _names(source, named=named)
    identity = hashlib.blake2b("\0".join([base, suffix, *texts]).encode(), digest_size=10)
    folder = Path(named) if isinstance(named, str) and named.endswith("/") else _folder(identity)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, text in enumerate(texts, 1):
        path = folder / f"{base}.{number}{suffix}{'.gz' if compress else ''}"
        content = text.encode()
        write_once(path, gzip.compress(content, mtime=0) if compress else content)
        found.append(path.absolute())
    return found


def _names(source: Any, *, named: bool | str) -> tuple[str, str]:
    if isinstance(named, str) and not named.endswith("/"):
        path = PurePath(named)
    elif isinstance(source, PurePath):
        path = PurePath(source.name.removesuffix(".gz"))
    else:
        path = PurePath("chunk")
    return path.stem, path.suffix


def _folder(identity: Any) -> Path:
    return Path(FILES) / str(identity.hexdigest())


def write_once(path: Path, content: bytes) -> None:
    """Write a file in one step, unless it is there with this content: its time then stays."""
    if path.exists() and path.read_bytes() == content:
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)
