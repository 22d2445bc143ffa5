from __future__ import annotations

import pytest

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean, nearest


@pytest.mark.parametrize("word", ["enigne", "Engine", "engines", "ENGINE"])
def test_near(word: str) -> None:
    """Slips, plurals and capitals lead to the known word."""
    assert did_you_mean(word, ["engine", "image"]) == "did you mean `engine`?"


def test_hyphen() -> None:
    """A hyphen is taken for an underscore."""
    assert nearest("image-dir", ["image_dir"]) == "image_dir"


def test_far() -> None:
    """A word that is near none leads nowhere."""
    assert did_you_mean("colour", ["engine", "image"]) == ""
