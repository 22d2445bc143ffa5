"""sweep.yaml → trials → patterns and values for a Snakefile."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep import Sweep, model, naming
from snakemake_executor_plugin_hpcctr.sweep.conditions import parse_condition
from snakemake_executor_plugin_hpcctr.sweep.load import parse_sweep
from snakemake_executor_plugin_hpcctr.sweep.trials import Trial, expand, trial_of
from snakemake_executor_plugin_hpcctr.sweep.values import parse_value

if TYPE_CHECKING:
    from collections.abc import Callable

#: As in a well-known guide: awk "NR==$SLURM_ARRAY_TASK_ID" learning_rates.txt
RATES = "0.1\n0.05\n0.01\n0.005\n0.001\n5e-4\n1e-4\n5e-5\n1e-5\n5e-6\n"


def trials(tmp_path: Path, text: str) -> list[Trial]:
    """Return the trials of a sweep.yaml in a folder."""
    return expand(parse_sweep(text, tmp_path / "sweep.yaml", "sweep.yaml"))


def values(tmp_path: Path, text: str) -> list[tuple[Any, ...]]:
    """Return the values of each trial."""
    return [tuple(trial.values.values()) for trial in trials(tmp_path, text)]


def refusal(read: Callable[[], object]) -> str:
    """Return what the user is told."""
    with pytest.raises(ConfigError) as caught:
        read()
    return str(caught.value)


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[[str], Sweep]:
    """Return a function that writes a sweep.yaml and opens it."""
    numbers = itertools.count()

    def write(text: str) -> Sweep:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        (folder / "sweep.yaml").write_text(text, encoding="utf-8")
        return Sweep(folder / "sweep.yaml", output=str(folder / "out"))

    return write


def job(trial: str | None = None) -> SimpleNamespace:
    """Return wildcards of a job."""
    return SimpleNamespace(**({} if trial is None else {"trial": trial}))


# --- values and spaces -------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("1", 1), ("-3", -3), ("1e-3", 0.001), (".5", 0.5), ("1.", 1.0), ("true", True)],
        *[("007", "007"), ("nan", "nan"), ("1e999", "1e999"), ("adam", "adam"), ("yes", "yes")],
    ],
)
def test_values_have_the_type_that_they_look_like(text: str, expected: object) -> None:
    """Numbers and true/false are such; what only resembles a number stays text."""
    found = parse_value(text)
    assert (type(expected), expected) == (type(found), found)


def test_quotes_make_a_text(tmp_path: Path) -> None:
    """A number in quotes is a text, and `type: text` makes all values texts."""
    text = "parameters: {a: ['1', 2], b: {values: [1e-3], type: text}}"
    assert [("1", "0.001"), (2, "0.001")] == values(tmp_path, text)


def test_a_list_of_learning_rates_is_read_as_it_is(tmp_path: Path) -> None:
    """A file with one value per line gives one trial per line, in its order."""
    (tmp_path / "learning_rates.txt").write_text(RATES)
    found = values(tmp_path, "parameters: {lr: {file: learning_rates.txt}}")
    assert [(float(line),) for line in RATES.split()] == found


def test_a_file_of_values_may_have_comments_and_foreign_line_ends(tmp_path: Path) -> None:
    """Empty lines, comments, white space, CR LF and a byte-order mark are no values."""
    (tmp_path / "v.txt").write_bytes(b"\xef\xbb\xbf# rates\r\n 0.1 \r\n\r\n0.2\r\n")
    assert [(0.1,), (0.2,)] == values(tmp_path, "parameters: {lr: {file: v.txt}}")


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{from: 0, to: 1, count: 4}", [0, 0.333333333333, 0.666666666667, 1]),
        ("{from: 1, to: 9, step: 4}", [1, 5, 9]),
        ("{from: 0, to: 0.3, step: 0.1}", [0, 0.1, 0.2, 0.3]),
        ("{from: 1e-4, to: 1e-1, count: 4, scale: log}", [0.0001, 0.001, 0.01, 0.1]),
        ("{from: 8, to: 2, step: -3}", [8, 5, 2]),
        ("{from: 10, to: 30, count: 3}", [10, 20, 30]),
        ("{from: 5, to: 9, count: 1}", [5]),
    ],
)
def test_ranges(tmp_path: Path, section: str, expected: list[float]) -> None:
    """Linear and logarithmic ranges hold both ends, and no rounding errors in their names."""
    found = [value for (value,) in values(tmp_path, f"parameters: {{x: {section}}}")]
    assert expected == found
    assert [type(one) for one in expected[1:-1]] == [type(one) for one in found[1:-1]]


def test_rows_of_a_table(tmp_path: Path) -> None:
    """Each row of a CSV or TSV is one combination; further parameters multiply them."""
    (tmp_path / "r.tsv").write_text("lr\topt\n0.1\tadam\n0.2\tsgd, slow\n")
    text = "{rows: r.tsv, parameters: {batch: [16, 32]}}"
    expected = [
        (0.1, "adam", 16),
        (0.1, "adam", 32),
        (0.2, "sgd, slow", 16),
        (0.2, "sgd, slow", 32),
    ]
    assert expected == values(tmp_path, text)


def test_a_column_of_a_table(tmp_path: Path) -> None:
    """A parameter may be a column of a table."""
    (tmp_path / "r.csv").write_text("rate,opt\n0.1,adam\n0.2,sgd\n")
    text = "parameters: {lr: {file: r.csv, column: rate}}"
    assert [(0.1,), (0.2,)] == values(tmp_path, text)


# --- combinations ------------------------------------------------------------


def test_grid_and_zip(tmp_path: Path) -> None:
    """A grid has every combination, zip one per position; replicates multiply both."""
    lists = "parameters: {a: [1, 2], b: [x, y]}"
    assert [(1, "x"), (1, "y"), (2, "x"), (2, "y")] == values(tmp_path, lists)
    assert [(1, "x"), (2, "y")] == values(tmp_path, f"{lists}\ncombine: zip")
    expected = [(1, "x", 1), (1, "x", 2), (2, "y", 1), (2, "y", 2)]
    assert expected == values(tmp_path, f"{lists}\ncombine: zip\nreplicates: 2")


def test_more_random_trials_keep_the_first(tmp_path: Path) -> None:
    """A random sweep of 20 begins with the trials of one of 10."""
    text = """
        parameters:
          lr: {{distribution: loguniform, low: 1e-5, high: 1e-1}}
          n: {{distribution: integer, low: 1, high: 3}}
          opt: [adam, sgd]
        combine: random
        trials: {}
        exclude: opt == "sgd" and lr > 0.01
    """
    ten, twenty = values(tmp_path, text.format(10)), values(tmp_path, text.format(20))
    assert ten == twenty[:10]
    assert 20 == len(set(twenty))
    assert all(1e-5 <= lr <= 1e-1 and n in {1, 2, 3} for lr, n, _ in twenty)
    assert not [1 for lr, _, opt in twenty if opt == "sgd" and lr > 0.01]


@pytest.mark.parametrize("combine", ["latin_hypercube", "sobol"])
def test_designs_fill_the_space_evenly(tmp_path: Path, combine: str) -> None:
    """Of eight trials, one lies in each eighth of each parameter."""
    pytest.importorskip("scipy")
    unit = "{distribution: uniform, low: 0, high: 8}"
    text = f"parameters: {{x: {unit}, y: {unit}}}\ncombine: {combine}\ntrials: 8"
    found = values(tmp_path, text)
    assert [list(range(8))] * 2 == [
        sorted(int(v) for v in column) for column in zip(*found, strict=True)
    ]
    assert found == values(tmp_path, text)


def test_conditions_choose_trials(tmp_path: Path) -> None:
    """`include` must hold, `exclude` must not; constants may be named."""
    text = """
        parameters: {lr: [0.1, 0.5], batch: [16, 32, 64], opt: [adam, sgd]}
        constants: {limit: 32}
        include: [batch <= limit, opt == "adam" or lr < 0.2]
        exclude: ["lr > 0.2 and batch not in (16, 8 * 2)"]
    """
    expected = [(0.1, 16, "adam"), (0.1, 16, "sgd"), (0.1, 32, "adam"), (0.1, 32, "sgd")]
    assert [*expected, (0.5, 16, "adam")] == values(tmp_path, text)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("lr >", "cannot be read"),
        ("__import__('os').system('x')", "`__import__('os').system('x')` is not allowed"),
        ("lr.__class__ == 1", "names `lr.__class__`, which is no parameter"),
        ("[x for x in lr]", "is not allowed"),
        ("lr ** 9 > 1", "`lr ** 9` is not allowed"),
        ("lrr > 1", "did you mean `lr`?"),
        ("lr is 1", "write == or !="),
        ("(" * 500 + "lr" + ")" * 500, "cannot be read"),
    ],
)
def test_a_condition_is_a_comparison_and_nothing_else(condition: str, said: str) -> None:
    """What is not a comparison of parameters is refused by name, before anything runs."""
    assert said in refusal(lambda: parse_condition(condition, ["lr"]))


def test_a_condition_that_cannot_be_decided_names_the_trial(tmp_path: Path) -> None:
    """Comparing a text with a number is an error that names the condition's line."""
    text = "parameters:\n  opt: [adam]\nexclude:\n  - opt > 3\n"
    said = refusal(lambda: trials(tmp_path, text))
    assert "sweep.yaml:4: exclude[0]: the condition 'opt > 3' cannot be decided" in said


# --- names -------------------------------------------------------------------


def test_names_are_stable() -> None:
    """A name is the same in every release: results are found by it."""
    trial = trial_of({"lr": 0.01, "batch": 32, "opt": "adam"})
    assert "lr=0.01,batch=32,opt=adam~a20075d757" == trial.name


VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=300),
)


@given(st.dictionaries(st.sampled_from(["lr", "opt", "x.y"]), VALUES, min_size=1))
def test_any_value_makes_a_name_that_is_one_plain_word(chosen: dict[str, Any]) -> None:
    """Whatever the values are, a name is one component of a path without blanks."""
    name = trial_of(chosen).name
    assert not {"/", " ", "\n", "\0", "'", '"', "$", "*", "{"} & set(name)
    assert len(name.encode()) <= 180
    assert [trial_of(chosen).digest] == naming.digests_in(f"trial={name}")


@given(st.lists(VALUES, min_size=1, max_size=8, unique_by=lambda v: (isinstance(v, bool), v)))
def test_any_value_comes_back_from_its_name(chosen: list[Any]) -> None:
    """Values with `/`, blanks or any letters are found again, with their type, by the name."""
    known = {trial_of({"x": value}).name: value for value in chosen}
    assert len(chosen) == len(known)
    assert chosen == list(known.values())


def test_odd_values_go_through_a_sweep(sweep: Callable[[str], Sweep]) -> None:
    """A path, a text with blanks and a Chinese word are params of the job that has their name."""
    found = sweep('parameters: {x: ["a/b c", "學習率 0.1", "*"]}')
    names = [path.split("/")[-2] for path in found.outputs("train", "m.json")]
    assert ["a/b c", "學習率 0.1", "*"] == [found.params(job(name))["x"] for name in names]
    assert ["x=a-b-c", "x=學習率-0.1", "x=-"] == [name.partition("~")[0] for name in names]


def test_rules_of_a_trial() -> None:
    """The name of a trial's copy of a rule gives both back."""
    name = naming.rule_of_trial("train", "0123456789")
    assert ("train", "0123456789") == naming.split_rule(name)
    assert ("train", None) == naming.split_rule("train")


# --- in a Snakefile ----------------------------------------------------------

STAGES = """
parameters: {lr: [0.1, 0.2], batch: [16, 32], cut: [1, 2]}
constants: {epochs: 5}
stages:
  preprocess: []
  train: [lr, batch]
  evaluate: [lr, batch, cut]
  compare: [lr]
"""


def test_stages_run_once_for_trials_that_they_cannot_tell_apart(
    sweep: Callable[[str], Sweep],
) -> None:
    """A stage has one output for each combination of the parameters that it uses."""
    found = sweep(STAGES)
    counts = {stage: len(found.outputs(stage, "x")) for stage in found.stages}
    assert {"preprocess": 1, "train": 4, "evaluate": 8, "compare": 2} == counts
    assert found.pattern("preprocess", "x").endswith("/preprocess/x")
    assert found.pattern("train", "x").endswith("/train/{trial}/x")


def test_a_stage_finds_the_files_of_others(sweep: Callable[[str], Sweep]) -> None:
    """`inputs` gives the same trial's file, all of them where the other stage has more."""
    found = sweep(STAGES)
    evaluate = found.outputs("evaluate", "m").pop().split("/")[-2]
    (model_file,) = found.inputs("train", "model")(job(evaluate))
    assert "/train/lr=0.2,batch=32~" in model_file
    assert model_file in found.outputs("train", "model")
    compare = found.outputs("compare", "m").pop().split("/")[-2]
    gathered = found.inputs("evaluate", "m")(job(compare))
    assert [True] * 4 == ["lr=0.2," in path for path in gathered]
    assert 8 == len(found.inputs("evaluate", "m")(job()))
    assert 1 == len(found.inputs("preprocess", "m")(job(evaluate)))


def test_params_are_those_that_the_stage_uses(sweep: Callable[[str], Sweep]) -> None:
    """A job's params are its trial's values, typed, and the constants."""
    found = sweep(STAGES)
    name = found.outputs("train", "m")[0].split("/")[-2]
    assert {"epochs": 5, "lr": 0.1, "batch": 16} == found.params(job(name))
    assert {"epochs": 5} == found.params(job())


def test_adding_values_keeps_the_names_of_the_others(sweep: Callable[[str], Sweep]) -> None:
    """A longer list of values adds trials and changes none."""
    few = sweep("parameters: {lr: [0.1, 1]}")
    more = sweep("parameters: {lr: [2, 0.1, 0.5, 1]}")
    assert {t.name for t in few.trials} < {t.name for t in more.trials}


def test_a_paramspace_goes_in_and_comes_out(tmp_path: Path) -> None:
    """The rows of a Snakemake Paramspace are trials, and a sweep gives a Paramspace."""
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"lr": [0.1, 0.2], "n": [1, 2], "opt": ["a/b", "c"]})
    found = Sweep(SimpleNamespace(dataframe=table), output=str(tmp_path / "p"))
    assert [{"lr": 0.1, "n": 1, "opt": "a/b"}, {"lr": 0.2, "n": 2, "opt": "c"}] == [
        dict(trial.values) for trial in found.trials
    ]
    assert table.equals(found.paramspace().dataframe)


def test_a_paramspace_keeps_small_numbers_and_dates(tmp_path: Path) -> None:
    """Numbers keep all their digits, what is no plain value becomes text, no row is no sweep."""
    pandas = pytest.importorskip("pandas")
    rates, days = [1.23456789e-9, 1.23456788e-9], pandas.to_datetime(["2020-01-01", "2020-01-02"])
    frame = pandas.DataFrame({"lr": rates, "day": days})
    found = Sweep(SimpleNamespace(dataframe=frame), output=str(tmp_path / "p"))
    assert rates == [trial.values["lr"] for trial in found.trials]
    assert "2020-01-01 00:00:00" == found.trials[0].values["day"]
    none = SimpleNamespace(dataframe=frame[:0])
    assert "has no rows" in refusal(lambda: Sweep(none, output=str(tmp_path / "q")))


# --- speed -------------------------------------------------------------------


def test_ten_thousand_trials_take_less_than_a_second(sweep: Callable[[str], Sweep]) -> None:
    """Expanding and planning a grid of 10,000 with three stages takes less than a CPU second."""
    started = time.process_time()
    found = sweep("""
        parameters: {lr: {from: 1, to: 100, step: 1}, batch: {from: 1, to: 100, step: 1}}
        exclude: lr > 100 and batch == 16
        stages: {preprocess: [], train: [lr, batch], evaluate: [lr, batch]}
    """)
    outputs = found.outputs("evaluate", "m.json")
    find = found.inputs("train", "model")
    assert 10_000 == len([find(job(path.split("/")[-2])) for path in outputs])
    assert time.process_time() - started < 1


# --- bad input ---------------------------------------------------------------

BAD = {
    "parameters: {lr: [0.1]}\nstages: {train: [lr, batchsize]}": (
        "sweep.yaml:2: stages.train: the stage `train` uses `batchsize`, which is no parameter\n"
        "hint: the parameters are lr; constants need not be listed"
    ),
    "parameters: {batch: [1]}\nstages: {train: [bach]}": "did you mean `batch`?",
    "parameters: {lr: [1], b: [1]}\nstages: {train: [lr]}": "no stage uses the parameter `b`",
    "parameters:\n" + "".join(f"  p{i}: {{from: 1, to: 1000, step: 1}}\n" for i in range(3)): (
        "sweep.yaml:1: parameters: the grid has 1,000,000,000 trials (1,000 x 1,000 x 1,000), "
        "more than 100,000\nhint: draw some of them: `combine: random` and `trials: 100`"
    ),
    "parameters: {a: {from: 1, to: 1000000000, step: 1}}": "the range has 1,000,000,000 values",
    "parameters:\n  lr: [0.1, 0.10]": (
        "sweep.yaml:2: parameters.lr: the value 0.1 of `lr` stands twice\n"
        "hint: remove one of the two: they would be the same trial"
    ),
    "parameters: {lr: {file: twins.txt}}": (
        "twins.txt:3: the value 0.1 of `lr` stands twice, first at twins.txt:1"
    ),
    "rows: twins.csv": "twins.csv:4: the row stands twice, first on line 2",
    "parameters: {a: [1, 1], b: [2, 2]}\ncombine: zip": "stands twice",
    "parameters: {a: [1, 2, 1], b: [2, 3]}\ncombine: zip": "stands twice",
    "parameters: {a: [1, 2], b: [2]}\ncombine: zip": "lists of one length, got a: 2, b: 1",
    "parameters: {lr: {file: none.txt}}": (
        "none.txt: the file of values of `lr` cannot be read: No such file or directory"
    ),
    "parameters: {lr: {file: empty.txt}}": "empty.txt has no values",
    "parameters: {lr: {file: twins.csv}}": "twins.csv has no column `lr`",
    "rows: ragged.csv": "ragged.csv:3: the row has 3 cells, the header 2",
    "rows: open.csv": "open.csv:2: the table cannot be read: field larger than field limit",
    "parameters: {lr: [0.1]}\nexclude: lr > 0": "sweep.yaml:2: exclude: the conditions leave no",
    "parameters: {lr: {distribution: uniform, low: 0, high: 1}}": (
        "sweep.yaml:1: parameters.lr: a distribution has no list of values for a grid"
    ),
    "parameters: {a: [1, 2]}\ncombine: random\ntrials: 3": (
        "only 2 of 3 different trials could be drawn"
    ),
    "parameters: {a: [1]}\ncombine: random": "random needs to know how many trials",
    "parameters: {a: [1]}\ntrials: 3": "add `combine: random`, or remove it",
    "paramters: {a: [1]}": "did you mean `parameters`?",
    "parameters: {a: {form: 1, to: 3, step: 1}}": "exactly one of values, file, from, distribution",
    "parameters: {a: {from: 1, to: 3, setp: 1}}": "did you mean `step`?",
    "parameters: {a: {values: [1], low: 3}}": "`low` has no meaning beside `values`",
    "parameters: {a: {from: 1, to: 3}}": "a range needs `from`, `to`, and either",
    "parameters: {a: {from: 0, to: 3, count: 2, scale: log}}": "ends above 0",
    "parameters: {a: {from: x, to: 3, count: 2}}": "expected a number, got 'x'",
    "parameters: {a: []}": "the list is empty",
    "parameters: {a: [1, null]}": "expected a value, got nothing",
    "parameters: {'a b': [1]}": "'a b' cannot be the name of a parameter",
    "parameters: {a: [1]}\nconstants: {a: 2}": "`a` is a parameter, too",
    "parameters: {seed: [1]}\nreplicates: 2": "replicates add the parameter `seed`",
    "parameters: {a: [1]}\nreplicates: 3000000000": "sweep.yaml:2: replicates: 3,000,000,000 repl",
    "parameters: {a: [1]}\ncombine: grind": "expected grid or zip or random",
    "{}": "the sweep has no parameters",
    "": "the sweep has no parameters",
    "- a": "docs/reference/sweep-yaml.md",
    "parameters: {a: [1]}\nmetrics: {file: m.json, keys: [acc], goal: {ac: maximize}}": (
        "`ac` is not among the keys"
    ),
    "parameters: {a: [1]}\nmetrics: {file: m.json, goal: {acc: highest}}": "maximize or minimize",
    "parameters: {a: [1]}\nstages: {t: [a]}\nmetrics: {file: m, stage: tt}": "`tt` is no stage",
    "parameters: {a: [1]}\nmetrics: {keys: [a]}": "Field required",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:40].replace("\n", " "))
def test_mistakes_in_sweep_yaml_are_named(tmp_path: Path, text: str) -> None:
    """Each mistake is refused with its line, and with what to do."""
    (tmp_path / "twins.txt").write_text("0.1\n0.2\n1e-1\n")
    (tmp_path / "twins.csv").write_text("a,b\n1,2\n3,4\n1,2\n")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3,4,5\n")
    (tmp_path / "open.csv").write_text('a,b\n1,"2\n' + "3,4\n" * 40_000)
    (tmp_path / "empty.txt").write_text("# nothing yet\n")
    (tmp_path / "sweep.yaml").write_text(text)

    def read() -> object:
        loaded = parse_sweep(text, tmp_path / "sweep.yaml", "sweep.yaml")
        return model.SweepConfig, expand(loaded), Sweep(tmp_path / "sweep.yaml")

    assert BAD[text] in refusal(read).replace(f"{tmp_path}/", "")


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    """Two sweep files with one `output:` are refused; without it each has a folder of its own."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("parameters: {a: [1]}")
        (tmp_path / f"{name}-same.yaml").write_text(f"parameters: {{a: [1]}}\noutput: {tmp_path}")
    folders = [Sweep(tmp_path / f"{name}.yaml").output for name in ("one", "two")]
    assert ["results/one", "results/two"] == folders
    Sweep(tmp_path / "one-same.yaml")
    said = refusal(lambda: Sweep(tmp_path / "two-same.yaml"))
    assert "two-same.yaml:2: output: the results of" in said
    assert f"would go to `{tmp_path}`, where those of" in said


def test_unknown_names_in_a_snakefile(sweep: Callable[[str], Sweep]) -> None:
    """A stage or trial that is not there is refused, with the nearest that is."""
    found = sweep(STAGES)
    assert "did you mean `train`?" in refusal(lambda: found.pattern("trian"))
    name = found.trials[0].name
    said = refusal(lambda: found.params(job(name[:-1])))
    assert f"has no trial `{name[:-1]}`\nhint: did you mean `{name}`?" in said


# --- schema ------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "parameters: {lr: {file: l.txt}, b: [1, x, true], c: 3}",
        "{rows: a.csv, stages: {a: [], b: [lr], c: }, replicates: [1, 2], max_parallel: 3}",
        "{parameters: {x: {distribution: normal, mean: 0, std: 1}}, combine: random, trials: 2}",
        "{parameters: {a: [1]}, metrics: {file: m, keys: {a: b.c}, goal: {a: minimize}}}",
        "{parameters: {a: {from: 1, to: 2, step: 1}}, halving: {parameter: a, from: 1, to: 2}}",
    ],
)
def test_the_schema_takes_what_the_reader_takes(text: str) -> None:
    """An editor with the JSON Schema finds no mistake in a good sweep.yaml."""
    jsonschema.Draft202012Validator(model.schema()).validate(yaml.safe_load(text))
    assert parse_sweep(text, Path("sweep.yaml"), "sweep.yaml")


def test_the_schema_refuses_unknown_keys() -> None:
    """An editor marks a key that is not known."""
    found = jsonschema.Draft202012Validator(model.schema()).iter_errors({"parametrs": {}})
    assert [error.message for error in found]
