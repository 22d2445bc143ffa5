"""`collectFile`: items written into files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import functions_in, ordered
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import spread
from snakemake_executor_plugin_hpcctr.dsl.operators.texts import FILES, read_text, write_once
from snakemake_executor_plugin_hpcctr.dsl.values import Touched, describe, is_sequence, is_unknown

if TYPE_CHECKING:
    from collections.abc import Callable

UNNAMED = "collect-file.data"


@dataclass(frozen=True)
class Collect:
    """Options of `collectFile`; see `Channel.collectFile`."""

    name: str = ""
    function: Callable[..., Any] | None = None
    sort: Any = "hash"
    new_line: bool = False
    seed: Any = None
    skip: int = 0
    keep_header: bool = False
    store_dir: str | None = None

    def run(self, items: list[Any]) -> list[Any]:
        """Write the files; return their paths in the order in which they begin."""
        call = spread(self.function, "collectFile") if self.function is not None else None
        entries: dict[str, list[Any]] = {}
        for item in items:
            for name, content in self._named(item if call is None else call(item)):
                entries.setdefault(name, []).append(content)
        return [self._write(name, found) for name, found in entries.items()]

    def _named(self, made: Any) -> list[tuple[str, Any]]:
        """Return name of the file and content, for each content of what a function made."""
        if self.function is None:
            if is_sequence(made):
                return [pair for part in made for pair in self._named(part)]
            return [(self.name or _own_name(made), made)]
        if not is_sequence(made):
            return [(self.name or _own_name(made), made)]
        name, *contents = made
        if is_unknown(name):
            raise Touched(name)
        if isinstance(name, PurePath):
            name = name.name
        return [(str(name), content) for content in contents]

    def _write(self, name: str, contents: list[Any]) -> Path:
        texts = self._texts(contents)
        seed = self.seed.get(name) if isinstance(self.seed, dict) else self.seed
        head = "" if seed is None else self._ended(read_text(seed, "collectFile"))
        content = (head + "".join(self._ended(text) for text in texts)).encode()
        digest = hashlib.blake2b(content, digest_size=10).hexdigest()
        folder = Path(self.store_dir) if self.store_dir else Path(FILES) / digest
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_once(path, content)
        return path.absolute()

    def _texts(self, contents: list[Any]) -> list[str]:
        texts = [_text(content) for content in contents]
        if self.sort == "index" or self.sort is False:
            found = texts
        elif self.sort in {"hash", "deep"} if isinstance(self.sort, str) else False:
            found = sorted(texts, key=lambda t: hashlib.blake2b(t.encode()).digest())
        elif self.sort is True:
            found = sorted(texts)
        else:
            pairs = list(zip(contents, texts, strict=True))
            numbers = ordered(list(range(len(pairs))), _by(self.sort, contents), "collectFile")
            found = [texts[number] for number in numbers]
        lines = self.skip or (1 if self.keep_header else 0)
        if not lines:
            return found
        cut = ["".join(text.splitlines(keepends=True)[lines:]) for text in found]
        if self.keep_header and found:
            header = "".join(found[0].splitlines(keepends=True)[:lines])
            cut[0] = _with_newline(header) + cut[0]
        return cut

    def _ended(self, text: str) -> str:
        return _with_newline(text) if self.new_line else text


def _with_newline(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _by(sort: Any, contents: list[Any]) -> Callable[[int], Any]:
    if not callable(sort):
        raise DslError(
            f"`collectFile`: sort cannot be {sort!r}",
            next_step='give True, "hash", "index", "deep", False, or a function',
        )
    call = spread(sort, "collectFile")
    return lambda number: call(contents[number])


def _own_name(made: Any) -> str:
    if is_unknown(made):
        return str(made.name)
    return made.name if isinstance(made, PurePath) else UNNAMED


def _text(content: Any) -> str:
    if isinstance(content, (int, float)):
        return str(content)
    if isinstance(content, bytes):
        return content.decode()
    if isinstance(content, (dict, set)):
        raise DslError("`collectFile` takes text and files", item=describe(content))
    return read_text(content, "collectFile")


def collect_file(options: Collect) -> Operator:
    """Return `collectFile`.

    Raises:
        DslError: Options that exclude each other.
    """
    if options.keep_header and options.seed is not None:
        raise DslError(
            "`collectFile`: keepHeader and seed exclude each other", next_step="give one"
        )
    functions = functions_in(options.function, options.sort)
    if options.name and options.function is None:
        # One file, whatever is in it: it can be written when a consumer's task is made.
        return Operator(
            "collectFile",
            run=options.run,
            touched="manifest",
            absent="manifest",
            functions=functions,
        )
    return Operator("collectFile", run=options.run, functions=functions)
