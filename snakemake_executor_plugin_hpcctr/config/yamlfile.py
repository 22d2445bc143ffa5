"""hpcctr.yaml → a checked configuration that remembers on which line each key stands.

Scalars are taken as the text that stands in the file: YAML 1.1 would turn `1:30:00` into 5400,
`off` into false and `010` into 8 before anybody could ask what was meant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from snakemake_executor_plugin_hpcctr.config.fields import Surroundings
from snakemake_executor_plugin_hpcctr.config.model import HpcctrConfig
from snakemake_executor_plugin_hpcctr.config.problems import (
    Problem,
    error_of,
    line_of,
    placed,
    problems_of,
)
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.config.problems import Place

NULL = "tag:yaml.org,2002:null"
MERGE = "tag:yaml.org,2002:merge"
STANDARD = "tag:yaml.org,2002:"
UNSAFE = "tag:yaml.org,2002:python/"
DEEPEST = 20
QUOTES = ("'", '"')

HINTS = {
    "\\t": "YAML does not allow tabs for indentation: use spaces",
    "mapping values are not allowed": "put a value that contains `: ` in quotes, or check that "
    "the line above ends as you meant it",
    "could not find expected ':'": "write a space after the colon, and check the line above",
    "cannot start any token": "put a value that begins with this character in quotes",
    "while parsing a flow": "a `[` or `{` is not closed, or a value in it needs quotes",
    "while scanning a quoted": "a quote is not closed",
    "undefined alias": "a value that begins with `*` needs quotes",
    "expected a single document": "keep one document: remove the second `---`",
    "but found": "check the indentation: keys of one section begin in one column",
}


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration file that was read.

    Args:
        config: Its content.
        name: The file as messages name it.
        lines: Key path → line, from 1.
    """

    config: HpcctrConfig
    name: str
    lines: Mapping[Place, int] = field(default_factory=dict)

    def at(self, *place: str | int) -> str:
        """Return `FILE:LINE` of a key, or of the nearest section round it."""
        return f"{self.name}:{line_of(self.lines, place)}"


def load(file: Path, environ: Mapping[str, str], name: str | None = None) -> LoadedConfig:
    """Read and check a configuration file.

    Args:
        file: What to read.
        environ: Variables that paths and binds may name.
        name: How messages name the file; its path if None.

    Raises:
        ConfigError: The file cannot be read or used; says where and why, all errors at once.
    """
    shown = str(file) if name is None else name
    around = Surroundings(environ=environ, base=str(file.absolute().parent))
    return parse_config(read_text(file, shown, "configuration file"), shown, around)


def read_text(file: Path, shown: str, kind: str) -> str:
    """Read a file as UTF-8.

    Raises:
        ConfigError: It cannot be read; names it as `shown`, and as what `kind` says.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the file is not UTF-8 text (byte {error.start})",
            where=shown,
            next_step="save it as UTF-8",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"the {kind} cannot be read: {error.strerror or error}",
            where=shown,
            next_step="check its path and permissions",
        ) from None


def parse_config(text: str, name: str, around: Surroundings) -> LoadedConfig:
    """Check the text of a configuration file.

    Raises:
        ConfigError: Names line and key of everything that is wrong.
    """
    reader = Reader(name)
    data = reader.read(text)
    problems, config = reader.problems, None
    try:
        config = HpcctrConfig.model_validate({} if data is None else data, context=around)
    except ValidationError as error:
        problems = [*problems, *problems_of(error)]
    if config is None or problems:
        raise error_of(name, placed(name, problems, reader.lines))
    return LoadedConfig(config, name, reader.lines)


class Quoted(str):
    """A text that stands in quotes in the file."""

    __slots__ = ()


class Reader:
    """Turns YAML's nodes into dicts, lists and texts; notes lines and what YAML lets pass.

    Args:
        name: The file as messages name it.
        about: What a file that holds no keys is told: an example, and the page of the keys.
    """

    def __init__(
        self,
        name: str,
        about: tuple[str, str] = ("engine: apptainer", "docs/reference/hpcctr-yaml.md"),
    ) -> None:
        self.name = name
        self.about = about
        self.lines: dict[Place, int] = {}
        self.problems: list[Problem] = []

    def read(self, text: str) -> object:
        """Return what a text holds.

        Raises:
            ConfigError: It is not YAML, or no section at its top.
        """
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            raise _syntax_error(error, self.name) from None
        except yaml.YAMLError as error:
            raise ConfigError(
                f"the file cannot be read as YAML: {str(error).splitlines()[0]}",
                where=self.name,
                next_step="remove it, or write it as an escape in double quotes",
            ) from None
        if node is None or node.tag == NULL:
            return None
        if not isinstance(node, yaml.MappingNode):
            example, page = self.about
            raise ConfigError(
                f"expected keys and values, such as `{example}`",
                where=f"{self.name}:{node.start_mark.line + 1}",
                next_step=f"the keys are explained in {page}",
            )
        return self._value(node, ())

    def _value(self, node: yaml.Node, place: Place) -> object:
        self._check(node, place)
        if len(place) > DEEPEST:
            return {}
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.lines[*place, index] = item.start_mark.line + 1
                items.append(self._value(item, (*place, index)))
            return items
        if isinstance(node, yaml.ScalarNode) and node.tag != NULL:
            return Quoted(node.value) if node.style in QUOTES else str(node.value)
        return None

    def _check(self, node: yaml.Node, place: Place) -> None:
        if not node.tag.startswith(STANDARD) or node.tag.startswith(UNSAFE):
            self.problems.append(
                Problem(place, f"the tag {node.tag} has no meaning here", "remove it")
            )
        if len(place) > DEEPEST:
            self.problems.append(Problem(place, "the sections are nested too deeply"))

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, object]:
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                merged.update(self._merged(value_node, place))
                continue
            key = self._key(key_node, place)
            line = key_node.start_mark.line + 1
            if key in own:
                first = self.lines[*place, key]
                self.problems.append(
                    Problem((*place, key), f"the key stands twice, first on line {first}",
                            "keep one of the two", line)
                )  # fmt: skip
                continue
            self.lines[*place, key] = line
            own[key] = self._value(value_node, (*place, key))
        return {**merged, **own}

    def _merged(self, node: yaml.Node, place: Place) -> dict[str, object]:
        """Return what `<<:` brings in; of several sections the first wins."""
        sections = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, object] = {}
        for section in sections:
            # One level deeper counts, so that a section which merges itself comes to an end.
            value = self._value(section, (*place, "<<"))
            if isinstance(value, dict):
                found = {**value, **found}
            else:
                self.problems.append(Problem(place, "`<<` needs a section to merge"))
        return found

    def _key(self, node: yaml.Node, place: Place) -> str:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self.problems.append(
            Problem(
                place, "a key must be a word", "put a key that begins with `{` or `[` in quotes"
            )
        )
        return ""


def _syntax_error(error: yaml.MarkedYAMLError, name: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    where = name if mark is None else f"{name}:{mark.line + 1}"
    column = "" if mark is None else f" (column {mark.column + 1})"
    said = " ".join(filter(None, (error.context, error.problem)))
    hint = next(
        (hint for sign, hint in HINTS.items() if sign in said), "check quotes and indentation"
    )
    return ConfigError(
        f"this is not valid YAML: {error.problem or said}{column}", where=where, next_step=hint
    )
