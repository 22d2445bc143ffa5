"""`channel.…`: where items come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from snakemake_executor_plugin_hpcctr.dsl import samplesheet
from snakemake_executor_plugin_hpcctr.dsl.channels import Channel, Value
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
