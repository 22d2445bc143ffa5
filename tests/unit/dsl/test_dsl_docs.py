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
from snakemake_executor_plugin_hpcctr.dsl.directives import TABLE
from snakemake_executor_plugin_hpcctr.dsl.pipeline import load
from snakemake_executor_plugin_hpcctr.dsl.run import Options, make_plan
from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout
from snakemake_executor_plugin_hpcctr.dsl.trace import Trace, tracing

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "reference" / "dsl-operators.md").read_text(encoding="utf-8")
DIRECTIVES = (DOCS / "reference" / "dsl-directives.md").read_text(encoding="utf-8")
FILES = re.compile(r"<!-- files -->\n```text\n(.*?)```", re.DOTALL)
EXAMPLE = re.compile(r"^```python\n(.*?)\n# → (.*?)\n```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [(found[1], found[2]) for found in EXAMPLE.finditer(TEXT)]
#: Whole pipelines: what they need beside their text.
PIPELINES = [
    found[1]
    for page in ("reference/dsl-directives", "how-to/dsl", "how-to/coming-from-nextflow")
    for found in re.finditer(
        r"^```python\n(.*?)^```$",
        (DOCS / f"{page}.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    if "@workflow" in found[1]
]
NEEDS = {
    "texts/a.txt": "a\n", "x.txt": "b\n", "g.fa": ">s\nAC\n", "a.txt": "cat\n",
    "samples.csv": "id,text,strict\ncats,a.txt,true\ndogs,a.txt,\n",
    "r_1.fq": "", "r_2.fq": "",
}  # fmt: skip
ARGUMENTS = {
    "genome": Path("g.fa"), "sheet": Path("samples.csv"), "reads": "*_{1,2}.fq",
    "index": Path("g.fa"),
}  # fmt: skip
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


@pytest.mark.parametrize("number", range(len(PIPELINES)))
def test_pipelines_on_pages_can_be_planned(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each whole pipeline on a page makes tasks."""
    monkeypatch.chdir(tmp_path)
    for name, content in NEEDS.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    file = tmp_path / f"page_{number}.py"
    file.write_text(PIPELINES[number], encoding="utf-8")
    pipeline = load(file)
    wanted = pipeline.entry.signature.parameters
    arguments = {name: value for name, value in ARGUMENTS.items() if name in wanted}
    arguments |= {n: p.default for n, p in wanted.items() if p.default is not p.empty}
    made = make_plan(pipeline, arguments, Layout(tmp_path / "root"), Options())
    assert all(call.tasks for call in made.calls)


def test_every_directive_is_on_the_page() -> None:
    """Each directive has its line, or stands among those without effect."""
    assert [] == [name for name in TABLE if f"`{name}`" not in DIRECTIVES]
