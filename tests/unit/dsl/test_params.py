from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl.params import help_text, read_arguments
from snakemake_executor_plugin_hpcctr.dsl.pipeline import Pipeline, load
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from tests.unit.dsl.planned import write

if TYPE_CHECKING:
    from pathlib import Path

TEXT = '''
from enum import Enum
from typing import Literal

class Speed(Enum):
    slow = 1
    fast = 2

@workflow
def main(
    data: Path,
    inputFile: str = "x",
    rates: list[float] = [0.1],
    flag: bool = False,
    times: int | None = None,
    mode: Literal["fast", "slow"] = "fast",
    speed: Speed = Speed.slow,
):
    """Count things.

    Args:
        data: Where the data is.
        rates: Learning rates,
            several.
    """
'''


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """Return a pipeline with parameters of several types."""
    return load(write(tmp_path, TEXT))


def read(pipeline: Pipeline, *words: str, **sources: Any) -> dict[str, Any]:
    """Return the arguments, with a data file that exists."""
    return read_arguments(pipeline, ["--data", str(pipeline.file), *words], **sources)


def test_defaults(pipeline: Pipeline) -> None:
    """What nobody gives has the default of the signature."""
    found = read(pipeline)
    assert pipeline.file == found.pop("data")
    assert "slow" == found.pop("speed").name
    expected = {"inputFile": "x", "rates": [0.1], "flag": False, "times": None, "mode": "fast"}
    assert expected == found


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--rates", "1", "2.5"], "rates", [1.0, 2.5]),
        (["--rates", "1,2"], "rates", [1.0, 2.0]),
        (["--rates=3"], "rates", [3.0]),
        (["--flag"], "flag", True),
        (["--flag", "false"], "flag", False),
        (["--input-file", "y"], "inputFile", "y"),
        (["--input_file", "y"], "inputFile", "y"),
        (["--times", "3"], "times", 3),
        (["--mode", "slow"], "mode", "slow"),
    ],
)
def test_words_become_values(pipeline: Pipeline, words: list[str], name: str, value: Any) -> None:
    """Text of the command line is converted by the parameter's type."""
    assert value == read(pipeline, *words)[name]


def test_the_stronger_source_wins(pipeline: Pipeline, tmp_path: Path) -> None:
    """Configuration, then a params file, then the command line."""
    file = tmp_path / "params.yaml"
    file.write_text("times: 2\nmode: slow\n")
    config = {"times": "1", "inputFile": "config", "mode": "fast"}
    found = read(pipeline, "--mode", "fast", config=config, file=file)
    assert (2, "config", "fast") == (found["times"], found["inputFile"], found["mode"])


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (["--tims", "3"], "there is no parameter `tims`", "did you mean `times`?"),
        (["--times", "many"], "wants whole number, got 'many'", ""),
        (["--mode", "odd"], "wants fast | slow", ""),
        (["--speed", "3"], "wants 1 | 2, got '3'", ""),
        (["--flag", "perhaps"], "wants true or false", ""),
        (["--times"], "has no value", ""),
        (["stray"], "wants file", ""),
    ],
)
def test_wrong_words(pipeline: Pipeline, words: list[str], said: str, hint: str) -> None:
    """Unknown names and values of the wrong type are refused."""
    with pytest.raises(ConfigError) as caught:
        read_arguments(pipeline, ["--data", str(pipeline.file), *words])
    known = caught.value.what
    assert said in known or "does not exist" in known
    assert hint in caught.value.next_step


@pytest.mark.parametrize("word", ["fast", "2"])
def test_words_of_an_enum(pipeline: Pipeline, word: str) -> None:
    """A member is chosen by its name or its value."""
    assert "fast" == read(pipeline, "--speed", word)["speed"].name


def test_no_fraction_is_cut_off(pipeline: Pipeline) -> None:
    """A whole number that a file gives with a fraction is refused; 2.0 is 2."""
    assert 2 == read(pipeline, config={"times": 2.0})["times"]
    with pytest.raises(ConfigError, match=r"wants whole number, got 1\.5"):
        read(pipeline, config={"times": 1.5})


def test_a_type_for_checkers_only(tmp_path: Path) -> None:
    """A type that is imported for type checkers only is named, `Path` is known all the same."""
    lines = (
        "from __future__ import annotations\nfrom snakemake_executor_plugin_hpcctr.dsl import *\n"
    )
    main = "@workflow\ndef main(data: Path, time: datetime):\n    pass\n"
    file = tmp_path / "typed_for_checkers.py"
    file.write_text(lines + main)
    with pytest.raises(ConfigError, match="`main`: the type `datetime` is not known") as caught:
        help_text(load(file))
    assert "TYPE_CHECKING" in caught.value.next_step


def test_a_missing_parameter(pipeline: Pipeline) -> None:
    """A parameter without default must be given."""
    with pytest.raises(ConfigError, match="the parameter --data is missing"):
        read_arguments(pipeline, [])


def test_a_file_must_exist(pipeline: Pipeline) -> None:
    """A parameter of type Path names a file that is there."""
    with pytest.raises(ConfigError, match=r"names nowhere\.csv, which does not exist"):
        read_arguments(pipeline, ["--data", "nowhere.csv"])


def test_help_lists_parameters(pipeline: Pipeline) -> None:
    """Help shows names, types, defaults and the docstring's words."""
    text = help_text(pipeline)
    assert text.startswith("Count things.\n")
    assert "--data       file; required" in text
    assert "--rates      list of number; default: 0.1" in text
    assert "Learning rates, several." in text
