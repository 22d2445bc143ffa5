"""Outputs of a pipeline: channels whose files are published when a run ends, with an index.

    output("samples", aligned, path="align", index="samples.csv")

stands in the entry workflow, and is Nextflow's `publish:` and `output {}` in one.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import yaml

from snakemake_executor_plugin_hpcctr.dsl.channels import node_of
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.graph import Pending
from snakemake_executor_plugin_hpcctr.dsl.model import ROOT, STUB_ROOT
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import spread
from snakemake_executor_plugin_hpcctr.dsl.operators.texts import write_once
from snakemake_executor_plugin_hpcctr.dsl.runtime.publish import make, put_whole
from snakemake_executor_plugin_hpcctr.dsl.spans import here
from snakemake_executor_plugin_hpcctr.dsl.trace import current
from snakemake_executor_plugin_hpcctr.dsl.values import ABSENT, promises, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.dsl.channels import Channel
    from snakemake_executor_plugin_hpcctr.dsl.graph import Node, Results
    from snakemake_executor_plugin_hpcctr.dsl.trace import Trace

Mode: TypeAlias = Literal["symlink", "rellink", "link", "copy"]
Overwrite: TypeAlias = bool | Literal["standard", "lenient", "deep"]
Where: TypeAlias = str | Callable[..., Any]
MODES = ("symlink", "rellink", "link", "copy")
INDEXES = (".csv", ".json", ".yml", ".yaml")


@dataclass(frozen=True, eq=False)
class Output:
    """One output of the workflow; see `output`."""

    name: str
    node: Node
    path: Where
    mode: Mode
    overwrite: Overwrite
    enabled: bool
    index: str
    header: bool | tuple[str, ...]
    sep: str


def output(
    name: str,
    channel: Channel[Any],
    *,
    path: Where = "",
    mode: Mode = "symlink",
    overwrite: Overwrite = "standard",
    enabled: bool = True,
    index: str = "",
    header: bool | Sequence[str] = False,
    sep: str = ",",
) -> None:
    """Publish the files of a channel when the run ends, below `--output-dir` (`results`).

    Args:
        name: What it is called.
        channel: Whose items are searched for files.
        path: Folder, or a function of an item that returns its folder, None to leave it out, or
            a list of (file, target); a target that ends in `/` is a folder.
        mode: How: a link (absolute or relative), a hard link, or a copy.
        overwrite: Whether a file that is there is replaced: `standard` if size or time differ,
            `lenient` if the size does, `deep` if the content does, or always, or never.
        enabled: False publishes nothing.
        index: File with one record per item, paths as published: .csv, .json or .yml.
        header: Whether a CSV index has the names of the columns, or those names.
        sep: What separates its cells.

    Raises:
        DslError: Two outputs of one name, an unknown mode or kind of index.
    """
    trace = current()
    if name in trace.outputs:
        raise DslError(f"there are two outputs `{name}`", span=here(), next_step="rename one")
    if mode not in MODES:
        raise DslError(f"output `{name}`: expected a mode of {', '.join(MODES)}, got {mode!r}")
    if index and PurePath(index).suffix not in INDEXES:
        raise DslError(f"output `{name}`: an index ends in {', '.join(INDEXES)}, not {index!r}")
    titles = header if isinstance(header, bool) else tuple(header)
    node = node_of(channel)
    trace.outputs[name] = Output(name, node, path, mode, overwrite, enabled, index, titles, sep)


def publish_outputs(trace: Trace, results: Results, base: Path) -> dict[str, int]:
    """Publish what the outputs of a workflow name, as far as it is done.

    Args:
        trace: The workflow, traced.
        results: What tasks have given.
        base: Folder of everything that is published.

    Returns:
        Output → number of its items.

    Raises:
        DslError: A function of the user raised, two items have one target, or a file cannot
            be written.
    """
    taken: dict[Path, Path] = {}
    counts = {}
    for one in trace.outputs.values():
        if not one.enabled:
            continue
        records = [_publish(one, item, base, taken) for item in _items(one.node, results)]
        counts[one.name] = len(records)
        if one.index:
            _write_index(one, [r for r in records if r is not None], base)
    return counts


def _items(node: Node, results: Results) -> Iterator[Any]:
    for item in [] if isinstance(node.state, Pending) else node.state:
        if all(results.done(promise._call, promise._key) for promise in promises(item)):
            value = resolve(item, results.give)
            if value is not ABSENT:
                yield value


def _publish(one: Output, item: Any, base: Path, taken: dict[Path, Path]) -> Any:
    """Publish the files of one item; return the item with paths as published."""
    where = spread(one.path, f"output {one.name}")(item) if callable(one.path) else one.path
    if where is None:
        return item
    targets: dict[Path, Path] = {}
    if isinstance(where, (list, tuple)):
        for file, target in where:
            source = Path(file)
            name = f"{target}{source.name}" if str(target).endswith("/") else str(target)
            targets[source] = base / name
    else:
        targets = {file: base / str(where) / file.name for file in _files(item)}
    published = {
        source: _put(one, source, _below(base, target, one), taken)
        for source, target in targets.items()
        if _is_made(source)
    }
    return _with(item, published)


def _is_made(path: Path) -> bool:
    """Whether a task made it: other files are indexed, not published."""
    roots = (os.path.abspath(root) + os.sep for root in (ROOT, STUB_ROOT))  # noqa: PTH100 (text)
    return str(path).startswith(tuple(roots))


def _files(item: Any) -> Iterator[Path]:
    if isinstance(item, Path):
        yield item
    elif isinstance(item, dict):
        for part in item.values():
            yield from _files(part)
    elif isinstance(item, (list, tuple)):
        for part in item:
            yield from _files(part)
    elif dataclasses.is_dataclass(item) and not isinstance(item, type):
        for field in dataclasses.fields(item):
            yield from _files(getattr(item, field.name))


def _with(item: Any, published: dict[Path, Path]) -> Any:
    if isinstance(item, Path):
        return published.get(item, item)
    if isinstance(item, dict):
        return {key: _with(part, published) for key, part in item.items()}
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return type(item)(*(_with(part, published) for part in item))
    if isinstance(item, (list, tuple)):
        return [_with(part, published) for part in item]
    return item


def _below(base: Path, target: Path, one: Output) -> Path:
    """Return an absolute target.

    Raises:
        DslError: It is not below the folder of outputs, where files may be replaced.
    """
    folder, path = (Path(os.path.abspath(given)) for given in (base, target))  # noqa: PTH100 (links stay)
    if folder not in path.parents:
        raise DslError(
            f"output `{one.name}`: {path} is not below {folder}",
            next_step="give a path below --output-dir, or use publishDir",
        )
    return path


def _put(one: Output, source: Path, path: Path, taken: dict[Path, Path]) -> Path:
    other = taken.setdefault(path, source)
    if other != source:
        raise DslError(
            f"output `{one.name}`: two files would be {path}: {other} and {source}",
            next_step="give each item its own folder: path=lambda …: …",
        )
    try:
        if not os.path.lexists(path) or _differs(one, source, path):
            put_whole(path, lambda part: make(source, part, one.mode))
    except OSError as error:
        raise DslError(
            f"output `{one.name}`: {source.name} cannot be published as {path}: "
            f"{error.strerror or error}",
            next_step="check the folder's permissions and space; hard links need one file system",
        ) from None
    return path


def _differs(one: Output, source: Path, path: Path) -> bool:
    if isinstance(one.overwrite, bool):
        return one.overwrite
    if path.is_symlink() != (one.mode in {"symlink", "rellink"}):
        return True
    if path.is_symlink():
        return path.resolve() != source.resolve()
    if not path.exists() or path.is_dir():
        return True
    there, wanted = path.stat(), source.stat()
    if one.overwrite == "deep":
        return path.read_bytes() != source.read_bytes()
    same_time = one.overwrite == "lenient" or there.st_mtime_ns == wanted.st_mtime_ns
    return there.st_size != wanted.st_size or not same_time


def _write_index(one: Output, records: list[Any], base: Path) -> None:
    path = _below(base, base / one.index, one)
    plain = [_plain(record) for record in records]
    if path.suffix == ".json":
        text = json.dumps(plain, indent=2) + "\n"
    elif path.suffix in {".yml", ".yaml"}:
        text = yaml.safe_dump(plain, sort_keys=False)
    else:
        text = _csv(one, plain)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_once(path, text.encode())
    except OSError as error:
        raise DslError(
            f"output `{one.name}`: the index {path} cannot be written: {error.strerror}",
            next_step="check the folder's permissions and space",
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "_asdict"):
        return {key: _plain(part) for key, part in value._asdict().items()}
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def _csv(one: Output, records: list[Any]) -> str:
    names: list[str] = list(one.header) if isinstance(one.header, tuple) else []
    if not names and records and isinstance(records[0], dict):
        names = list(records[0])
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=one.sep, quoting=csv.QUOTE_ALL, lineterminator="\n")
    if one.header and names:
        writer.writerow(names)
    writer.writerows(_cells(record, names) for record in records)
    return stream.getvalue()


def _cells(record: Any, names: list[str]) -> list[Any]:
    if isinstance(record, dict):
        return [_cell(record.get(name)) for name in names]
    return [_cell(part) for part in (record if isinstance(record, list) else [record])]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, (list, dict)) else value
