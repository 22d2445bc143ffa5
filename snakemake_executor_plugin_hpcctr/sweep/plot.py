"""Trials → one HTML page that needs nothing else: parallel coordinates, metric by parameter."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.naming import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snakemake_executor_plugin_hpcctr.sweep.table import Line

#: A parameter that spans so many powers of ten is drawn on a logarithmic axis.
LOG_SPAN = 50.0
COLOURS = "Viridis"
INK = "#1b1b1b"

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 sans-serif; color: #1b1b1b; max-width: 1180px; margin: 2em auto; }}
body {{ padding: 0 1em; }}
h1 {{ font-size: 1.4em; }} h2 {{ font-size: 1.1em; margin-bottom: 0; }}
.note {{ color: #555; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
{parts}
</body>
</html>
"""


def render_page(
    title: str, names: Sequence[str], lines: Sequence[Line], metric: str, best: Line
) -> str:
    """Return the page.

    Args:
        title: Its heading.
        names: The parameters.
        lines: The trials; those without a number for the metric are only counted.
        metric: What is drawn.
        best: The trial that is marked.

    Raises:
        ConfigError: Plotly is missing.
    """
    shown = [line for line in lines if math.isfinite(line.metrics.get(metric, math.nan))]
    figures = [parallel_coordinates(names, shown, metric)]
    figures += [by_parameter(name, shown, metric, best) for name in names]
    heads = [f"All trials: drag along an axis to choose, {metric} is the colour"]
    heads += [f"{metric} by {name}" for name in names]
    values = ", ".join(f"{name} = {text_of(best.trial.values[name])}" for name in names)
    left_out = len(lines) - len(shown)
    summary = (
        f"{len(shown)} trials. Best {metric}: <b>{best.metrics[metric]:.6g}</b> "
        f"with {html.escape(values)}."
    )
    if left_out:
        summary += f" <span class=note>{left_out} without a number for {metric}.</span>"
    parts = [
        f"<h2>{html.escape(head)}</h2>\n{_markup(figure, first=not index)}"
        for index, (head, figure) in enumerate(zip(heads, figures, strict=True))
    ]
    return PAGE.format(title=html.escape(title), summary=summary, parts="\n".join(parts))


def parallel_coordinates(names: Sequence[str], lines: Sequence[Line], metric: str) -> Any:
    """Return the figure with one axis per parameter and one line per trial."""
    numbers = [line.metrics[metric] for line in lines]
    dimensions = [_dimension(n, [line.trial.values[n] for line in lines]) for n in names]
    dimensions.append(_dimension(metric, numbers))
    go = _plotly()
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={"color": numbers, "colorscale": COLOURS, "showscale": True,
                  "colorbar": {"title": metric}},
            labelfont={"size": 14},
        )
    )  # fmt: skip
    figure.update_layout(height=420, margin={"l": 80, "r": 40, "t": 60, "b": 30})
    return figure


def by_parameter(name: str, lines: Sequence[Line], metric: str, best: Line) -> Any:
    """Return the figure of the metric against one parameter."""
    go = _plotly()
    column = [line.trial.values[name] for line in lines]
    numeric = _is_numeric(column)
    points = go.Scatter(
        x=column if numeric else [text_of(value) for value in column],
        y=[line.metrics[metric] for line in lines],
        mode="markers",
        marker={"size": 9, "color": "#2f6db3", "opacity": 0.65},
        text=[line.trial.name for line in lines],
        hovertemplate="%{text}<br>" + metric + " %{y}<extra></extra>",
        showlegend=False,
    )
    value = best.trial.values[name]
    star = go.Scatter(
        x=[value if numeric else text_of(value)],
        y=[best.metrics[metric]],
        mode="markers",
        marker={"size": 15, "color": "#c2410c", "symbol": "star"},
        name="best",
        hovertemplate=best.trial.name + "<extra>best</extra>",
    )
    figure = go.Figure([points, star])
    logarithmic = numeric and _spans_powers(column)
    figure.update_layout(
        height=360,
        template="plotly_white",
        font={"color": INK},
        margin={"l": 70, "r": 30, "t": 20, "b": 55},
        xaxis={
            "title": name,
            "type": "log" if logarithmic else "linear" if numeric else "category",
            "exponentformat": "e",
            "dtick": 1 if logarithmic else None,
        },
        yaxis={"title": metric},
    )
    return figure


def _dimension(name: str, column: Sequence[Any]) -> dict[str, Any]:
    """Return an axis: numbers as they are or by their logarithm, other values one step each."""
    if not _is_numeric(column):
        words = list(dict.fromkeys(text_of(value) for value in column))
        places = {word: place for place, word in enumerate(words)}
        return {
            "label": name,
            "values": [places[text_of(value)] for value in column],
            "tickvals": list(places.values()),
            "ticktext": words,
        }
    if not _spans_powers(column):
        return {"label": name, "values": list(column)}
    low, high = (math.log10(one) for one in (min(column), max(column)))
    ticks = range(math.floor(low), math.ceil(high) + 1)
    return {
        "label": name,
        "range": [ticks[0], ticks[-1]],
        "values": [math.log10(value) for value in column],
        "tickvals": list(ticks),
        "ticktext": [f"{10.0**tick:g}" for tick in ticks],
    }


def _is_numeric(column: Sequence[Any]) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in column)


def _spans_powers(column: Sequence[Any]) -> bool:
    return bool(column) and min(column) > 0 and max(column) / min(column) >= LOG_SPAN


def _markup(figure: Any, *, first: bool) -> str:
    """Return a figure's HTML; the first brings the library with it."""
    text: str = figure.to_html(
        full_html=False, include_plotlyjs=first, config={"displaylogo": False}
    )
    return text


def _plotly() -> Any:
    try:
        from plotly import graph_objects  # noqa: PLC0415 (an extra, and slow to load)
    except ImportError:
        raise ConfigError(
            "the page needs Plotly, which is not installed",
            next_step="pip install 'snakemake-executor-plugin-hpcctr[sweep]'",
        ) from None
    return graph_objects
