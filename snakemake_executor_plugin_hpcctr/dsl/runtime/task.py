"""Prepare a task, and end it: what runs in the head, before and after the node's part."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.encoding import encode
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.inputs import named_values
from snakemake_executor_plugin_hpcctr.dsl.model import VERSION, Leaf, Manifest, Produced
from snakemake_executor_plugin_hpcctr.dsl.runtime import collect, render
from snakemake_executor_plugin_hpcctr.dsl.runtime.publish import Owner, publish, put_whole
from snakemake_executor_plugin_hpcctr.dsl.values import freeze
from snakemake_executor_plugin_hpcctr.script.quote import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snakemake_executor_plugin_hpcctr.dsl.runtime.making import Making

#: How inputs appear in a task's folder, by the directive `stageInMode`.
LINK: dict[str, Callable[[Path, Path], None]] = {"symlink": os.symlink, "link": os.link}


@dataclass(frozen=True)
class Prepared:
    """A task that can be started.

    Args:
        command: Bash text; empty if there is nothing to run: the manifest is written.
        sources: Host paths that the task must be able to read.
    """

    command: str
    sources: tuple[str, ...] = ()


def prepare(making: Making) -> Prepared:
    """Make a task's folder and script; write its manifest at once if nothing is to be run.

    Raises:
        DslError: It cannot be made.
    """
    with told(making):
        return _prepared(making)


def _prepared(making: Making) -> Prepared:
    if making.values is None:
        write(
            making, Manifest(version=VERSION, state="absent", reason="input", tag=making.task.tag)
        )
        return Prepared("")
    when = getattr(making.cls, "when", None) if making.call.code else None
    if when is not None and not making.user(when, making.process):
        write(making, Manifest(version=VERSION, state="absent", reason="when", tag=making.task.tag))
        return Prepared("")
    if _is_stored(making):
        finish(making, stored=True)
        return Prepared("")
    _make_folder(making)
    if making.body.kind == "exec":
        making.run_exec()
        finish(making)
        return Prepared("")
    making.folder.joinpath("command.sh").write_text(making.script, encoding="utf-8")
    if making.staging.stdin is not None:
        making.folder.joinpath("command.in").write_text(making.staging.stdin, encoding="utf-8")
    making.folder.joinpath("token").write_text(making.token, encoding="utf-8")
    sources = tuple(str(link.source) for link in making.staging.links)
    return Prepared(render.command_text(_command(making)), sources)


@contextmanager
def told(making: Making) -> Iterator[None]:
    """Turn the system's errors about a task's files into an error of that task.

    Raises:
        DslError: No space, no permission, a file that went away.
    """
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise DslError(
            f"`{making.title}`: {where}{error.strerror or error}",
            span=making.span,
            next_step=f"check space and permissions there, and what is in {making.folder}",
        ) from error


def _make_folder(making: Making) -> None:
    if making.folder.exists():
        shutil.rmtree(making.folder)
    making.work.mkdir(parents=True)
    how = making.directives.get("stageInMode", "symlink")
    if how == "rellink" and making.directives.get("scratch"):
        how = "symlink"  # the links are copied to the node's disk, where relative ones are broken
    for link in making.staging.links:
        target = making.work / link.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(link.source):
            raise DslError(
                f"`{making.call.name}`: the input file {link.source} does not exist",
                span=making.span,
                item=making.title,
                next_step="check the path; a compute node must see it, too",
            )
        try:
            _link(link.source, target, how)
        except OSError as error:
            raise DslError(
                f"`{making.call.name}`: the input file {link.source} cannot be put into the task's "
                f'folder with stageInMode="{how}": {error.strerror or error}',
                span=making.span,
                item=making.title,
                next_step="hard links need one file system and are not for folders: leave "
                "stageInMode out for symbolic links; copies need space",
            ) from None


def _link(source: Path, target: Path, how: str) -> None:
    if how == "copy":
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, target)
    elif how == "rellink":
        target.symlink_to(os.path.relpath(source, target.parent))
    else:
        LINK[how](source, target)


def _command(making: Making) -> render.Command:
    directives = making.directives
    leaves = [leaf for emit in making.call.emits for leaf in emit.leaves]
    before = directives.get("beforeScript", "")
    if directives.get("module"):
        before = f"module load {' '.join(directives['module'].split(':'))}\n{before}"
    programs = Path(making.store.plan.file).parent / "bin"
    scratch = directives.get("scratch", False)
    return render.Command(
        token=making.token,
        work=str(making.work),
        control=str(making.folder),
        interpreter=making.interpreter,
        exports={
            **{k: str(v) for k, v in directives.get("env", {}).items()},
            **making.staging.variables,
        },
        before=before,
        after=directives.get("afterScript", ""),
        stdin=making.staging.stdin is not None,
        stdout=any(leaf.kind == "stdout" for leaf in leaves),
        evals=[
            making.fill(leaf.text, lambda v: render.show(v, bash=True))
            for leaf in leaves
            if leaf.kind == "eval"
        ],
        bin=str(programs) if programs.is_dir() else "",
        scratch="${TMPDIR:-/tmp}" if scratch is True else str(scratch or ""),
        outputs=[
            render.glob_word(making.fill(leaf.text)) if leaf.glob else quote(making.fill(leaf.text))
            for leaf in leaves
            if leaf.kind == "path" and not leaf.function
        ],
    )


def _store_dir(making: Making) -> Path | None:
    """Return the folder in which the task's files are kept for ever, if it has one."""
    given = making.directives.get("storeDir")
    return Path(making.fill(given)).absolute() if given else None


def _is_stored(making: Making) -> bool:
    """Whether all required files are in the task's `storeDir`: it then need not run."""
    folder = _store_dir(making)
    if folder is None or not folder.is_dir():
        return False
    try:
        _emits(making, folder)
    except collect.Missing:
        return False
    return True


def finish(making: Making, *, stored: bool = False) -> Manifest:
    """Write the manifest of a task whose script succeeded, and publish its files.

    Args:
        making: The task.
        stored: Whether its files are in its `storeDir` already.

    Raises:
        DslError: A declared output is not there or not as declared, or cannot be published.
    """
    with told(making):
        return _finished(making, stored=stored)


def _finished(making: Making, *, stored: bool) -> Manifest:
    folder = _store_dir(making)
    try:
        emits = _emits(making, folder if stored and folder else making.work)
    except DslError as error:
        if not error.where:
            raise type(error)(
                f"`{making.title}`: {error.what.partition(chr(10))[0]}",
                span=making.span,
                next_step=error.next_step,
                item=error.item,
            ) from None
        raise
    names = [str(path) for path in _paths(emits) if not path.is_absolute()]
    if folder is not None:
        emits = _moved(emits, making.work, folder, stored=stored)
    manifest = Manifest(
        version=VERSION,
        state="done",
        emits=[None if emit is None else [encode(value) for value in emit] for emit in emits],
        files=list(_produced(making, emits)),
        attempt=making.attempt,
        tag=making.task.tag,
    )
    manifest.published = publish_files(making, manifest, names=names)
    if any(place.mode == "move" for place in making.call.publish):
        manifest.files = [f for f in manifest.files if os.path.lexists(making.work / f.path)]
    write(making, manifest)
    return manifest


def publish_files(
    making: Making, manifest: Manifest, *, names: list[str] | None = None, cached: bool = False
) -> list[str]:
    """Publish a task's files; return their targets.

    Args:
        making: The task.
        manifest: What it gave.
        names: Its files, relative to its folder; None for those of the manifest.
        cached: Whether it ran in an earlier run.

    Raises:
        DslError: Another task publishes the same target, or it cannot be written.
    """
    places = making.call.publish
    if not places:
        return []
    folder = _store_dir(making) or making.work
    own = making.cls.definition.directives["publishDir"] if making.call.code else []
    pairs = [
        (
            place.model_copy(update={"path": making.fill(place.path)}),
            _save_as(making, own[number].save_as) if place.save_as else None,
        )
        for number, place in enumerate(places)
    ]
    layout = making.store.layout
    owner = Owner(making.title, f"{making.rule}/{making.key}", layout.root / "published", cached)
    if names is None:
        names = [os.path.relpath(folder / file.path, folder) for file in manifest.files]
    return publish(pairs, names, folder, owner)


def _save_as(making: Making, function: Callable[[str], str | None]) -> Callable[[str], str | None]:
    def save_as(name: str) -> str | None:
        given = making.user(function, name)
        return None if given is None else str(given)

    return save_as


def _moved(emits: list[Any], work: Path, folder: Path, *, stored: bool) -> list[Any]:
    """Return outputs with their files in the `storeDir`, moved there unless they are."""

    def move(value: Any) -> Any:
        if isinstance(value, Path) and not value.is_absolute():
            target = folder / value
            if not stored:
                put_whole(target, lambda part: shutil.move(work / value, part))
            return target
        if isinstance(value, list):
            return freeze([move(part) for part in value])
        return value

    return [None if emit is None else [move(value) for value in emit] for emit in emits]


def _emits(making: Making, folder: Path) -> list[list[Any] | None]:
    staged = frozenset(link.name for link in making.staging.links)
    texts = _Texts(making)
    return collect.collect(making.call.emits, folder, staged, texts.value, making.fill)


class _Texts:
    """What outputs gave that are no files."""

    def __init__(self, making: Making) -> None:
        self.making = making
        leaves = [leaf for emit in making.call.emits for leaf in emit.leaves if leaf.kind == "eval"]
        self.evals = {id(leaf): number for number, leaf in enumerate(leaves)}

    def value(self, leaf: Leaf, emit: int, position: int) -> Any:
        """Return one element's value."""
        making = self.making
        if leaf.function:
            return self._called(leaf, emit, position)
        match leaf.kind:
            case "stdout":
                return self._read("command.out")
            case "eval":
                return self._read(f"command.eval.{self.evals[id(leaf)]}").removesuffix("\n")
            case "env":
                return self._variable(leaf.text)
            case _:
                if leaf.text in making.names:
                    return _original(making, leaf.text)
                return making.fill(leaf.text)

    def _called(self, leaf: Leaf, emit: int, position: int) -> Any:
        making = self.making
        name = making.call.emits[emit].name
        function = making.cls.definition.leaves[name][position].function
        assert function is not None  # noqa: S101 (the leaf says so)
        given = making.user(function, making.staged)
        if leaf.kind != "path":
            return freeze(given)
        staged = frozenset(link.name for link in making.staging.links)
        return collect.files(leaf, str(given), making.work, staged, name)

    def _read(self, name: str) -> str:
        return (self.making.folder / name).read_text(encoding="utf-8", errors="surrogateescape")

    def _variable(self, name: str) -> str:
        try:
            pairs = self._read("command.env").split("\0")
        except FileNotFoundError:
            pairs = []
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key == name:
                return value.removesuffix("\n")
        raise collect.Missing(
            f"the output variable `{name}` was not kept",
            next_step="let the script run to its last line: no `exit` or `exec` before; and it "
            "must be a bash script",
        )


def _original(making: Making, name: str) -> Any:
    """Return an input as it came, or a script variable: files keep their place."""
    assert making.values is not None  # noqa: S101 (it ran)
    given = named_values(making.call.inputs, making.values)
    return given[name] if name in given else freeze(making.lookup(name))


def _produced(making: Making, emits: list[list[Any] | None]) -> Iterator[Produced]:
    """Yield every file that the outputs name and that the task made."""
    seen = set()
    for path in _paths(emits):
        if path in seen or (path.is_absolute() and "storeDir" not in making.directives):
            continue
        seen.add(path)
        status = (making.work / path).stat()
        yield Produced(path=str(path), size=status.st_size, mtime=status.st_mtime_ns)


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _paths(part)


def write(making: Making, manifest: Manifest) -> None:
    """Write a manifest in one step: it is there whole, or not at all."""
    path = making.store.layout.manifest(making.rule, making.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(manifest.model_dump_json(exclude_defaults=True), encoding="utf-8")
    part.replace(path)
