"""Images as text for people."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.images.progress import duration, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.images.manage import Checked
    from snakemake_executor_plugin_hpcctr.images.prune import Candidate

DAY_S = 86400.0
HEADER = ("image", "digest", "size", "formats", "made", "last use", "used by")
#: Hexadecimal digits of a digest that are shown.
SHORT = 12


def ago(then: float | None, now: float) -> str:
    """Return how long ago something was: `3 d`, `5 min 2 s`."""
    if then is None:
        return "-"
    passed = max(0.0, now - then)
    return f"{passed / DAY_S:.0f} d" if passed >= DAY_S else duration(passed)


def render_list(images: Sequence[dict[str, Any]], now: float) -> str:
    """Return the table of `hpcctr images list`."""
    if not images:
        return "no image in the store"
    rows = [
        (
            " ".join(image["references"]),
            image["digest"].removeprefix("sha256:")[:SHORT],
            size(image["size"]),
            ", ".join(image["formats"]),
            ago(image["made"], now),
            ago(image["last_use"], now),
            " ".join(image["used_by"]) or "-",
        )
        for image in images
    ]
    total = size(sum(image["size"] for image in images))
    return output.table([HEADER, *rows]) + f"\n{len(images)} image(s), {total}"


def render_description(found: dict[str, Any]) -> str:
    """Return what `hpcctr images inspect` prints."""
    return output.table(list(_description(found)))


def _description(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if name == "files":
            for suffix, info in value.items():
                yield f"file .{suffix}", f"{info['path']} ({size(info['size'])}, {info['sha256']})"
        elif name in {"env", "labels"}:
            for key, text in value.items():
                yield name.removesuffix("s"), f"{key}={text}".replace("\n", "\\n")
        elif name in {"entrypoint", "cmd"}:
            yield name, shlex.join(value) or "-"
        elif name in {"size", "transferred"}:
            yield name, "-" if value is None else size(value)
        else:
            yield name, str(value) or "-"


def render_check(item: Checked) -> str:
    """Return one line of `hpcctr images verify`, and what to do if something is wrong."""
    if not item.problem:
        return f"ok     {item.name}"
    hint = f"\n       hint: {item.advice}" if item.advice else ""
    return f"error  {item.name}: {item.problem}{hint}"


def render_prune(
    candidates: Iterable[Candidate], chosen: Sequence[Candidate], left: Sequence[Path], now: float
) -> str:
    """Return what `hpcctr images prune` would remove, and what stays because of a lock file."""
    lines = []
    if chosen:
        rows = [(c.name, c.key[:24], size(c.size), ago(c.last_use, now)) for c in chosen]
        lines.append(output.table([("can go", "key", "size", "last use"), *rows]))
    keys = {candidate.key for candidate in chosen}
    kept = [c for c in candidates if c.locked and c.key not in keys]
    lines += [f"stays: {c.name} is locked by {c.locked}" for c in kept]
    lines += [f"left from a pull that was killed: {path}" for path in left]
    lines.append(f"{len(chosen)} image(s), {size(sum(c.size for c in chosen))}")
    return "\n".join(lines)
