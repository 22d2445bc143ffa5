"""Layers → one tree: which layer each file comes from, whiteouts applied. Pure.

Rules of the OCI image layer specification: `.wh.NAME` removes NAME of the layers below,
`.wh..wh..opq` all that they put into its folder; a later layer's file replaces an earlier one's,
a folder is merged with a folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterable, Iterator

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
#: Links that are followed one after another before they count as a circle.
LINKS = 40


@dataclass(frozen=True, slots=True)
class Source:
    """Where the content of a file is: which member of which layer."""

    layer: int
    member: int


@dataclass(slots=True)
class Node:
    """One path of the tree.

    Args:
        info: What the layer says of it; None for a folder that no layer names.
        source: Where its content is; for a hard link that of its target.
        children: What is in a folder; None if it is none.
    """

    info: tarfile.TarInfo | None = None
    source: Source | None = None
    children: dict[str, Node] | None = None


@dataclass
class Tree:
    """The file system that layers make, the lowest applied first."""

    root: Node = field(default_factory=lambda: Node(children={}))

    def apply(self, layer: int, members: Iterable[tarfile.TarInfo]) -> None:
        """Put a layer on top: first what it removes, then what it brings."""
        listed = list(members)
        for info in listed:
            *folder, name = parts_of(info.name) or [""]
            if name == OPAQUE:
                node = self._find(folder)
                if node is not None and node.children is not None:
                    node.children.clear()
            elif name.startswith(WHITEOUT):
                parent = self._find(folder)
                if parent is not None and parent.children is not None:
                    parent.children.pop(name.removeprefix(WHITEOUT), None)
        for member, info in enumerate(listed):
            if (path := parts_of(info.name)) and not path[-1].startswith(WHITEOUT):
                self.add(path, info, Source(layer, member))

    def add(self, path: list[str], info: tarfile.TarInfo, source: Source) -> None:
        """Add or replace one path; devices are left out, no engine can make them for a user."""
        if info.isdev() and not info.isfifo():
            return
        parent = self._folder(path[:-1])
        children = parent.children if parent.children is not None else {}
        old = children.get(path[-1])
        if info.isdir():
            kept = old.children if old is not None and old.children is not None else {}
            children[path[-1]] = Node(info, None, kept)
            return
        if info.islnk():
            target = self._find(parts_of(info.linkname), follow_last=False)
            if target is None or target.info is None:
                return
            info, found = target.info, target.source
            source = found if found is not None else source
        children[path[-1]] = Node(info, source)

    def make_folder(self, path: str) -> None:
        """Make a folder if nothing is at that path, or in place of a file on the way."""
        if self._find(parts_of(path)) is None:
            self._folder(parts_of(path))

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Yield path and node of all but the root, a folder before what is in it."""
        stack = [("", self.root)]
        while stack:
            prefix, node = stack.pop()
            for name, child in sorted((node.children or {}).items()):
                yield prefix + name, child
                if child.children is not None:
                    stack.append((f"{prefix}{name}/", child))

    def _folder(self, parts: list[str]) -> Node:
        """Return the node of a folder, through links within the tree; made if it is missing."""
        node = self.root
        for part in self._resolve(parts):
            children = node.children if node.children is not None else {}
            child = children.get(part)
            if child is None or child.children is None:
                child = children[part] = Node(children={})
            node = child
        return node

    def _find(self, parts: list[str], *, follow_last: bool = True) -> Node | None:
        resolved = (
            self._resolve(parts) if follow_last else [*self._resolve(parts[:-1]), *parts[-1:]]
        )
        node: Node | None = self.root
        for part in resolved:
            node = (node.children or {}).get(part) if node is not None else None
        return node

    def _resolve(self, parts: list[str]) -> list[str]:
        """Follow symbolic links in a path; what does not exist stays as it is written."""
        todo, links = list(reversed(parts)), 0
        done: list[str] = []
        nodes: list[Node | None] = [self.root]
        while todo:
            part = todo.pop()
            here = nodes[-1]
            child = (here.children or {}).get(part) if here is not None else None
            if child is not None and child.info is not None and child.info.issym():
                links += 1
                if links > LINKS:
                    return [*done, part, *reversed(todo)]
                target = child.info.linkname
                if target.startswith("/"):
                    done, nodes = [], [self.root]
                todo += reversed([p for p in target.split("/") if p not in {"", "."}])
                continue
            if part == "..":
                done, nodes = done[:-1], nodes[:1] if len(nodes) == 1 else nodes[:-1]
                continue
            done.append(part)
            nodes.append(child)
        return done


def parts_of(path: str) -> list[str]:
    """Split a path of an archive; `..` never leads out of its root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    return parts
