from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.config.fields import Surroundings
from snakemake_executor_plugin_hpcctr.config.yamlfile import LoadedConfig, load, parse_config
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.config.model import RuleSettings

AROUND = Surroundings(environ={"HOME": "/home/u"}, base="/project")


def parsed(text: str) -> LoadedConfig:
    """Read a file given as text."""
    return parse_config(text, "hpcctr.yaml", AROUND)


def defaults(text: str) -> RuleSettings:
    """Read one line below `defaults:`."""
    settings = parsed(f"defaults:\n  {text}").config.defaults
    assert settings is not None
    return settings


def refused(text: str) -> ConfigError:
    """Return the error that a file meets."""
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    return caught.value


@pytest.mark.parametrize("text", ["", "# nothing\n", "defaults:\nrules:\n  a:\n", "---\n"])
def test_empty(text: str) -> None:
    """An empty file, and sections with nothing in them, set nothing."""
    config = parsed(text).config
    assert config.defaults is None
    assert config.engine is None


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("runtime: 1:30:00", "runtime", 90),
        ("account: 0123", "account", "0123"),
        (
            "env: {A: 1.10, B: yes, C: 010, D: ''}",
            "env",
            {"A": "1.10", "B": "yes", "C": "010", "D": ""},
        ),
        ("requeue: yes", "requeue", True),
        ("mem: 32GB", "mem", 32000),
        ("partition: [a, b]", "partition", "a,b"),
        ("gres: [gpu:a100:2, shard:1]", "gres", "gpu:a100:2,shard:1"),
        ("engine: singularity", "engine", ("apptainer",)),
        ("engine: pyxis, enroot", "engine", ("pyxis", "enroot")),
        ("extra: --exclude=n1 --nice", "extra", ("--exclude=n1", "--nice")),
        ("image: x.sif", "image", "/project/x.sif"),
        ("image: docker://a/b", "image", "docker://a/b"),
        ("env_file: ~/x.env", "env_file", "/home/u/x.env"),
        ("gpu: 0", "gpu", (0, None)),
        ("pass_env: TOKEN, KEY", "pass_env", ("TOKEN", "KEY")),
        ("qos:", "qos", None),
    ],
)
def test_values_are_read_as_written(text: str, name: str, expected: object) -> None:
    """Scalars are the text of the file: no octal numbers, times in base 60, or booleans."""
    assert expected == getattr(defaults(text), name)


def test_engine_blocks() -> None:
    """An engine's options take one value or a list."""
    settings = defaults("apptainer: {overlay: /a b, scratch: [/x, /y], extra_args: --a -b}")
    assert settings.apptainer is not None
    assert settings.apptainer.overlay == ("/a b",)
    assert settings.apptainer.scratch == ("/x", "/y")
    assert settings.apptainer.extra_args == ("--a", "-b")
    assert settings.apptainer.cleanenv is None


@pytest.mark.parametrize(
    ("text", "where", "what", "hint"),
    [
        ("enigne: x", "1: enigne", "unknown key `enigne`", "did you mean `engine`?"),
        (
            "defaults:\n  slurm_partition: a",
            "2: defaults.slurm_partition",
            "unknown key `slurm_partition`",
            "did you mean `partition`?",
        ),
        ("mem: 3GB", "1: mem", "unknown key `mem`", "`mem` belongs under `defaults:`"),
        ("mem_mb: 3", "1: mem_mb", "unknown key `mem_mb`", "`mem` belongs under `defaults:`"),
        (
            "rules: {a: {scheduler: local}}",
            "1: rules.a.scheduler",
            "unknown key `scheduler`",
            "`scheduler` belongs at the top level of the file",
        ),
        (
            "defaults:\n  pyxis:\n    remaproot: true",
            "3: defaults.pyxis.remaproot",
            "unknown key `remaproot`",
            "did you mean `remap_root`?",
        ),
        (
            "logs: {colour: 1}",
            "1: logs.colour",
            "unknown key `colour`",
            "the keys here are dir, keep",
        ),
        (
            "defaults:\n  mem: lots",
            "2: defaults.mem",
            "expected an amount of memory, got 'lots'",
            "32GB",
        ),
        (
            "defaults: 3",
            "1: defaults",
            "expected a section with keys, got '3'",
            "below `defaults:`",
        ),
        ("rules: [a]", "1: rules", "expected a section with keys, got ['a']", "below `rules:`"),
        ("images: {a: }", "1: images.a", "expected text, got nothing", ""),
        (
            "defaults:\n  env:\n    A:",
            "2: defaults.env",
            "the variable A needs a single value, got nothing",
            'write ""',
        ),
        ("defaults: {gres: 'gpu:1:2:3'}", "1: defaults.gres", "expected generic resources", "NAME"),
        (
            "defaults: {gpu_model: 'a b'}",
            "1: defaults.gpu_model",
            "expected the name of one GPU",
            "",
        ),
        ("array: none", "1: array", "expected auto, off, or the largest number", ""),
        ("engine: [auto, pyxis]", "1: engine", "expected an engine or a list", "stands alone"),
        ("engine: []", "1: engine", "expected an engine, got an empty list", ""),
        (
            "a: &a\n  <<: *a",
            "",
            "2 problems",
            "",
        ),
    ],
)
def test_error_says_where_and_what(text: str, where: str, what: str, hint: str) -> None:
    """An error names file, line and key, what was expected and given, and a way out."""
    error = refused(text)
    assert f"hpcctr.yaml:{where}".rstrip(":") == error.where
    assert what in error.what
    assert hint in error.next_step


def test_all_errors_at_once() -> None:
    """Several errors are listed together, in the order of their lines."""
    error = refused("defaults:\n  mem: x\n  enigne: y\n  gpu: -1\n")
    lines = error.what.splitlines()
    assert lines[0] == "3 problems"
    assert [line.split(": ")[0].strip() for line in lines[1:]] == [
        "hpcctr.yaml:2",
        "hpcctr.yaml:3",
        "hpcctr.yaml:4",
    ]
    assert "(did you mean `engine`?)" in lines[2]


def test_duplicate_key() -> None:
    """A key that stands twice is an error that names both lines."""
    error = refused("defaults:\n  mem: 1GB\n  gpu: 1\n  mem: 2GB\n")
    assert error.where == "hpcctr.yaml:4: defaults.mem"
    assert error.what == "the key stands twice, first on line 2"


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("defaults:\n\tmem: 1GB", 2, "does not allow tabs"),
        ("engine: a: b", 1, "in quotes"),
        ("engine: [a", 1, "is not closed"),
        ("engine: 'a", 1, "a quote is not closed"),
        ("engine: *a", 1, "begins with `*` needs quotes"),
        ("engine: @a", 1, "begins with this character"),
        ("defaults:\n  mem: 1\n   gpu: 1", 3, ""),
        ("- engine", 1, "hpcctr-yaml.md"),
        ("engine: !py x", 1, "remove it"),
        ("{a: 1}: 2", 1, "in quotes"),
    ],
)
def test_syntax_error(text: str, line: int, hint: str) -> None:
    """What is not valid YAML, or no settings, is an error with its line and a hint."""
    error = refused(text)
    assert f"hpcctr.yaml:{line}" in str(error)
    assert hint in str(error)


def test_merge_key() -> None:
    """Anchors and `<<` work; what stands in the section itself is stronger."""
    config = parsed("rules:\n  a: &a {mem: 1GB, gpu: 1}\n  b:\n    <<: *a\n    mem: 2GB\n").config
    assert config.rules is not None
    b = config.rules["b"]
    assert b is not None
    assert b.mem == 2000
    assert b.gpu == (1, None)


def test_lines_are_remembered() -> None:
    """Each key knows its line; what has none has that of its section."""
    loaded = parsed("rules:\n  a:\n    binds:\n      - /x\n      - /y\n")
    assert loaded.at("rules", "a", "binds", 1) == "hpcctr.yaml:5"
    assert loaded.at("rules", "a", "gpu") == "hpcctr.yaml:2"
    assert loaded.at("engine") == "hpcctr.yaml:1"


def test_load_missing(tmp_path: Path) -> None:
    """A file that cannot be read is an error that names it."""
    with pytest.raises(ConfigError, match="No such file or directory"):
        load(tmp_path / "x.yaml", {})


def test_load_not_text(tmp_path: Path) -> None:
    """A file that is not UTF-8 is an error, as are characters that YAML forbids."""
    file = tmp_path / "x.yaml"
    file.write_bytes(b"engine: \xff")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load(file, {})
    file.write_bytes(b"engine: \x01")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load(file, {})


def test_load_resolves_paths(tmp_path: Path) -> None:
    """Relative paths count from the folder of the file."""
    file = tmp_path / "x.yaml"
    file.write_text("image_dir: store\n", encoding="utf-8")
    assert str(tmp_path / "store") == load(file, {}).config.image_dir
