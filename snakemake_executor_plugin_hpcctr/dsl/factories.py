"""`channel.…`: where items come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from snakemake_executor_plugin_hpcctr.dsl import samplesheet
from snakemake_executor_plugin_hpcctr.dsl.channels import Channel, Value
from snakemake_executor_plugin_hpcctr.dsl.operators import paths
from snakemake_executor_plugin_hpcctr.dsl.trace import current
from snakemake_executor_plugin_hpcctr.dsl.values import freeze

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


T = TypeVar("T")


class Factories:
    """The factories, as methods of `channel`."""

    def of(self, *items: T) -> Channel[T]:
        """Make a queue of these items; a `range` among them gives its numbers.

        Example:
            `channel.of("a", range(1, 3))` gives "a", 1, 2.
        """

        def listed() -> list[Any]:
            return [
                part
                for item in items
                for part in (item if isinstance(item, range) else (freeze(item),))
            ]

        return _source("of", listed)

    def fromList(self, items: Iterable[T]) -> Channel[T]:
        """Make a queue of the elements of a list."""
        return _source("fromList", lambda: [freeze(item) for item in items])

    def value(self, item: T) -> Value[T]:
        """Make a value: one item that can be read for ever."""
        return Value(current().source("value", lambda: [freeze(item)], "value"))

    def topic(self, name: str) -> Channel[Any]:
        """Make a queue of what all outputs with `topic=name` give, in any workflow.

        A topic that no output declares is empty.

        Example:
            `log: Out[Path] = out(path("*.log"), topic="logs")` feeds `channel.topic("logs")`.
        """
        return Channel(current().topic(name))

    def fromPath(
        self,
        pattern: str | Path | Sequence[str | Path],
        *,
        type: Literal["file", "dir", "any"] = "file",  # noqa: A002 (Nextflow's name)
        hidden: bool = False,
        maxDepth: int | None = None,
        followLinks: bool = True,
        glob: bool = True,
        relative: bool = False,
        checkIfExists: bool = False,
    ) -> Channel[Path]:
        """Make a queue of files, those of each pattern sorted by name.

        Args:
            pattern: A name, or a glob with `*`, `?`, `[…]`, `{a,b}` and `**`, or several. A plain
                name is emitted even if it does not exist.
            type: What a glob matches.
            hidden: Whether `*` matches names that begin with a dot.
            maxDepth: How many folders deep `**` looks.
            followLinks: Whether `**` goes through links to folders.
            glob: False takes the text as a plain name.
            relative: Emit names relative to the folder in front of the first wildcard.
            checkIfExists: Refuse a name or glob for which there is no file.

        Example:
            `channel.fromPath("data/*.fq.gz", checkIfExists=True)`
        """
        search = paths.Search(type, hidden, maxDepth, followLinks, glob, relative, checkIfExists)
        return _source("fromPath", lambda: search.find(pattern))

    def fromFilePairs(
        self,
        pattern: str | Path | Sequence[str | Path],
        group: Callable[[Path], Any] | None = None,
        *,
        size: int | None = None,
        flat: bool = False,
        type: Literal["file", "dir", "any"] = "file",  # noqa: A002 (Nextflow's name)
        hidden: bool = False,
        maxDepth: int | None = None,
        followLinks: bool = True,
        checkIfExists: bool = False,
    ) -> Channel[Any]:
        """Make a queue of (id, [files]) of files that belong together.

        The id is the name up to the last `*` or `?` in front of `{` or `[`, without `-_.` at its
        end, or what `group` returns.

        Args:
            pattern: A glob such as `data/*_{1,2}.fq`, or several.
            group: File → id.
            size: Files of a group: 2. Groups of another size are dropped; -1 keeps all.
            flat: Emit (id, file, file).
            type: What a glob matches.
            hidden: Whether `*` matches names that begin with a dot.
            maxDepth: How many folders deep `**` looks.
            followLinks: Whether `**` goes through links to folders.
            checkIfExists: Refuse a pattern for which there is no file.
        """
        search = paths.Search(type, hidden, maxDepth, followLinks, check_if_exists=checkIfExists)
        wanted = paths.default_size(pattern) if size is None else size

        def found() -> list[Any]:
            given = [pattern] if isinstance(pattern, (str, Path)) else list(pattern)
            files = [(str(one), file) for one in given for file in search.find(one)]
            return paths.pairs(files, size=wanted, flat=flat, group=group)

        return _source("fromFilePairs", found)

    def fromSamplesheet(
        self, file: str | Path, schema: Any, *, unique: Sequence[str] = ()
    ) -> Channel[Any]:
        """Make a queue of the rows of a samplesheet (CSV, TSV, YAML or JSON), checked first.

        Args:
            file: The samplesheet. Files that it names are looked for as they stand, then beside
                it.
            schema: A NamedTuple or dataclass type, whose fields are the columns; a dict of names
                and types or `Column`s; or the path of a JSON schema in nf-schema's form.
            unique: Columns whose values together must differ from row to row.

        Raises:
            DslError: It does not fit; every problem with its row and column.

        Example:
            `channel.fromSamplesheet("samples.csv", Sample)` with
            `class Sample(NamedTuple): id: str; reads: Path` gives a Sample per row.
        """

        def rows() -> list[Any]:
            return samplesheet.read(Path(file), samplesheet.schema_of(schema, unique))

        return _source("fromSamplesheet", rows)

    def empty(self) -> Channel[Any]:
        """Make a queue without items."""
        return _source("empty", list)


def _source(name: str, items: Callable[[], list[Any]]) -> Channel[Any]:
    return Channel(current().source(name, items, "queue"))


channel = Factories()
