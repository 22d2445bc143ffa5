"""The examples of the DSL's reference give what the page says."""

from __future__ import annotations

import ast
import contextlib
import os
import re
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from snakemake_executor_plugin_hpcctr.dsl import Channel, channel, groupKey
from snakemake_executor_plugin_hpcctr.dsl.trace import Trace, tracing

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "dsl-operators.md"
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
FILES = re.compile(r"<!-- files -->\n```text\n(.*?)```", re.DOTALL)
EXAMPLE = re.compile(r"^```python\n(.*?)\n# → (.*?)\n```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [(found[1], found[2]) for found in EXAMPLE.finditer(TEXT)]
#: Methods of Channel that are no operators.
SECTION = re.compile(r"^### `(\w+)`$", re.MULTILINE)


@contextlib.contextmanager
def sample_folder(listing: str) -> Iterator[None]:
    """Be in a folder with the files of a listing, `NAME: CONTENT` a line."""
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        for line in listing.strip().splitlines():
            name, _, content = line.partition(": ")
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content.replace("\\n", "\n"), encoding="utf-8")
        yield


def run_example(code: str) -> list[Any]:
    """Run an example as a workflow; return the items of its last line's channel."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    names = {
        "channel": channel, "groupKey": groupKey, "re": re, "Path": Path, "NamedTuple": NamedTuple,
    }  # fmt: skip
    scope: dict[str, Any] = {**names, "__name__": "example"}
    with tracing(trace := Trace()):
        exec(compile(tree, "example.py", "exec"), scope)
        made = eval(compile(ast.Expression(last.value), "example.py", "eval"), scope)
    assert isinstance(made, Channel)
    if trace.readers:
        return []  # nobody feeds the topic
    assert isinstance(made._node.state, list)
    return made._node.state


def shown(items: list[Any]) -> str:
    """Return items as the page shows them."""
    return ", ".join(_shown(item) for item in items) or "nothing"


def _shown(item: Any) -> str:
    if isinstance(item, PurePath):
        return os.path.relpath(item)
    if isinstance(item, tuple):
        return f"({', '.join(map(_shown, item))})"
    if isinstance(item, list):
        return f"[{', '.join(map(_shown, item))}]"
    if isinstance(item, str):
        return f'"{item}"'.replace("\n", "\\n")
    if isinstance(item, dict):
        return f"{{{', '.join(f'{_shown(key)}: {_shown(part)}' for key, part in item.items())}}}"
    return repr(item)


@pytest.mark.parametrize(("code", "expected"), EXAMPLES)
def test_examples_give_what_the_page_says(code: str, expected: str) -> None:
    """Every example on the page is run, and its items compared."""
    listing = FILES.search(TEXT)
    assert listing is not None
    with sample_folder(listing[1]):
        assert expected == shown(run_example(code))


def test_every_operator_and_factory_is_on_the_page() -> None:
    """Each public method of channels and of `channel` has a section with an example."""
    methods = {name for cls in (Channel, type(channel)) for name in dir(cls) if name[0] != "_"}
    assert methods == set(SECTION.findall(TEXT))
    parts = SECTION.split(TEXT)[1:]
    without = [
        name for name, part in zip(parts[::2], parts[1::2], strict=True) if not EXAMPLE.search(part)
    ]
    assert [] == without
