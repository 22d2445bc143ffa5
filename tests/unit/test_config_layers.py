from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.config.fields import Surroundings
from snakemake_executor_plugin_hpcctr.config.layers import (
    Layers,
    Resolved,
    default_layers,
    make_layers,
    resolve,
    to_options,
    to_resources,
)
from snakemake_executor_plugin_hpcctr.config.sources import file_source
from snakemake_executor_plugin_hpcctr.config.yamlfile import parse_config
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.task import Bind

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRON = {"HOME": "/home/u", "DATA": "/data"}


def layers(project: str = "", site: str = "", cli: Mapping[str, object] | None = None) -> Layers:
    """Return layers of two files given as text, and of flags."""
    around = Surroundings(environ=ENVIRON, base="/project")
    sources = [
        file_source(parse_config(text, name, around), prefix)
        for text, name, prefix in (
            (project, "hpcctr.yaml", ""),
            (site, "/etc/hpcctr.yaml", "site file "),
        )
    ]
    return make_layers(cli or {}, sources[0], sources[1], Path("/project"), ENVIRON)


def resolved(
    project: str = "",
    resources: Mapping[str, object] | None = None,
    threads: int = 1,
    *,
    site: str = "",
    cli: Mapping[str, object] | None = None,
) -> Resolved:
    """Resolve a job of the rule `train`."""
    return resolve("train", resources or {}, threads, layers(project, site, cli))


def test_nothing_set() -> None:
    """Without any setting a task asks for one CPU, and engines come in the usual order."""
    got = resolve("train", {}, 1, Layers())
    assert got.engines == ("apptainer", "enroot", "pyxis")
    assert (got.image, got.binds, got.env, got.pass_env, got.clean_env, got.tmpdir) == (
        None, (), {}, (), False, None,
    )  # fmt: skip
    assert got.resources.model_dump(exclude_defaults=True) == {}
    assert got.options.model_dump(exclude_defaults=True) == {}
    assert got.warnings == ()
    assert set(got.origin.values()) == {"default"}


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c"])), min_size=5, max_size=5))
def test_the_strongest_wins(values: list[str | None]) -> None:
    """Of five places that may name a partition the strongest that does so counts."""
    cli, rule, pattern, default, site = values
    project = "defaults:\n  partition: {}\nrules:\n  tr*:\n    partition: {}\n".format(
        default or "", pattern or ""
    )
    got = resolved(
        project,
        {"slurm_partition": rule},
        site=f"defaults:\n  partition: {site or ''}\n",
        cli={"partition": cli},
    )
    origins = [
        "command line, --hpcctr-partition",
        "rule train, resources: slurm_partition",
        "hpcctr.yaml:5, rules 'tr*'",
        "hpcctr.yaml:2, defaults",
        "site file /etc/hpcctr.yaml:2, defaults",
    ]
    expected = next(((v, o) for v, o in zip(values, origins, strict=True) if v), (None, None))
    assert expected == (got.resources.partition, got.origin.get("partition"))


VARIABLES = st.dictionaries(st.sampled_from(["A", "B", "C"]), st.sampled_from(["1", "2", "3"]))


@given(st.lists(VARIABLES, min_size=4, max_size=4))
def test_variables_add_up(env: list[dict[str, str]]) -> None:
    """Variables of all layers are there, each with the value of the strongest."""
    site, default, pattern, rule = env
    project = f"defaults: {{env: {default}}}\nrules: {{'*': {{env: {pattern}}}}}"
    got = resolved(
        project.replace("'1'", "1").replace("'A'", "A"),
        {"env": ",".join(f"{k}={v}" for k, v in rule.items())},
        site=f"defaults: {{env: {site}}}",
    )
    assert {**site, **default, **pattern, **rule} == got.env
    assert {f"env[{name}]" for name in got.env} == {k for k in got.origin if k.startswith("env[")}


@given(st.lists(st.lists(st.sampled_from("abc"), unique=True), min_size=3, max_size=3))
def test_binds_add_up(targets: list[list[str]]) -> None:
    """Of binds with one target the strongest layer's is used, and no target is lost."""
    default, pattern, rule = (
        [f"/layer{i}:/{target}" for target in names] for i, names in enumerate(targets)
    )
    got = resolved(
        f"defaults: {{binds: {default}}}\nrules: {{'*': {{binds: {pattern}}}}}",
        {"binds": ",".join(rule)},
    )
    expected = {f"/{t}": f"/layer{i}" for i, names in enumerate(targets) for t in names}
    assert expected == {bind.target: bind.source for bind in got.binds}


def test_origin_of_items() -> None:
    """Each bind and variable knows the line that set it."""
    got = resolved(
        "defaults:\n  binds:\n    - /a\n    - $DATA:/d:ro\n  env:\n    X: 1\n",
        {"binds": "/rule:/a"},
    )
    assert got.origin["binds[/a]"] == "rule train, resources: binds"
    assert got.origin["binds[/d]"] == "hpcctr.yaml:4, defaults"
    assert got.origin["env[X]"] == "hpcctr.yaml:6, defaults"
    assert Bind(source="/data", target="/d", read_only=True) in got.binds


def test_later_pattern_wins() -> None:
    """Of several patterns that fit, the later entry of the file is stronger."""
    got = resolved("rules:\n  train: {mem: 1GB, qos: a}\n  '*': {mem: 2GB}\n  x: {mem: 3GB}\n")
    assert got.resources.mem_mb == 2000
    assert got.resources.qos == "a"


def test_default_resources_are_weaker_than_rules() -> None:
    """What Snakemake's --default-resources add does not beat `rules:`, but `defaults:`."""
    have = layers("defaults: {mem: 1GB}\nrules: {big: {mem: 8GB}}")
    amounts = {"mem_mb": 1000, "mem": "1 GB", "mem_mib": 954, "runtime": 5}
    big = resolve("big", amounts, 1, have, defaulted={"mem_mb"})
    small = resolve("small", amounts, 1, have, defaulted={"mem_mb"})
    assert big.resources.mem_mb == 8000
    assert big.resources.runtime_min == 5
    assert small.origin["mem"] == "rule small, --default-resources: mem_mb"


@pytest.mark.parametrize(
    ("project", "resources", "expected"),
    [
        ("engine: enroot", {}, ("enroot",)),
        ("engine: [pyxis, enroot]", {"engine": "auto"}, ("pyxis", "enroot")),
        ("engine: pyxis\ndefaults: {engine: enroot}", {}, ("enroot",)),
        ("engine: pyxis\ndefaults: {engine: enroot}", {"engine": "auto"}, ("pyxis",)),
        ("engine: auto", {}, ("apptainer", "enroot", "pyxis")),
        ("", {"engine": "Singularity"}, ("apptainer",)),
        ("", {"engine": "pyxis,host"}, ("pyxis", "host")),
    ],
)
def test_engine(project: str, resources: dict[str, object], expected: tuple[str, ...]) -> None:
    """`auto` is the file's order of preference; the file's `engine:` is also its default."""
    assert expected == resolved(project, resources).engines


def test_project_engine_beats_site_default() -> None:
    """The project's `engine:` is stronger than anything in the site's file."""
    got = resolved("engine: pyxis", site="defaults: {engine: enroot}")
    assert got.engines == ("pyxis",)
    assert got.origin["engine"] == "hpcctr.yaml:1, engine"


def test_image_names() -> None:
    """An image may be named under `images`; the project's names beat the site's."""
    got = resolved(
        "images: {a: x.sif}\ndefaults: {image: a}", site="images: {a: docker://y, b: docker://z}"
    )
    assert got.image == "/project/x.sif"
    assert got.images == {"a": "/project/x.sif", "b": "docker://z"}


def test_options_merge_one_by_one() -> None:
    """Options of an engine merge by name; a stronger list of arguments replaces a weaker."""
    got = resolved(
        "defaults:\n  apptainer: {fakeroot: yes, extra_args: --a}\n"
        "  enroot: {paths: {ENROOT_A: /a, ENROOT_B: /b}}\n"
        "rules:\n  train:\n    apptainer: {no_home: yes}\n    enroot: {paths: {ENROOT_A: /c}}\n",
        {"apptainer_args": "--b -c"},
    )
    options = got.options
    assert options.apptainer.fakeroot
    assert options.apptainer.no_home
    assert options.apptainer.extra_args == ("--b", "-c")
    assert options.enroot.paths == {"ENROOT_B": "/b", "ENROOT_A": "/c"}
    assert got.origin["apptainer.fakeroot"] == "hpcctr.yaml:2, defaults"
    assert got.origin["enroot.paths[ENROOT_A]"] == "hpcctr.yaml:7, rules 'train'"


def test_a_variable_has_one_source() -> None:
    """The stronger of `env` and `pass_env` decides where a variable's value comes from."""
    got = resolved(
        "defaults: {env: {A: 1, B: 1}, pass_env: [B, C, D]}\n"
        "rules: {train: {env: {C: 2}, pass_env: [A]}}"
    )
    assert got.env == {"B": "1", "C": "2"}
    assert set(got.pass_env) == {"A", "D"}
    assert "env[A]" not in got.origin


def test_same_question_same_answer() -> None:
    """An equal job gets the remembered answer, another value or type a new one."""
    have = layers()
    first = resolve("train", {"nodes": 1, "tmpdir": "/a"}, 1, have)
    assert resolve("train", {"nodes": 1, "tmpdir": "/b"}, 1, have) is first
    assert resolve("train", {"nodes": 2}, 1, have) is not first
    assert resolve("train", {"nodes": 1}, 2, have) is not first
    with pytest.raises(ConfigError):
        resolve("train", {"nodes": True}, 1, have)
    assert first.resources is first.resources
    assert to_resources(first) == first.resources
    assert to_options(first) == first.options


def test_five_thousand_jobs() -> None:
    """Resolving 5,000 jobs of a rule takes less than 0.1 ms each."""
    have = layers("defaults: {mem: 1GB, env: {A: 1}}\nrules: {'*': {binds: [/a, /b]}}")
    begin = time.perf_counter()
    for number in range(5000):
        resolve("train", {"mem_mb": 5, "tmpdir": f"/tmp/{number}"}, 1, have).resources  # noqa: B018 (timed)
    assert time.perf_counter() - begin < 0.5


def test_command_line() -> None:
    """Flags set the run's settings and beat files and rules."""
    have = layers(
        "array: off\nlogs: {dir: logs, keep: failed}\nimage_dir: store\n",
        "scheduler: local",
        {"array": "10", "log_dir": Path("~/l"), "engine": "host", "binds": ["/x"], "account": None},
    )
    settings = have.settings
    assert (settings.scheduler, settings.array, settings.keep_logs) == ("local", 10, "failed")
    assert settings.log_dir == Path("/home/u/l")
    assert settings.image_dir == Path("/project/store")
    assert settings.origin["log_dir"] == "command line, --hpcctr-log-dir"
    assert settings.origin["keep_logs"] == "hpcctr.yaml:2, logs"
    got = resolve("train", {"engine": "pyxis"}, 1, have)
    assert got.engines == ("host",)
    assert got.origin["binds[/x]"] == "command line, --hpcctr-binds"


@pytest.mark.parametrize(
    ("cli", "where"),
    [
        ({"array": "x"}, "command line, --hpcctr-array"),
        ({"keep_logs": "x"}, "command line, --hpcctr-keep-logs"),
        ({"engine": "x"}, "command line, --hpcctr-engine"),
        ({"binds": ["x"]}, "command line, --hpcctr-binds"),
    ],
)
def test_bad_flag(cli: dict[str, object], where: str) -> None:
    """A flag that cannot be used is an error that names the flag."""
    with pytest.raises(ConfigError) as caught:
        layers(cli=cli)
    assert where == caught.value.where


def test_files(tmp_path: Path) -> None:
    """hpcctr.yaml of the working directory is read if it is there, and so is its env_file."""
    environ = {"HPCCTR_SITE": ""}
    assert default_layers({}, None, tmp_path, environ).settings.scheduler == "slurm"
    (tmp_path / "hpcctr.yaml").write_text(
        "scheduler: local\ndefaults:\n  env_file: x.env\n  env: {A: 2}\n", encoding="utf-8"
    )
    (tmp_path / "x.env").write_text("A=1\nB='$A'\n", encoding="utf-8")
    have = default_layers({}, None, tmp_path, environ)
    got = resolve("train", {}, 1, have)
    assert have.settings.origin["scheduler"] == "hpcctr.yaml:1, scheduler"
    assert got.env == {"A": "2", "B": "$A"}
    assert got.origin["env[B]"] == "hpcctr.yaml:3, defaults, env_file"


def test_site_file(tmp_path: Path) -> None:
    """HPCCTR_SITE names the site's file; one that is missing is an error."""
    site = tmp_path / "site.yaml"
    with pytest.raises(ConfigError, match="does not exist"):
        default_layers({}, None, tmp_path, {"HPCCTR_SITE": str(site)})
    site.write_text("defaults: {partition: p}\n", encoding="utf-8")
    have = default_layers({}, None, tmp_path, {"HPCCTR_SITE": str(site)})
    assert resolve("train", {}, 1, have).origin["partition"] == f"site file {site}:1, defaults"


def test_file_that_was_asked_for(tmp_path: Path) -> None:
    """A file named with --hpcctr-config must exist, and its paths count from its folder."""
    environ = {"HPCCTR_SITE": "", "CONF": "conf"}
    with pytest.raises(ConfigError) as caught:
        default_layers({}, Path("$CONF/h.yaml"), tmp_path, environ)
    assert caught.value.where == "--hpcctr-config"
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "h.yaml").write_text("defaults: {image: ./x}\n", encoding="utf-8")
    have = default_layers({}, Path("$CONF/h.yaml"), tmp_path, environ)
    got = resolve("train", {}, 1, have)
    assert got.image == str(tmp_path / "conf" / "./x")
    assert got.origin["image"] == "conf/h.yaml:1, defaults"


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (None, "hpcctr.yaml:1, defaults", "cannot be read: No such file"),
        (b"\xff", "hpcctr.yaml:1, defaults", "not UTF-8"),
        (b"A=1\nB\n", "x.env:2", "expected NAME=VALUE, got 'B'"),
    ],
)
def test_bad_env_file(tmp_path: Path, content: bytes | None, where: str, what: str) -> None:
    """An env_file that cannot be used is an error with its place."""
    (tmp_path / "hpcctr.yaml").write_text("defaults: {env_file: x.env}\n", encoding="utf-8")
    if content is not None:
        (tmp_path / "x.env").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        default_layers({}, None, tmp_path, {"HPCCTR_SITE": ""})
    assert caught.value.where.endswith(where)
    assert what in caught.value.what
