"""Texts that hold several things → those things: lists, binds, variables, words, references."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.config.units import parse_switch
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.task import Bind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VARIABLE = re.compile(r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
ITEM_END = re.compile(r"\\([\\,\n])|([,\n])")
GRES = re.compile(r"[A-Za-z0-9_./-]+(:[A-Za-z0-9_.-]+)?(:\d+[KMGTP]?)?", re.IGNORECASE | re.ASCII)
QUOTES = "'\""
#: Where images are copied on a node if no folder is named.
STAGE_FOLDER = f"/tmp/hpcctr-images-{os.getuid()}"  # noqa: S108 (the task refuses it if another user made it)
BIND_KEYS = {"source", "target", "read_only"}
IMAGE_FILE = re.compile(r"(\.{0,2}/.*|~/.*|[^:]*\.(sif|simg|sqsh|squashfs|img))", re.DOTALL)


def split_items(text: str) -> list[str]:
    r"""Split at commas and newlines; `\,` is a comma, `\\` a backslash, others stay.

    White space round an item is dropped, and so are empty items.
    """
    items, begin, current = [], 0, ""
    for match in ITEM_END.finditer(text):
        current += text[begin : match.start()] + (match[1] or "")
        begin = match.end()
        if match[2]:
            items.append(current)
            current = ""
    items.append(current + text[begin:])
    return [stripped for item in items if (stripped := item.strip())]


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Replace a leading `~`, `$NAME` and `${NAME}`; `$$` is a dollar sign.

    Raises:
        ConfigError: A variable is not set where hpcctr runs.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        if name not in environ:
            raise ConfigError(
                f"the variable `${name}` in {text!r} is not set where Snakemake was started",
                next_step=f"export {name}, or write the value; variables that exist on a compute "
                "node only cannot be used here. A plain dollar sign is written `$$`",
            )
        return environ[name]

    if text == "~" or text.startswith("~/"):
        text = "$HOME" + text[1:]
    return VARIABLE.sub(value, text)


def parse_bind(value: object, environ: Mapping[str, str]) -> Bind:
    """Read `SRC[:DST[:ro|rw]]`, or a mapping with source, target and read_only.

    Raises:
        ConfigError: Another form, a path that is not absolute, or a variable that is not set.
    """
    if isinstance(value, Bind):
        return value
    if not isinstance(value, dict):
        return Bind.parse(expand(str(value), environ))
    unknown = sorted(set(value) - BIND_KEYS)
    source = value.get("source")
    if unknown or not isinstance(source, str):
        raise ConfigError(
            f"expected a bind with source, target and read_only, got {value!r}",
            next_step="write {source: /data, target: /data, read_only: true}",
        )
    source = expand(source, environ)
    target = expand(str(value.get("target") or source), environ)
    for path in (source, target):
        if not path.startswith("/"):
            raise ConfigError(
                f"the bind's path {path!r} is not absolute",
                next_step="write the whole path from `/`",
            )
    return Bind(
        source=posixpath.normpath(source),
        target=posixpath.normpath(target),
        read_only=parse_switch(value.get("read_only", False)),
    )


def parse_stage_folder(value: object, environ: Mapping[str, str]) -> str:
    """Return a folder; `true` is the default one, `false` none ("").

    Raises:
        ConfigError: A path that is not absolute.
    """
    try:
        return STAGE_FOLDER if parse_switch(value) else ""
    except ConfigError:
        path = expand(_word(value), environ)
    if not path.startswith("/"):
        raise ConfigError(
            f"expected true, false or an absolute path, got {value!r}",
            next_step="name a folder on the nodes' own disk, e.g. /scratch/$USER/images",
        )
    return posixpath.normpath(path)


def check_name(name: str) -> str:
    """Return the name of a variable.

    Raises:
        ConfigError: A shell could not set it.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name!r} cannot be the name of a variable",
            next_step="use letters, digits and `_`, a letter first",
        )
    return name


def parse_assignments(items: Iterable[str]) -> dict[str, str]:
    """Read `NAME=VALUE` items.

    Raises:
        ConfigError: An item without `=`, or a name that a shell could not set.
    """
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(
                f"expected NAME=VALUE, got {item!r}",
                next_step=r"a comma that belongs to a value is written `\,` (in Python `\\,`), "
                "or set the variable under `env:` in hpcctr.yaml",
            )
        found[check_name(name.strip())] = value
    return found


def parse_env_file(text: str, file: str) -> dict[str, str]:
    """Read a file of `NAME=VALUE` lines; nothing in a value is expanded.

    Empty lines and lines that begin with `#` are skipped, `export` before a name is ignored,
    white space round a value and one pair of quotes are dropped. The last of two equal names
    counts.

    Raises:
        ConfigError: Names file and line of an assignment that cannot be read.
    """
    found = {}
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        name, equals, value = content.partition("=")
        try:
            if not equals:
                raise ConfigError(  # noqa: TRY301 (the line number is added below)
                    f"expected NAME=VALUE, got {content!r}",
                    next_step="write one variable a line; a comment begins with `#`",
                )
            name = check_name(re.sub(r"^export\s+", "", name.strip()))
        except ConfigError as error:
            raise error.at(f"{file}:{number}") from None
        found[name] = strip_quotes(value.strip())
    return found


def strip_quotes(text: str) -> str:
    """Drop one pair of equal quotes that encloses the text."""
    quoted = len(text) > 1 and text[0] in QUOTES and text[0] == text[-1]
    return text[1:-1] if quoted else text


def has_stray_quotes(text: str) -> bool:
    """Whether a text of options stands as a whole in one pair of quotes.

    Quotes collect on the way from a profile to a rule: `"'--gres=gpu:1'"`.
    """
    content = text.strip()
    return strip_quotes(content) != content and content[0] not in content[1:-1]


def parse_words(value: object) -> tuple[str, ...]:
    """Split a text as a shell would, one pair of stray outer quotes dropped; a list stays.

    Raises:
        ConfigError: A quote without its partner, or a list with something else than words.
    """
    if isinstance(value, (list, tuple)):
        return tuple(_word(item) for item in value)
    text = _word(value).strip()
    if has_stray_quotes(text):
        text = strip_quotes(text)
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise ConfigError(
            f"a quote in {text!r} has no partner",
            next_step="quote as in a shell, or give the options as a list",
        ) from None


def parse_list(value: object) -> tuple[str, ...]:
    """Return a list's items, or those of a text that commas and newlines separate.

    Raises:
        ConfigError: The list holds something else than words.
    """
    if isinstance(value, (list, tuple)):
        return tuple(_word(item) for item in value)
    return tuple(split_items(_word(value)))


def _word(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ConfigError(f"expected text, got {value!r}")
    return str(value)


def is_image_file(reference: str) -> bool:
    """Whether an image reference is written as a path: by its beginning or its ending."""
    return "://" not in reference and IMAGE_FILE.fullmatch(reference) is not None
