"""A pipeline's file: loaded as a module, its entry workflow found."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.spans import Span, is_foreign, is_ours, raised_at
from snakemake_executor_plugin_hpcctr.dsl.workflow import Workflow
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@dataclass(frozen=True)
class Pipeline:
    """A loaded file.

    Args:
        file: Absolute path.
        module: What its top level made.
        entry: The workflow that is run.
    """

    file: Path
    module: ModuleType
    entry: Workflow[Any, Any]


def load(file: Path, entry: str = "") -> Pipeline:
    """Load a pipeline's file.

    Args:
        file: A Python file.
        entry: Name of the workflow to run; "" for `main`, or the last one of the file.

    Raises:
        ConfigError: The file cannot be read, has the name of a module, or has no workflow.
        DslError: Its top level failed.
    """
    path = file.resolve()
    if not path.is_file():
        raise ConfigError(f"there is no file {file}", next_step="name the pipeline's Python file")
    module = _executed(path)
    flows = {
        value.name: value
        for value in vars(module).values()
        if isinstance(value, Workflow) and value.function.__module__ == module.__name__
    }
    chosen = (
        flows.get(entry) if entry else flows.get("main") or next(reversed(flows.values()), None)
    )
    if chosen is None:
        known = ", ".join(flows)
        raise ConfigError(
            f"it has no workflow `{entry}`" if entry else "it has no workflow",
            where=str(file),
            next_step=f"its workflows are {known}" if known else "write a function with @workflow",
        )
    return Pipeline(path, module, chosen)


def _check_name(path: Path) -> None:
    """Refuse a file whose module would take the place of one that is in use."""
    other = sys.modules.get(path.stem)
    file = getattr(other, "__file__", None) or "<built-in>"
    if other is not None and file != str(path) and (is_ours(file) or is_foreign(file)):
        raise ConfigError(
            f"a pipeline's file cannot have the name of Python's module `{path.stem}`",
            where=str(path),
            next_step="rename it, to main.py for instance",
        )


def _executed(path: Path) -> ModuleType:
    _check_name(path)
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError("it is not a Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        span = Span(error.filename or str(path), error.lineno or 1, error.offset or 0)
        raise DslError(f"Python cannot read it: {error.msg}", span=span) from None
    except ConfigError:
        raise
    except Exception as error:
        last = traceback.format_exception_only(error)[-1].strip()
        raise DslError(
            f"loading the pipeline failed: {last}", span=raised_at(error.__traceback__)
        ) from error
    return module
