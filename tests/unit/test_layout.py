"""The shape of the package: who imports whom, what loads when, and the words it uses."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from importlinter.cli import lint_imports

import snakemake_executor_plugin_hpcctr as plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "snakemake_executor_plugin_hpcctr"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = ("Executor", "ExecutorSettings", "common_settings")
#: Too slow to be loaded at each start of Snakemake, on `--help` too.
HEAVY = {"pydantic", "pydantic_core", "rich", "typer", "yaml", "filelock", "sqlite3", "snakemake"}


def shown(path: Path) -> str:
    """Return the path of a module as people write it."""
    return str(path.relative_to(PACKAGE))


def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those that only a type checker looks at."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from running_nodes(child)


def imported(path: Path) -> set[str]:
    """Return the top names of all that a module imports when it runs, wherever in it."""
    names: set[str] = set()
    for node in running_nodes(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def loaded(statement: str) -> set[str]:
    """Return the top names of the modules that a fresh Python has after a statement."""
    program = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_every_layer_imports_only_those_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The contracts in pyproject.toml hold: layers, trace apart from executor, bridge alone."""
    monkeypatch.chdir(ROOT)
    code = lint_imports(config_filename="pyproject.toml", no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_the_package_offers_what_snakemake_looks_for() -> None:
    """Three names and nothing else; another one is an error as for any module."""
    assert sorted(NAMES) == sorted(plugin.__all__)
    assert [name for name in NAMES if not hasattr(plugin, name)] == []
    assert not hasattr(plugin, "Something")


@pytest.mark.parametrize("name", ["", *NAMES])
def test_importing_the_plugin_stays_cheap(name: str) -> None:
    """Snakemake imports every installed plugin at each start: nothing heavy comes with it."""
    statement = f"from {plugin.__name__} import {name}" if name else f"import {plugin.__name__}"
    assert HEAVY & loaded(statement) == set()


def test_the_command_line_starts_without_snakemake() -> None:
    """`hpcctr --help` does not wait for Snakemake to load."""
    assert "snakemake" not in loaded(f"import {plugin.__name__}.cli")


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_programs_are_started_in_one_place(path: Path) -> None:
    """Only proc.py starts programs, and never through a shell."""
    text = path.read_text(encoding="utf-8")
    assert ("subprocess" in imported(path)) == (shown(path) == "proc.py")
    assert "shell=True" not in text
    assert not re.findall(r"\bos\.(system|popen|spawn\w+|exec[lv]\w*)\(", text)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_only_the_command_line_prints(path: Path) -> None:
    """Print() is for cli/; everything else returns, raises or logs."""
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    prints = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not prints or shown(path).startswith("cli/")


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_annotations_are_never_evaluated(path: Path) -> None:
    """Every module with code defers annotations; Snakemake reads those of settings.py."""
    body = tree(path).body
    futures = [n for n in body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    defines = any(isinstance(n, ast.ClassDef | ast.FunctionDef) for n in body)
    exempt = shown(path) in {"__init__.py", "executor/settings.py"}
    assert futures or not defines or exempt


@pytest.mark.parametrize("path", sorted((PACKAGE / "script").glob("*.py")), ids=shown)
def test_scripts_know_no_engine_by_name(path: Path) -> None:
    """What differs between engines comes from their Launch, not from a branch in the script."""
    constants = {n.value for n in ast.walk(tree(path)) if isinstance(n, ast.Constant)}
    assert constants & {"apptainer", "singularity", "enroot", "pyxis", "srun"} == set()


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.is_relative_to(PACKAGE / "engines")],
    ids=shown,
)
def test_engines_do_nothing_themselves(path: Path) -> None:
    """An engine's module says how to start a task; it looks at no file and starts nothing."""
    assert imported(path) <= {
        "__future__",
        "collections",
        "dataclasses",
        "hashlib",
        "snakemake_executor_plugin_hpcctr",
        "typing",
    }


def texts() -> list[Path]:
    """Return all texts that people read: code, documentation and the pages at the top."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("workflows/**/*")]
    scripts = PACKAGE.rglob("*.sh")
    return [path for path in (*MODULES, *scripts, *pages) if path.is_file()]


@pytest.mark.parametrize(
    "word",
    [
        r"container[- ]runtimes?\b",
        r"\bruntimes\b",
        r"\bruntime (engine|flag)s?\b",
        r"(apptainer|singularity|enroot|pyxis) runtime\b",
    ],
)
def test_an_engine_is_never_called_a_runtime(word: str) -> None:
    """`runtime` is Snakemake's time limit; what starts a container is an engine."""
    pattern = re.compile(word, re.IGNORECASE)
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in texts()
        if (match := pattern.search(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert found == {}
