"""The documentation agrees with the code, with itself, and with Snakemake.

A comment on the line before a fenced block says what the block is: `<!-- snakefile … -->` with
`needs=FILE` and `target=FILE`, or `sweep` where it opens the page's first sweep.yaml;
`<!-- profile -->`, or `<!-- sweep -->`.
"""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import pytest

from snakemake_executor_plugin_hpcctr.config.fields import Surroundings
from snakemake_executor_plugin_hpcctr.config.yamlfile import parse_config
from snakemake_executor_plugin_hpcctr.executor.settings import ExecutorSettings
from snakemake_executor_plugin_hpcctr.sweep.load import load
from snakemake_executor_plugin_hpcctr.sweep.trials import expand

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATOR = runpy.run_path(str(DOCS / "generate.py"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "workflows").rglob("*.md")])
#: Shown by Snakemake's catalogue, which knows no comments: their Python is Snakefiles.
CATALOGUE = (DOCS / "intro.md", DOCS / "further.md")
FIRST_SCREEN = 40

FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?"
    r"(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
FLAG = re.compile(r"--hpcctr-[a-z-]*[a-z]")
VARIABLE = re.compile(r"SNAKEMAKE_HPCCTR_[A-Z_]+")
COMMAND = re.compile(r"(?<!executor )\bhpcctr(?: [a-z]+)+")


class _Block(NamedTuple):
    page: Path
    mark: str
    kind: str
    text: str

    def is_snakefile(self) -> bool:
        return self.mark.startswith("snakefile") or self.page in CATALOGUE


def _blocks(page: Path) -> Iterator[_Block]:
    for found in FENCE.finditer(page.read_text(encoding="utf-8")):
        yield _Block(page, found["mark"] or "", found["kind"], found["text"])


def _prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def _links(page: Path) -> list[str]:
    return [link for link in LINK.findall(_prose(page)) if "://" not in link]


def _anchors(page: Path) -> set[str]:
    """Return the page's anchors, made of its headings as the usual forges make them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(_prose(page))
    }


def _page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _block_name(block: _Block) -> str:
    return f"{_page_name(block.page)}: {block.text.strip().splitlines()[0]}"


def _flags() -> set[str]:
    return {f"--hpcctr-{one.name.replace('_', '-')}" for one in fields(ExecutorSettings)}


def _commands() -> set[str]:
    return {name for name, _ in GENERATOR["commands"]("hpcctr", GENERATOR["app"])}


def _is_command(typed: str) -> bool:
    """Tell whether words begin with a command, or are the beginning of some."""
    return any(f"{typed} ".startswith(f"{name} ") for name in _commands()) or any(
        name.startswith(f"{typed} ") for name in _commands()
    )


def _in_chinese(page: Path) -> Path:
    return page.with_suffix(".zh-TW.md")


#: The English pages that have a Chinese counterpart.
TRANSLATED = [page for page in PAGES if _in_chinese(page) in PAGES]
ALL_BLOCKS = [block for page in PAGES for block in _blocks(page)]
PROFILES = [block for block in ALL_BLOCKS if block.mark == "profile"]
SWEEPS = [block for block in ALL_BLOCKS if block.mark == "sweep"]
CONFIGURATIONS = [
    block for block in ALL_BLOCKS if block.kind == "yaml" and block not in [*PROFILES, *SWEEPS]
]
SNAKEFILES = [block for block in ALL_BLOCKS if block.kind == "python" and block.is_snakefile()]


@pytest.mark.parametrize("name", ["flags.md", "cli.md"])
def test_generated_pages_are_current(name: str) -> None:
    """A page that docs/generate.py writes is what it would write now."""
    page = DOCS / "reference" / name
    assert GENERATOR["pages"]()[page] == page.read_text(encoding="utf-8")


def test_every_flag_is_documented() -> None:
    """Each flag stands on the page about flags."""
    page = DOCS / "reference" / "flags.md"
    assert _flags() == set(FLAG.findall(page.read_text(encoding="utf-8")))


def test_every_command_is_documented() -> None:
    """Each command of `hpcctr` has a section on the page about it."""
    page = DOCS / "reference" / "cli.md"
    sections = re.findall(r"^## `(hpcctr [a-z ]+)`$", _prose(page), re.MULTILINE)
    assert _commands() == set(sections)


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_flags_on_pages_exist(page: Path) -> None:
    """Every `--hpcctr-…` flag and every SNAKEMAKE_HPCCTR_… variable on a page exists."""
    text = page.read_text(encoding="utf-8")
    variables = {f"SNAKEMAKE_{flag[2:].upper().replace('-', '_')}" for flag in _flags()}
    assert set() == set(FLAG.findall(text)) - _flags()
    assert set() == set(VARIABLE.findall(text)) - variables


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_commands_on_pages_exist(page: Path) -> None:
    """Every `hpcctr …` command in a shell block or in backticks exists."""
    code = [block.text for block in _blocks(page) if block.kind == "bash"]
    code += re.findall(r"`([^`\n]+)`", _prose(page))
    typed = {words for text in code for words in COMMAND.findall(text)}
    assert [] == sorted(words for words in typed if not _is_command(words))


@pytest.mark.parametrize("page", PAGES, ids=_page_name)
def test_links_resolve(page: Path) -> None:
    """Every link to another page or heading of the project leads somewhere."""
    broken = []
    for link in _links(page):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert [] == broken


def test_every_page_is_in_the_index() -> None:
    """From docs/index.md one gets to every page but those of Snakemake's catalogue."""
    index = DOCS / "index.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in _links(index)}
    assert set() == set(DOCS.rglob("*.md")) - {index, *CATALOGUE} - linked


def test_readme_shows_it_all_on_the_first_screen() -> None:
    """Install, Snakefile, command, demo and tests, and real output: within 40 lines."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    screen = "\n".join(lines[:FIRST_SCREEN])
    wanted = ("pip install .", "container:", "--executor hpcctr", "make demo", "make test")
    assert [] == [words for words in (*wanted, "What ran where:") if words not in screen]
    assert 0 == screen.count("```") % 2


@pytest.mark.parametrize("page", TRANSLATED, ids=_page_name)
def test_both_languages_show_the_same_blocks(page: Path) -> None:
    """A Chinese page has the blocks of the English one; only comments may be translated."""
    english, chinese = (
        [(block.mark, block.kind, re.sub(" *#.*", "", block.text)) for block in _blocks(one)]
        for one in (page, _in_chinese(page))
    )
    assert english == chinese


@pytest.mark.parametrize("page", TRANSLATED, ids=_page_name)
def test_both_languages_link_to_each_other(page: Path) -> None:
    """A page in two languages links from each to the other."""
    chinese = _in_chinese(page)
    assert chinese.name in _links(page)
    assert page.name in _links(chinese)


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=_block_name)
def test_configuration_examples_are_valid(block: _Block) -> None:
    """A YAML block is an hpcctr.yaml without mistakes, unless it is marked as a profile."""
    around = Surroundings(environ={"HOME": "/home/me", "USER": "me"}, base="/work/flow")
    assert parse_config(block.text, _block_name(block), around).config.model_fields_set


@pytest.mark.parametrize("block", PROFILES, ids=_block_name)
def test_profile_examples_name_flags(block: _Block) -> None:
    """The `hpcctr-…` keys of a profile are flags."""
    keys = re.findall(r"^(hpcctr-[a-z-]+):", block.text, re.MULTILINE)
    assert set() == {f"--{key}" for key in keys} - _flags()


def _write_sweep(block: _Block, folder: Path) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(block.text, encoding="utf-8")
    (folder / "learning_rates.txt").write_text("0.1\n0.01\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("block", SWEEPS, ids=_block_name)
def test_sweep_examples_are_valid(block: _Block, tmp_path: Path) -> None:
    """A YAML block marked as a sweep has trials, or can be searched."""
    file = _write_sweep(block, tmp_path)
    searched = "distribution" in block.text and "combine" not in block.text
    loaded = load(file, searched=searched or "halving" in block.text)
    assert loaded.config.parameters
    if not searched and "halving" not in block.text:
        assert expand(loaded)


@pytest.fixture(scope="module")
def dry_runs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[_Block, subprocess.Popen[str]]]:
    """Start `snakemake -n` for all Snakefiles at once: each takes more than a second."""
    started = {block: _dry_run(block, tmp_path_factory.mktemp("docs")) for block in SNAKEFILES}
    yield started
    for process in started.values():
        with process:
            process.kill()


def _dry_run(block: _Block, folder: Path) -> subprocess.Popen[str]:
    (folder / "Snakefile").write_text(block.text, encoding="utf-8")
    for name in re.findall(r"needs=(\S+)", block.mark):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    if block.mark.endswith(" sweep"):
        _write_sweep(next(one for one in SWEEPS if one.page == block.page), folder)
    words = ["-n", "--executor", "hpcctr", "-j", "1", *re.findall(r"target=(\S+)", block.mark)]
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("block", SNAKEFILES, ids=_block_name)
def test_snakefiles_pass_a_dry_run(
    block: _Block, dry_runs: dict[_Block, subprocess.Popen[str]]
) -> None:
    """Snakemake accepts every Snakefile on the pages."""
    process = dry_runs[block]
    said, _ = process.communicate(timeout=300)
    assert 0 == process.returncode, said
