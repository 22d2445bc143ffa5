"""Operators of channels that read files and texts, or write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.operators import files, splitting
from snakemake_executor_plugin_hpcctr.dsl.operators.texts import Chunks, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.channels import Channel, Value
    from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator


class Splitters:
    """What a channel of files or texts can do; part of `Channel`.

    Splitters take items that are a file, a text, or a tuple that holds one: its first file is
    then replaced by each piece. A file that a task makes can be split only after that task: the
    plan is cut there (a checkpoint). Gzipped files are opened.
    """

    if TYPE_CHECKING:

        def _queue(self, operator: Operator, *others: Any) -> Channel[Any]: ...
        def _value(self, operator: Operator, *others: Any) -> Value[Any]: ...

    def splitCsv(
        self,
        *,
        header: bool | Sequence[str] = False,
        sep: str = ",",
        quote: str = '"',
        strip: bool = False,
        skip: int = 0,
        by: int = 1,
        limit: int | None = None,
        charset: str = "utf-8",
        decompress: bool = True,
        elem: int | None = None,
    ) -> Channel[Any]:
        r"""Emit the rows of CSV files or texts: lists of texts, or dicts with `header`.

        Blank lines are left out. A row that is shorter than the header has None for the rest.

        Args:
            header: True for the file's first row, or the names.
            sep: The character between cells.
            quote: The character that cells may be quoted with; "" for none.
            strip: Whether blanks round cells are removed.
            skip: Lines left out at the beginning.
            by: Rows in one item, which is then a list of rows.
            limit: Rows of each file.
            charset: Encoding.
            decompress: Whether gzipped files are opened.
            elem: Element of a tuple that is split; its first file.

        Example:
            `channel.of("id,n\na,1\n").splitCsv(header=True)` gives {"id": "a", "n": "1"}.
        """
        source = Source("splitCsv", charset, decompress, elem)
        chunks = Chunks("splitCsv", by, limit)
        options = splitting.Csv(source, chunks, header, sep, quote, strip, skip)
        return self._queue(splitting.split_csv(options))

    def splitText(
        self,
        function: Callable[..., Any] | None = None,
        *,
        by: int = 1,
        limit: int | None = None,
        keepHeader: bool = False,
        file: bool | str | Path = False,
        compress: bool = False,
        charset: str = "utf-8",
        decompress: bool = True,
        elem: int | None = None,
    ) -> Channel[Any]:
        r"""Emit pieces of `by` lines, each ending with a newline, as text or files.

        Args:
            function: Makes the item of what would be emitted.
            by: Lines in one piece.
            limit: Lines of each file.
            keepHeader: Whether the first line stands at the top of each piece.
            file: True to get files named after the source, `base.1.ext`, `base.2.ext` …; or
                another name; or a folder to write them in.
            compress: Whether the files are gzipped.
            charset: Encoding.
            decompress: Whether gzipped files are opened.
            elem: Element of a tuple that is split; its first file.

        Example:
            `channel.of("a\nb\nc\n").splitText(by=2)` gives "a\nb\n", "c\n".
        """
        source = Source("splitText", charset, decompress, elem)
        chunks = Chunks("splitText", by, limit, file, compress)
        return self._queue(splitting.split_text(source, chunks, function, keep_header=keepHeader))

    def splitFasta(
        self,
        *,
        by: int = 1,
        size: str | int | None = None,
        limit: int | None = None,
        record: Mapping[str, Any] | bool = False,
        file: bool | str | Path = False,
        compress: bool = False,
        charset: str = "utf-8",
        decompress: bool = True,
        elem: int | None = None,
    ) -> Channel[Any]:
        r"""Emit pieces of `by` sequences, as text, records or files.

        Args:
            by: Sequences in one piece.
            size: Letters of sequence in one piece, at least, such as "1 MB"; in place of `by`.
            limit: Sequences of each file.
            record: Which fields of each sequence, {"id": True, "seqString": True}, or True for
                all: id, header, desc, text, seqString, sequence (in lines of `width` letters).
            file: True to get files; see `splitText`.
            compress: Whether the files are gzipped.
            charset: Encoding.
            decompress: Whether gzipped files are opened.
            elem: Element of a tuple that is split; its first file.

        Example:
            `channel.of(">a\nAC\n>b\nGT\n").splitFasta(record={"id": True})` gives {"id": "a"},
            {"id": "b"}.
        """
        source = Source("splitFasta", charset, decompress, elem)
        chunks = Chunks("splitFasta", by, limit, file, compress)
        options = splitting.fasta(record, size)
        return self._queue(splitting.split_records(source, chunks, options))

    def splitFastq(
        self,
        *,
        by: int = 1,
        limit: int | None = None,
        pe: bool = False,
        record: Mapping[str, Any] | bool = False,
        file: bool | str | Path = False,
        compress: bool = False,
        charset: str = "utf-8",
        decompress: bool = True,
        elem: int | None = None,
    ) -> Channel[Any]:
        r"""Emit pieces of `by` reads, as text, records or files.

        Args:
            by: Reads in one piece.
            limit: Reads of each file.
            pe: Whether items are (id, file, file), whose files are split in step.
            record: Which fields of each read, or True for all: readHeader, readString,
                qualityHeader, qualityString.
            file: True to get files; see `splitText`.
            compress: Whether the files are gzipped.
            charset: Encoding.
            decompress: Whether gzipped files are opened.
            elem: Element of a tuple that is split; its first file.

        Example:
            `channel.of("@r\nAC\n+\nII\n").splitFastq(record={"readString": True})` gives
            {"readString": "AC"}.
        """
        source = Source("splitFastq", charset, decompress, elem)
        chunks = Chunks("splitFastq", by, limit, file, compress)
        options = splitting.fastq(record)
        made = splitting.split_pairs if pe else splitting.split_records
        return self._queue(made(source, chunks, options))

    def splitJson(
        self, *, path: str = "", limit: int | None = None, elem: int | None = None
    ) -> Channel[Any]:
        """Emit the elements of a JSON array, or {key, value} for each key of an object.

        Args:
            path: Part of the document, such as `samples.runs[0]`.
            limit: Elements of each file.
            elem: Element of a tuple that is split; its first file.

        Example:
            `channel.of('{"a": [1, 2]}').splitJson(path="a")` gives 1, 2.
        """
        source, chunks = Source("splitJson", elem=elem), Chunks("splitJson", limit=limit)
        return self._queue(splitting.split_json(source, chunks, path))

    def countLines(self) -> Value[int]:
        r"""Count the lines of all files and texts.

        Example:
            `channel.of("a\nb\n", "c\n").countLines()` gives 3.
        """
        return self._value(splitting.count_lines())

    def countFasta(self) -> Value[int]:
        r"""Count the sequences of all files and texts.

        Example:
            `channel.of(">a\nAC\n>b\nGT\n").countFasta()` gives 2.
        """
        return self._value(splitting.count_fasta())

    def countFastq(self) -> Value[int]:
        r"""Count the reads of all files and texts.

        Example:
            `channel.of("@r\nAC\n+\nII\n").countFastq()` gives 1.
        """
        return self._value(splitting.count_fastq())

    def countJson(self) -> Value[int]:
        """Count the elements of all JSON arrays and the keys of objects.

        Example:
            `channel.of("[1, 2]", '{"a": 3}').countJson()` gives 3.
        """
        return self._value(splitting.count_json())

    def collectFile(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | Path = "",
        sort: Any = "hash",
        newLine: bool = False,
        seed: Any = None,
        skip: int = 0,
        keepHeader: bool = False,
        storeDir: str | Path | None = None,
    ) -> Channel[Path]:
        r"""Write items into files, and emit those; nothing for no items.

        Items are texts, numbers or files. A tuple that begins with a text is (name, content, …)
        and goes into the file of that name. Else all go to `name`; without it files go to one
        of their own name.

        Args:
            function: Item → content, or (name, content, …).
            name: The file's name; with a folder it is written there.
            sort: Order of the entries: "hash" (does not depend on arrival), True for their own
                order, "index" or False for that of arrival, a function, or a comparator.
            newLine: Whether a newline follows each entry.
            seed: What the file begins with: text, a file, a dict or a function from file names
                to them.
            skip: Lines left out of each entry.
            keepHeader: Whether the first line (or `skip` lines) of the entries comes once, at
                the top.
            storeDir: Folder of the files.

        Example:
            `channel.of("b", "a").collectFile(name="all.txt", newLine=True, sort=True)` gives the
            file all.txt with "a\nb\n".
        """
        options = files.Collect(name, function, sort, newLine, seed, skip, keepHeader, storeDir)
        made = self._queue(files.collect_file(options))
        if options.has_folder:  # it is wanted for itself, whether or not a process takes it
            made._node.trace.look(made._node, _nothing, "")
        return made


def _nothing(_item: Any) -> None:
    """Print nothing: looking at the item has written the file."""
