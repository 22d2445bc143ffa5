"""What trials measured: numbers of the files that they left."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.values import DELIMITERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snakemake_executor_plugin_hpcctr.sweep.snakefile import Sweep
    from snakemake_executor_plugin_hpcctr.sweep.trials import Trial


@dataclass(frozen=True)
class Measured:
    """What a trial has measured so far.

    Args:
        values: Metric → number; a metric that cannot be read is absent.
        problem: Why not all could be read; "" if there is no file yet, or nothing is wrong.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


def metrics_file(sweep: Sweep, trial: Trial) -> Path:
    """Return where a trial leaves its metrics.

    Raises:
        ConfigError: The sweep says nothing of metrics.
    """
    metrics = sweep.loaded.config.metrics
    if metrics is None:
        raise ConfigError(
            "the sweep does not say where its trials leave their results",
            where=sweep.loaded.name,
            next_step="add `metrics: {stage: evaluate, file: metrics.json, keys: [accuracy]}`",
        )
    if metrics.stage is None:
        return Path(sweep.output, trial.name, metrics.file)
    return Path(sweep.path_of(metrics.stage, trial, metrics.file))


def read_metrics(file: Path, keys: Mapping[str, str] | None) -> Measured:
    """Read a metrics file; what is wrong with it is told, not raised.

    Args:
        file: JSON, YAML, CSV or TSV, by its ending.
        keys: Metric → where it is: `a.b` inside sections, or a column. None for all numbers.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Measured()
    except (OSError, UnicodeDecodeError) as error:
        return Measured(problem=f"{file} cannot be read: {error}")
    try:
        found = parse_metrics(text, file.suffix.lower())
    except ValueError as error:
        return Measured(problem=f"{file}: {error}")
    if keys is None:
        numbers = {
            name: number for name, value in found.items() if (number := _number(value)) is not None
        }
        return Measured(numbers, "" if numbers else f"{file} holds no number")
    picked = {name: _number(_at(found, path)) for name, path in keys.items()}
    lacking = [path for name, path in keys.items() if picked[name] is None]
    return Measured(
        {name: number for name, number in picked.items() if number is not None},
        f"{file} has no number `{lacking[0]}`" if lacking else "",
    )


def parse_metrics(text: str, ending: str) -> dict[str, Any]:
    """Return what a metrics file holds; of a table the last row.

    Raises:
        ValueError: It is malformed; says how.
    """
    if ending in DELIMITERS:
        try:
            rows = list(csv.DictReader(text.splitlines(), delimiter=DELIMITERS[ending]))
        except csv.Error as error:
            raise ValueError(f"it is not a valid table: {error}") from None
        if not rows:
            raise ValueError("it has no rows")
        return dict(rows[-1])
    if ending in {".yaml", ".yml"}:
        import yaml  # noqa: PLC0415 (needed for such files only)

        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"it is not valid YAML: {str(error).splitlines()[0]}") from None
    else:
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"it is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("expected keys and values")  # noqa: TRY004 (a wrong content, no wrong call)
    return found


def _at(found: Any, path: str) -> Any:
    if isinstance(found, dict) and path in found:
        return found[path]
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def _number(value: Any) -> float | None:
    """Return a number, or a text that is one (in a table); NaN and infinity are numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return value if isinstance(value, (int, float)) else float(value)
    except ValueError:
        return None
