from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.config.model import HpcctrConfig
from snakemake_executor_plugin_hpcctr.dsl.configure import Block, of_files, read_processes
from snakemake_executor_plugin_hpcctr.dsl.pipeline import load
from snakemake_executor_plugin_hpcctr.dsl.planner import trace_pipeline
from snakemake_executor_plugin_hpcctr.dsl.trace import Trace
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from tests.unit.dsl.planned import write

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
class p(Process, cpus=2, label="big", ext={"own": 1}):
    script = "true"

class bare(Process):
    script = "true"

@workflow
def inner():
    p.alias("q")()

@workflow
def main():
    p()
    bare()
    inner()
"""


def directives(folder: Path, section: dict[str, Any], call: str = "p") -> dict[str, Any]:
    """Return the directives of a call under a `process:` section."""
    pipeline = load(write(folder, TEXT))
    trace = trace_pipeline(pipeline, {}, Trace())
    return read_processes([(section, "hpcctr.yaml: process")]).directives(trace.calls[call])


def test_own_directives_beat_general_ones(tmp_path: Path) -> None:
    """`process:` without selector is weaker than the process's own header."""
    section = {"cpus": "8", "memory": "1 GB"}
    assert (2, 1024**3) == tuple(directives(tmp_path, section)[n] for n in ("cpus", "memory"))
    assert 8 == directives(tmp_path, section, "bare")["cpus"]


LEVELS: dict[str, Any] = {
    "withName": {
        "inner:q": {"cpus": 7},
        "q": {"cpus": 6},
        "p": {"cpus": 5},
        "p|x": {"cpus": 4},
    },
    "withLabel": {"big": {"cpus": 3}},
}


@pytest.mark.parametrize(("removed", "cpus"), [((), 7), (("inner:q",), 6), (("inner:q", "q"), 4)])
def test_names_from_weak_to_strong(removed: tuple[str, ...], cpus: int, tmp_path: Path) -> None:
    """Simple name, alias, qualified name; within one level the later block wins."""
    names = {k: v for k, v in LEVELS["withName"].items() if k not in removed}
    section = {**LEVELS, "withName": names}
    assert cpus == directives(tmp_path, section, "inner:q")["cpus"]


def test_labels_beat_the_header(tmp_path: Path) -> None:
    """`withLabel` is stronger than the process's own, weaker than `withName`."""
    assert 3 == directives(tmp_path, {"withLabel": {"big": {"cpus": 3}}})["cpus"]


def test_ext_adds_up(tmp_path: Path) -> None:
    """`ext` of several layers is merged key by key."""
    section = {"withName": {"p": {"ext": {"args": "-v"}}}}
    assert {"own": 1, "args": "-v"} == directives(tmp_path, section)["ext"]


@pytest.mark.parametrize(
    ("selector", "name", "matches"),
    [
        ("p", "p", True), ("p", "pp", False), ("p.*", "pp", True), ("a|b", "b", True),
        ("!p", "p", False), ("!p", "q", True), ("!a|b", "b", False),
    ],
)  # fmt: skip
def test_selectors_match_whole_names(selector: str, name: str, matches: bool) -> None:  # noqa: FBT001
    """Selectors are whole regular expressions; `!` negates."""
    assert matches == Block(selector, {}).matches(name)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"cpu": "2"}, "unknown directive `cpu`"),
        ({"cpus": "two"}, "invalid literal"),
        ({"withName": {"(": {"cpus": "2"}}}, "no regular expression"),
        ({"withName": {"p": "2"}}, "expected directives"),
        ({"errorStrategy": "wait"}, "expected one of"),
    ],
)
def test_what_is_wrong_in_a_section(section: dict[str, Any], words: str) -> None:
    """Mistakes are named with the key's path."""
    with pytest.raises(ConfigError, match="process") as caught:
        read_processes([(section, "hpcctr.yaml: process")])
    assert words in caught.value.what


def test_profiles_come_on_top() -> None:
    """Chosen profiles change parameters in the order given; `standard` counts without a choice."""
    config = HpcctrConfig.model_validate(
        {
            "params": {"a": "0", "b": "0"},
            "profiles": {
                "standard": {"params": {"a": "s"}},
                "one": {"params": {"a": "1", "b": "1"}},
                "two": {"params": {"b": "2"}},
            },
        }
    )
    known = set(config.profiles or {})
    files = [(config, "hpcctr.yaml")]
    assert {"a": "s", "b": "0"} == of_files(files, [], known)[1]
    assert {"a": "1", "b": "2"} == of_files(files, ["one", "two"], known)[1]
    assert {"a": "1", "b": "1"} == of_files(files, ["two", "one"], known)[1]
    with pytest.raises(ConfigError, match="no profile `three`"):
        of_files(files, ["three"], known)
