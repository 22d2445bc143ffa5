"""What a command of `hpcctr dsl` begins with: the file, its parameters, the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.sources import project_source, site_source
from snakemake_executor_plugin_hpcctr.dsl.configure import of_files
from snakemake_executor_plugin_hpcctr.dsl.model import STUB_ROOT
from snakemake_executor_plugin_hpcctr.dsl.params import read_arguments
from snakemake_executor_plugin_hpcctr.dsl.pipeline import Pipeline, load
from snakemake_executor_plugin_hpcctr.dsl.run import Options, plan_and_trace
from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.calls import CallNode
    from snakemake_executor_plugin_hpcctr.dsl.model import Plan
    from snakemake_executor_plugin_hpcctr.dsl.trace import Trace


@dataclass(frozen=True)
class Request:
    """What was typed.

    Args:
        file: The pipeline's file.
        words: Its parameters, `--name value`.
        profiles: Profiles of hpcctr.yaml, the weaker first.
        params_file: File with parameters.
        stub: Whether stubs run in place of scripts.
        fresh: Whether results of earlier runs are left aside.
        channels: Whether the plan describes its channels.
    """

    file: Path
    words: Sequence[str] = ()
    profiles: tuple[str, ...] = ()
    params_file: Path | None = None
    stub: bool = False
    fresh: bool = False
    channels: bool = False

    @property
    def layout(self) -> Layout:
        """Where its plan and results are."""
        return Layout(Path(STUB_ROOT)) if self.stub else Layout()


@dataclass(frozen=True)
class Planned:
    """A pipeline with its plan.

    Args:
        pipeline: The loaded file.
        arguments: Values of its parameters.
        plan: The plan.
        layout: Where results are.
        trace: What the plan was made of.
    """

    pipeline: Pipeline
    arguments: dict[str, Any]
    plan: Plan
    layout: Layout
    trace: Trace


def settings(
    profiles: Sequence[str], environ: Mapping[str, str]
) -> tuple[Callable[[CallNode], dict[str, Any]], dict[str, Any]]:
    """Return what hpcctr.yaml and the site's file say of processes and parameters.

    Raises:
        ConfigError: They cannot be used, or a profile does not exist.
    """
    found = []
    site = site_source(environ)
    if site is not None:
        found.append((site.config, "the site's file"))
    project = project_source(None, Path.cwd(), environ)
    if project is not None:
        found.append((project.config, "hpcctr.yaml"))
    known = {name for config, _ in found for name in config.profiles or {}}
    return of_files(found, profiles, known)


def planned(request: Request, environ: Mapping[str, str]) -> Planned:
    """Load a pipeline and plan it.

    Raises:
        ConfigError: The file, a parameter or the configuration cannot be used.
    """
    pipeline = load(request.file)
    configured, params = settings(request.profiles, environ)
    arguments = read_arguments(pipeline, request.words, config=params, file=request.params_file)
    layout = request.layout
    options = Options(
        stub=request.stub, channels=request.channels, fresh=request.fresh, configured=configured
    )
    plan, trace = plan_and_trace(pipeline, arguments, layout, options)
    plan.profiles = list(request.profiles)
    return Planned(pipeline, arguments, plan, layout, trace)
