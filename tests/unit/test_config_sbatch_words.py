from __future__ import annotations

import pytest

from snakemake_executor_plugin_hpcctr.config.sbatch_words import (
    check_extra,
    option_names,
    overriding,
)
from snakemake_executor_plugin_hpcctr.errors import ConfigError


@pytest.mark.parametrize(
    "words",
    [
        ["--array=1-3"],
        ["--arr", "1-3"],
        ["-a1-3"],
        ["--wrap", "x"],
        ["--parsable"],
        ["-o", "f"],
        ["-ef"],
        ["--chdir=/x"],
        ["-D/x"],
        ["-J", "n"],
        ["--job=n"],
        ["-M", "c"],
        ["--cluster=c"],
        ["-HJn"],
        ["--exclude=n1", "--output=x"],
    ],
)
def test_refused(words: list[str]) -> None:
    """Options that hide a task are refused in every spelling that sbatch takes."""
    with pytest.raises(ConfigError, match="cannot be given to sbatch here"):
        check_extra(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--nodelist=rack-J1"],
        ["--exclude", "n1"],
        ["--comment=--array"],
        ["--nice=10", "-H"],
        ["--export=ALL"],
    ],
)
def test_accepted(words: list[str]) -> None:
    """All other options pass, also when a value looks like a refused one."""
    check_extra(words)


def test_no_option() -> None:
    """A first word that is no option would be taken for a script."""
    with pytest.raises(ConfigError, match="expected options for sbatch, got 'nice=5'"):
        check_extra(["nice=5"])


def test_option_names() -> None:
    """Names are read from long, short and joined spellings."""
    expected = ["mem", "time", "partition", "nodelist"]
    assert expected == option_names(["--mem=3", "-t", "5", "-Hpgpu", "--nodelist", "n1", "-x"])


def test_overriding() -> None:
    """Options that a setting covers are named, GPUs with the reason why a setting is better."""
    sentences = overriding(["--mem=3", "--mem=4", "--gres=gpu:1", "--exclude=n1"])
    assert sentences[0] == "--mem overrides the setting `mem`"
    assert "asks for GPUs behind hpcctr's back" in sentences[1]
    assert len(sentences) == 2


def test_gres_without_gpu() -> None:
    """A generic resource that is no GPU is an ordinary override."""
    assert overriding(["--gres=shard:1"]) == ["--gres overrides the setting `gres`"]
