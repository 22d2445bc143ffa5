"""Configuration files and flags → layers, each value with the words for its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from snakemake_executor_plugin_hpcctr.config import texts, yamlfile
from snakemake_executor_plugin_hpcctr.config.fields import Section, Surroundings
from snakemake_executor_plugin_hpcctr.config.merge import Layer, named_items
from snakemake_executor_plugin_hpcctr.config.model import HpcctrConfig, RuleSettings
from snakemake_executor_plugin_hpcctr.config.problems import error_of, problems_of
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from snakemake_executor_plugin_hpcctr.config.problems import Place
    from snakemake_executor_plugin_hpcctr.config.yamlfile import LoadedConfig

PROJECT_FILE = "hpcctr.yaml"
SITE_FILE = "/etc/hpcctr.yaml"
SITE_VARIABLE = "HPCCTR_SITE"

#: Key of hpcctr.yaml → flag, where the two differ.
FLAGS: dict[Place, str] = {("logs", "dir"): "log_dir", ("logs", "keep"): "keep_logs"}


@dataclass(frozen=True)
class Source:
    """A configuration and the words for a place in it.

    Args:
        config: Its content.
        origin: Key path → where that is, for people.
    """

    config: HpcctrConfig
    origin: Callable[[Place], str]


@dataclass(frozen=True)
class FileLayers:
    """What a file says of rules: patterns in the order of the file, and defaults."""

    rules: tuple[tuple[str, Layer], ...] = ()
    defaults: Layer = field(default_factory=Layer)


def layer_of(
    settings: RuleSettings, origin: Callable[[Place], str], *, about_rule: bool = False
) -> Layer:
    """Return settings as a layer; reads the `env_file` that they name.

    Raises:
        ConfigError: The env_file cannot be read, or `gpu` and `gpu_model` name two models.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for place, value in _flat(settings):
        key = ".".join(place)
        values[key], origins[key] = value, origin(place)
        if isinstance(value, (dict, tuple)) and key != "gpu":
            for index, name in enumerate(named_items(value)):
                part = name if isinstance(value, dict) else index
                origins[f"{key}[{name}]"] = origin((*place, part))
    _read_env_file(values, origins)
    _part_gpu(values, origins)
    return Layer(values, origins, about_rule)


def _flat(settings: Section) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield key path and value of each setting that is set, engine blocks included."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Section):
            yield from (((name, *place), inner) for place, inner in _flat(value))
        elif value is not None:
            yield (name,), value


def _read_env_file(values: dict[str, Any], origins: dict[str, str]) -> None:
    file = values.pop("env_file", None)
    if file is None:
        return
    where = origins.pop("env_file")
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"env_file {file} cannot be read: {reason}", where=where) from None
    found = texts.parse_env_file(text, file)
    own = values.get("env", {})
    origins |= {f"env[{name}]": f"{where}, env_file" for name in found if name not in own}
    origins.setdefault("env", where)
    values["env"] = {**found, **own}


def _part_gpu(values: dict[str, Any], origins: dict[str, str]) -> None:
    if "gpu" not in values:
        return
    count, model = values["gpu"]
    values["gpu"] = count
    if model is None:
        return
    if values.setdefault("gpu_model", model) != model:
        raise ConfigError(
            f"`gpu` names the model {model}, `gpu_model` names {values['gpu_model']}",
            where=origins["gpu"],
            next_step="keep `gpu_model`, and write a number for `gpu`",
        )
    origins.setdefault("gpu_model", origins["gpu"])


def file_layers(source: Source | None) -> FileLayers:
    """Return what a file says of rules.

    Raises:
        ConfigError: As for `layer_of`.
    """
    if source is None:
        return FileLayers()
    rules = []
    for pattern, settings in (source.config.rules or {}).items():
        place: Place = ("rules", pattern)
        rules.append((pattern, section_layer(source, place, settings, about_rule=True)))
    defaults = section_layer(source, ("defaults",), source.config.defaults)
    if source.config.engine and "engine" not in defaults.values:
        defaults = Layer(
            {**defaults.values, "engine": source.config.engine},
            {**defaults.origin, "engine": source.origin(("engine",))},
        )
    return FileLayers(tuple(rules), defaults)


def section_layer(
    source: Source, place: Place, settings: RuleSettings | None, *, about_rule: bool = False
) -> Layer:
    """Return a section of a source as a layer.

    Raises:
        ConfigError: As for `layer_of`.
    """

    def origin(inner: Place) -> str:
        return source.origin((*place, *inner))

    return layer_of(settings or RuleSettings(), origin, about_rule=about_rule)


def project_source(
    config_file: Path | None, workdir: Path, environ: Mapping[str, str]
) -> Source | None:
    """Read hpcctr.yaml of `workdir`, if it is there, or the file that was asked for.

    Raises:
        ConfigError: The file cannot be used, or was asked for and is missing.
    """
    if config_file is None:
        file = workdir / PROJECT_FILE
        if not file.exists():
            return None
    else:
        file = workdir / texts.expand(str(config_file), environ)
        _must_exist(file, "--hpcctr-config")
    name = str(file.relative_to(workdir)) if file.is_relative_to(workdir) else str(file)
    return file_source(yamlfile.load(file, environ, name), "")


def site_source(environ: Mapping[str, str]) -> Source | None:
    """Read the site's file, if there is one.

    Raises:
        ConfigError: The file cannot be used, or HPCCTR_SITE names one that is missing.
    """
    named = environ.get(SITE_VARIABLE)
    file = Path(SITE_FILE if named is None else named)
    if named:
        _must_exist(file, f"${SITE_VARIABLE}")
    elif named == "" or not file.exists():
        return None
    return file_source(yamlfile.load(file, environ), "site file ")


def _must_exist(file: Path, asked_by: str) -> None:
    if not file.is_file():
        raise ConfigError(
            f"the configuration file {file} does not exist",
            where=asked_by,
            next_step="check the path; without it, hpcctr.yaml in the working directory is read",
        )


def file_source(loaded: LoadedConfig, prefix: str) -> Source:
    """Return a file with its words for a place: `PREFIXhpcctr.yaml:12, rules 'train*'`."""

    def origin(place: Place) -> str:
        section = f"rules {place[1]!r}" if place[0] == "rules" else str(place[0])
        return f"{prefix}{loaded.at(*place)}, {section}"

    return Source(loaded.config, origin)


def command_line_source(cli: Mapping[str, object], around: Surroundings) -> Source:
    """Check flags, given by the names of hpcctr.yaml.

    Raises:
        ConfigError: Names the flags that cannot be used.
    """
    given = {name: value for name, value in cli.items() if value is not None}
    data: dict[str, Any] = {
        name: given.pop(name)
        for name in ("scheduler", "python", "image_dir", "array")
        if name in given
    }
    logs = {"dir": given.pop("log_dir", None), "keep": given.pop("keep_logs", None)}

    def origin(place: Place) -> str:
        name = FLAGS.get(place[:2]) or str(place[1] if place[0] == "defaults" else place[0])
        return f"command line, --hpcctr-{name.replace('_', '-')}"

    try:
        config = HpcctrConfig.model_validate(
            {**data, "logs": logs, "defaults": given}, context=around
        )
    except ValidationError as error:
        found = [(origin(problem.place), problem) for problem in problems_of(error)]
        raise error_of("command line", found) from None
    return Source(config, origin)
