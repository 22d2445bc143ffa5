"""Who set what: flags, rule resources, hpcctr.yaml and the site's file, strongest first.

1. command line
2. resources of the rule (and its `threads:`)
3. hpcctr.yaml, `rules:`; of several patterns that fit, the last one
4. Snakemake's --default-resources, where the caller tells them apart
5. hpcctr.yaml, `defaults:`, then its `engine:`
6. the site's file, in itself as 3 and 5
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from snakemake_executor_plugin_hpcctr.config.fields import AUTO, Surroundings
from snakemake_executor_plugin_hpcctr.config.merge import DEFAULT, Layer, merge
from snakemake_executor_plugin_hpcctr.config.model import ImageRecipe, RuleSettings
from snakemake_executor_plugin_hpcctr.config.names import (
    DERIVED,
    is_relevant,
    near_misses,
    settings_of,
)
from snakemake_executor_plugin_hpcctr.config.problems import error_of, problems_of
from snakemake_executor_plugin_hpcctr.config.recipe import Recipe
from snakemake_executor_plugin_hpcctr.config.resolved import Resolved, to_options, to_resources
from snakemake_executor_plugin_hpcctr.config.sources import (
    FLAGS,
    FileLayers,
    Source,
    command_line_source,
    file_layers,
    layer_of,
    project_source,
    section_layer,
    site_source,
)
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from snakemake_executor_plugin_hpcctr.config.problems import Place

__all__ = [
    "General",
    "Layers",
    "Resolved",
    "default_layers",
    "make_layers",
    "resolve",
    "to_options",
    "to_resources",
]

BUILT_IN = Layer({"engine": ("apptainer", "enroot", "pyxis")}, {"engine": DEFAULT})

EMPTY = Layer()

#: Settings of a run that stand at the top of a file.
GENERAL = ("scheduler", "python", "array", "image_dir", "image_build_on")

#: So many different answers are remembered; then the memory starts anew.
REMEMBERED = 4096


@dataclass(frozen=True)
class General:
    """Settings of a run, not of a rule.

    Args:
        scheduler: `slurm` or `local`.
        array: `auto`, `off`, or the largest number of tasks in one array.
        python: Python of the nodes; None if nobody names one.
        image_dir: Absolute folder for pulled images; None if nobody names one.
        image_build_on: Where images are made: `head`, or `slurm` for a job of the scheduler.
        log_dir: Absolute folder for the tasks' logs; None if nobody names one.
        keep_logs: Which logs stay: `all` or `failed`.
        origin: Field → where its value comes from, for people.
    """

    scheduler: str = "slurm"
    array: str | int = AUTO
    python: str | None = None
    image_dir: Path | None = None
    image_build_on: str = "head"
    log_dir: Path | None = None
    keep_logs: str = "all"
    origin: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Layers:
    """All layers but the rule's own, read and checked.

    Args:
        settings: Settings of the run.
        images: Names for image references; `build://NAME` for one that is built.
        recipes: How those are built.
        command_line: The strongest layer.
        project: hpcctr.yaml.
        site: The site's file.
        preference: What the engine `auto` stands for.
        around: Variables and folder that a rule's binds may refer to.
        answers: Memory of `resolve`.
    """

    settings: General = field(default_factory=General)
    images: Mapping[str, str] = field(default_factory=dict)
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    command_line: Layer = field(default_factory=Layer)
    project: FileLayers = field(default_factory=FileLayers)
    site: FileLayers = field(default_factory=FileLayers)
    preference: Layer = BUILT_IN
    around: Surroundings = field(default_factory=Surroundings)
    answers: dict[object, Resolved] = field(default_factory=dict, repr=False)

    def stack(self, rule: str, own: Layer, defaulted: Layer) -> list[Layer]:
        """Return the layers that concern a rule, weakest first."""
        return [
            self.site.defaults,
            *_fitting(self.site, rule),
            self.project.defaults,
            defaulted,
            *_fitting(self.project, rule),
            own,
            self.command_line,
        ]


def _fitting(file: FileLayers, rule: str) -> Iterator[Layer]:
    return (layer for pattern, layer in file.rules if fnmatch.fnmatchcase(rule, pattern))


def resolve(
    rule: str,
    resources: Mapping[str, object],
    threads: int,
    layers: Layers,
    *,
    defaulted: Collection[str] = (),
) -> Resolved:
    """Return what holds for a job.

    Args:
        rule: Name of the job's rule.
        resources: The job's resources, as Snakemake has evaluated them; `None` is as unset.
        threads: The job's threads.
        layers: All other layers.
        defaulted: Names of resources that come from Snakemake's --default-resources and not
            from the rule. They are weaker than `rules:` of hpcctr.yaml: Snakemake adds
            `mem_mb` to any --default-resources, whatever the user wrote there.

    Raises:
        ConfigError: A resource cannot be used as it is written; names rule and resource.
    """
    given = {name: value for name, value in resources.items() if value is not None}
    relevant = tuple(f"{name}={value!r}" for name, value in given.items() if is_relevant(name))
    unknown = tuple(name for name in given if not is_relevant(name))
    weak = frozenset(defaulted)
    key = (rule, threads, relevant, unknown, weak)
    known = layers.answers.get(key)
    if known is None:
        if len(layers.answers) >= REMEMBERED:
            layers.answers.clear()
        weak |= DERIVED if weak & DERIVED else frozenset()
        known = _resolve(rule, given, threads, layers, weak)
        layers.answers[key] = known
    return known


def _resolve(
    rule: str,
    given: Mapping[str, object],
    threads: int,
    layers: Layers,
    defaulted: frozenset[str],
) -> Resolved:
    own, said = _rule_layer(
        rule, {n: v for n, v in given.items() if n not in defaulted}, "resources", layers.around
    )
    weak, said_of_weak = _rule_layer(
        rule,
        {n: v for n, v in given.items() if n in defaulted},
        "--default-resources",
        layers.around,
    )
    if threads > 1:
        own = Layer(
            {**own.values, "threads": threads},
            {**own.origin, "threads": f"rule {rule}, threads:"},
            about_rule=True,
        )
    merged = merge(rule, layers.stack(rule, own, weak), threads, layers.preference)
    warnings = (*said, *said_of_weak, *near_misses(given), *merged.warnings)
    return Resolved(rule, merged.values, merged.origin, warnings, layers.images)


def _rule_layer(
    rule: str, resources: Mapping[str, object], kind: str, around: Surroundings
) -> tuple[Layer, tuple[str, ...]]:
    if not resources:
        return EMPTY, ()
    try:
        translated = settings_of(resources)
    except ConfigError as error:
        raise error.at(f"rule {rule}") from None
    nested: dict[str, Any] = {}
    for setting, value in translated.settings.items():
        block, dot, option = setting.partition(".")
        if dot:
            nested.setdefault(block, {})[option] = value
        else:
            nested[setting] = value

    def origin(place: Place) -> str:
        for length in (1, 2):
            source = translated.sources.get(".".join(map(str, place[:length])))
            if source:
                return f"rule {rule}, {kind}: {source}"
        return f"rule {rule}, {kind}: {place[0]}"

    try:
        settings = RuleSettings.model_validate(nested, context=around)
    except ValidationError as error:
        found = [(origin(problem.place), problem) for problem in problems_of(error)]
        raise error_of(f"rule {rule}", found) from None
    return layer_of(settings, origin, about_rule=True), translated.warnings


def default_layers(
    cli: Mapping[str, object], config_file: Path | None, workdir: Path, environ: Mapping[str, str]
) -> Layers:
    """Read the project's and the site's file and put the command line on top.

    Args:
        cli: Flags that were given, by the names of hpcctr.yaml; `log_dir` and `keep_logs` for
            `logs:`. None is as not given.
        config_file: The file of --hpcctr-config; None for hpcctr.yaml in `workdir`, if it is
            there.
        workdir: The workflow's working directory.
        environ: Names the site's file in HPCCTR_SITE (empty: none); binds and paths may refer
            to its variables.

    Raises:
        ConfigError: A file or flag cannot be used, or a file that was asked for is missing.
    """
    project = project_source(config_file, workdir, environ)
    return make_layers(cli, project, site_source(environ), workdir, environ)


def make_layers(
    cli: Mapping[str, object],
    project: Source | None,
    site: Source | None,
    workdir: Path,
    environ: Mapping[str, str],
) -> Layers:
    """Put layers together from configurations that were read.

    Raises:
        ConfigError: A flag cannot be used.
    """
    around = Surroundings(environ=environ, base=str(workdir))
    flags = command_line_source(cli, around)
    files = [source for source in (project, site) if source]
    images = {k: v for source in reversed(files) for k, v in (source.config.images or {}).items()}
    return Layers(
        settings=_general([flags, *files]),
        images={name: _reference(name, value) for name, value in images.items()},
        recipes={name: recipe for name, value in images.items() if (recipe := recipe_of(value))},
        command_line=section_layer(flags, ("defaults",), flags.config.defaults, about_rule=True),
        project=file_layers(project),
        site=file_layers(site),
        preference=_preference(files),
        around=around,
    )


def _reference(name: str, value: str | ImageRecipe) -> str:
    return value if isinstance(value, str) else f"build://{name}"


def recipe_of(value: str | ImageRecipe) -> Recipe | None:
    """Return how an image of hpcctr.yaml is built; None if it is only a name for a reference."""
    if isinstance(value, str):
        return None
    return Recipe(
        base=value.base,
        apt=value.apt or (),
        pip=value.pip or (),
        conda=value.conda or (),
        files=value.files or {},
    )


def _general(sources: list[Source]) -> General:
    """Take each setting of the run from the strongest source that has it."""
    found: dict[str, Any] = {}
    origin: dict[str, str] = {}
    places: dict[str, Place] = {name: (name,) for name in GENERAL}
    places |= {name: place for place, name in FLAGS.items()}
    for name, place in places.items():
        origin[name] = DEFAULT
        for source in sources:
            value: Any = source.config
            for part in place:
                value = getattr(value, str(part), None)
            if value is not None:
                found[name] = Path(value) if name.endswith("_dir") else value
                origin[name] = source.origin(place)
                break
    return General(**found, origin=origin)


def _preference(files: list[Source]) -> Layer:
    for source in files:
        engine = source.config.engine
        if engine and engine != (AUTO,):
            return Layer({"engine": engine}, {"engine": source.origin(("engine",))})
    return BUILT_IN
