from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # no stubs among the development tools
import pytest
import yaml

from snakemake_executor_plugin_hpcctr.config import fields, model, units
from snakemake_executor_plugin_hpcctr.config.yamlfile import parse_config
from snakemake_executor_plugin_hpcctr.task import (
    ApptainerOptions,
    EnrootOptions,
    PyxisOptions,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hpcctr-yaml.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (model.ApptainerSettings, ApptainerOptions),
        (model.EnrootSettings, EnrootOptions),
        (model.PyxisSettings, PyxisOptions),
    ],
)
def test_blocks_match_the_task(ours: type[BaseModel], theirs: type[BaseModel]) -> None:
    """Each option of an engine can be set, and no other."""
    assert list(theirs.model_fields) == list(ours.model_fields)


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("## Top level", model.HpcctrConfig),
        ("`logs`:", model.LogSettings),
        ("## Settings of a rule", model.RuleSettings),
        ("`stage`:", model.StageSettings),
        ("`apptainer`:", model.ApptainerSettings),
        ("`enroot`:", model.EnrootSettings),
        ("`pyxis`:", model.PyxisSettings),
    ],
)
def test_page_lists_the_keys(heading: str, section: type[BaseModel]) -> None:
    """Each table of the reference page has a row for each key and for no other."""
    table = TEXT.split(f"\n{heading}\n", 1)[1].split("\n| ", 1)[1].split("\n\n", 1)[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert set(section.model_fields) == {n for c in cells for n in re.findall(r"`(\w+)`", c)}


@pytest.mark.parametrize(
    ("table", "read"),
    [("amount", units.parse_memory), ("time", units.parse_minutes)],
)
def test_page_says_how_values_are_read(table: str, read: Any) -> None:
    """The page's examples of amounts and times are read as it says."""
    rows = re.findall(rf"^\| {table} .*?(?=^\| [a-z])", TEXT, re.MULTILINE | re.DOTALL)
    checked = 0
    for row in rows[0].splitlines():
        _, _, written, meant, *_ = row.split("|")
        numbers = re.findall(r"\b\d+\b", meant.replace("1.1", ""))
        for example, number in zip(re.findall(r"`(.*?)`", written), numbers, strict=False):
            assert int(number) == read(example)
            checked += 1
    assert checked >= 6


def example() -> str:
    """Return the example of the reference page."""
    return TEXT.split("```yaml\n", 1)[1].split("```", 1)[0]


def test_page_example_is_valid() -> None:
    """The page's example can be used as it stands."""
    config = parse_config(example(), "hpcctr.yaml", fields.Surroundings()).config
    assert config.rules is not None
    assert list(config.rules) == ["train_*", "train_large"]


@pytest.mark.parametrize(
    "text",
    [
        example(),
        "array: off\nscheduler: local\nlogs: {keep: failed, dir: logs}",
        "defaults: {engine: auto, gpu: a100:2, mem: 2000, binds: [{source: /a, read_only: true}]}",
        "defaults: {partition: [a, b], apptainer: {overlay: x, extra_args: [--a]}, env: {A: 1}}",
        "defaults: {enroot: {paths: {ENROOT_DATA_PATH: /x}, keep: false}, pyxis: {env: [A]}}",
    ],
)
def test_schema_accepts_what_we_accept(text: str) -> None:
    """Files that hpcctr accepts are valid for an editor that knows the schema."""
    parse_config(text, "hpcctr.yaml", fields.Surroundings())
    data = yaml.safe_load(text)
    if "array" in data:
        data["array"] = "off"  # an editor reads YAML 1.2, where `off` is a word
    jsonschema.Draft202012Validator(model.schema()).validate(data)


@pytest.mark.parametrize(
    "data",
    [
        {"enigne": "x"},
        {"defaults": {"engine": "docker"}},
        {"defaults": {"nodes": 0}},
        {"defaults": {"env": {"A-B": "x"}}},
        {"defaults": {"binds": [{"target": "/x"}]}},
        {"scheduler": "pbs"},
        {"array": 0},
    ],
)
def test_schema_refuses_what_we_refuse(data: dict[str, object]) -> None:
    """An editor marks unknown keys and values out of range."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(model.schema()).validate(data)


def test_schema_is_described() -> None:
    """Each key of the schema has a description for the editor to show."""
    schema = model.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    sections = [schema, *schema["$defs"].values()]
    bare = [
        name
        for section in sections
        if section.get("title") != "Bind"
        for name, prop in section.get("properties", {}).items()
        if "description" not in prop and "$ref" not in prop
    ]
    assert bare == []
