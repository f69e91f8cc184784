"""The page's figures as plain values that plotly draws: the runs, and the best law through them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import StoreError
from isoflop.fitting import Fit
from isoflop.planning import frontier
from isoflop.report.analysis import Analysis
from isoflop.report.page.finding_charts import finding_charts
from isoflop.report.page.rows import Row
from isoflop.report.page.traces import (
    AXES,
    Chart,
    beyond,
    by_size,
    colours,
    levels,
    log_axis,
    loss_axis,
    named,
    rounded,
)
from isoflop.runs import RunStore

Array = NDArray[np.float64]
_POINTS = 12_000
"""Of all training curves together: what a browser draws at once."""
_LEAST = 8
"""Points of a curve at least."""
_BEYOND = 10.0
"""Laws are drawn this factor beyond the runs, shaded as extrapolation."""


def charts(analysis: Analysis, rows: Sequence[Row]) -> list[Chart]:
    """All figures of a study."""
    fit, shown = analysis.best.fit, [row for row in rows if row.fitted]
    return [
        *_curves(analysis.store, shown),
        _against("N", fit, shown),
        _against("D", fit, shown),
        *_planned(analysis, shown),
        _residuals(fit, shown),
        *finding_charts(analysis.findings),
    ]


def dots(rows: Sequence[Row], x: Sequence[float], y: Sequence[float], **more: Any) -> Chart:
    """A dot a run, which says what it is."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(x),
        "y": rounded(y),
        "text": [escape(row.label) for row in rows],
        "customdata": [[f"{row.n:.4g}", f"{row.d:.4g}", f"{row.c:.3g}", f"{row.loss:.4f}"] for row in rows],
        "hovertemplate": "<b>%{text}</b><br>N %{customdata[0]}, D %{customdata[1]}, C %{customdata[2]}<br>"
        "loss %{customdata[3]}<extra></extra>",
        **more,
    }


def _curves(store: RunStore, rows: Sequence[Row]) -> Iterator[Chart]:
    """None where points were recorded without tokens or losses, as of runs of which only the end is known."""
    try:
        points = store.points(["tokens", "loss"])
    except StoreError:
        return
    place = {run: i for i, run in enumerate(points.runs["id"].to_pylist())}
    kept = max(_LEAST, _POINTS // max(len(rows), 1))
    traces = []
    groups = levels([row.n for row in rows])
    for group, colour in zip(groups, colours(len(groups)), strict=True):
        x, y, said = [], [], []
        for i in group:
            curve = points[place[rows[i].id]]
            at = _spread(curve["tokens"], kept)
            x += [*rounded(curve["tokens"][at]), None]
            y += [*rounded(curve["loss"][at]), None]
            said += [escape(rows[i].label)] * (at.size + 1)
        traces.append({
            "type": "scatter", "mode": "lines", "x": x, "y": y, "text": said, "connectgaps": False,
            "name": named("N", [rows[i].n for i in group]), "line": {"color": colour, "width": 1}, "opacity": 0.8,
            "hovertemplate": "<b>%{text}</b><br>D %{x:.4s}, loss %{y:.4f}<extra></extra>",
        })  # fmt: skip
    yield {
        "id": "curves",
        "title": "Loss curves",
        "caption": "Training loss of every run that the laws are fitted to, against tokens.",
        "traces": traces,
        "layout": {"xaxis": log_axis(AXES["D"]), "yaxis": loss_axis("training loss, nats/token")},
    }


def _spread(tokens: Array, kept: int) -> NDArray[np.intp]:
    """Rows of a curve, evenly on a logarithmic axis."""
    good: NDArray[np.intp] = np.flatnonzero(tokens > 0)
    if good.size <= kept:
        return good
    wanted = np.geomspace(tokens[good[0]], tokens[good[-1]], kept)
    kept_rows = np.searchsorted(tokens[good], wanted).clip(0, good.size - 1)
    return np.asarray(good[np.unique(kept_rows)])


def _against(x: str, fit: Fit, rows: Sequence[Row]) -> Chart:
    other = "D" if x == "N" else "N"
    values = {name: np.array([getattr(row, name.lower()) for row in rows]) for name in ("N", "D")}
    most = float(values[x].max())
    grid = np.geomspace(values[x].min(), most * _BEYOND, 60)
    traces = []
    groups = levels(values[other])
    for group, colour in zip(groups, colours(len(groups)), strict=True):
        mine = [rows[i] for i in group]
        middle = float(np.exp(np.log(values[other][group]).mean()))
        name = named(other, values[other][group].tolist())
        law = fit.predict(**{x: grid, other: np.full_like(grid, middle)})
        traces += [
            dots(mine, values[x][group].tolist(), [row.loss for row in mine], name=name, legendgroup=name,
                 marker={"color": colour, "size": 7, "line": {"color": "--card", "width": 0.7}}),
            {"type": "scatter", "mode": "lines", "x": rounded(grid), "y": rounded(law), "hoverinfo": "skip",
             "legendgroup": name, "showlegend": False, "line": {"color": colour, "width": 1.3}},
        ]  # fmt: skip
    return {
        "id": f"loss-{x.lower()}",
        "title": f"Loss against {x}",
        "caption": f"Dots: runs, coloured by {other}. Lines: the {fit.law.name} law, {fit.residual_rms:.1%} rms.",
        "traces": traces,
        "layout": {
            "xaxis": log_axis(AXES[x]),
            "yaxis": loss_axis(),
            "shapes": [beyond(most * 1.1, float(grid[-1]))],
        },
    }


def _planned(analysis: Analysis, rows: Sequence[Row]) -> Iterator[Chart]:
    """Loss, N and D of the optimum along C, with intervals."""
    plan, fit = analysis.plan, analysis.best.fit
    compute = np.array([row.c for row in rows])
    grid = np.geomspace(compute.min(), max(compute.max() * _BEYOND, plan.compute * 3), 60)
    curve = {name: np.asarray(values) for name, values in frontier(fit, grid.tolist(), level=plan.level).items()}
    layout = {"xaxis": log_axis(AXES["C"]), "shapes": [beyond(float(compute.max()) * 1.1, float(grid[-1]))]}
    runs = dots(
        rows, compute.tolist(), [row.loss for row in rows], name="runs", marker=by_size([row.n for row in rows])
    )
    yield {
        "id": "frontier",
        "title": "Compute frontier",
        "caption": f"Runs, and the least loss of a budget by the {fit.law.name} law with its {plan.level:.0%} interval."
        " Star: the planner's answer.",
        "traces": [runs, *_band(curve, "L", "--plan", "compute-optimal loss")],
        "layout": {**layout, "yaxis": loss_axis()},
        "plan": {"loss": "L*"},
    }
    yield {
        "id": "allocation",
        "title": "Compute-optimal allocation",
        "caption": f"N* ~ C^{plan.a:.2f} and D* ~ C^{plan.b:.2f} with their {plan.level:.0%} intervals."
        " Stars: the planner's answer.",
        "traces": [*_band(curve, "N", "#3b7dd8", AXES["N"]), *_band(curve, "D", "#2a9d6f", AXES["D"])],
        "layout": {**layout, "yaxis": log_axis("parameters, tokens")},
        "plan": {"n": "N*", "d": "D*"},
    }


def _band(curve: dict[str, Array], name: str, colour: str, label: str) -> list[Chart]:
    """A line and, where there is one, its interval."""
    x = rounded(curve["C"])
    line = {
        "type": "scatter", "mode": "lines", "x": x, "y": rounded(curve[name]), "name": label,
        "line": {"color": colour, "width": 2}, "hovertemplate": f"C %{{x:.4s}}<br>{name}* %{{y:.4s}}<extra></extra>",
    }  # fmt: skip
    if f"{name}_low" not in curve:
        return [line]
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    low = {**edge, "y": rounded(curve[f"{name}_low"])}
    high = {**edge, "y": rounded(curve[f"{name}_high"]), "fill": "tonexty", "fillcolor": "rgba(128,128,160,.28)"}
    return [low, high, line]


def _residuals(fit: Fit, rows: Sequence[Row]) -> Chart:
    law = fit.predict(**{name: [getattr(row, name.lower()) for row in rows] for name in fit.law.inputs})
    off = [100 * (row.loss / float(value) - 1) for row, value in zip(rows, law, strict=True)]
    return {
        "id": "residuals",
        "title": "What the law leaves over",
        "caption": f"Loss of each run over that of the {fit.law.name} law, less 1: a pattern is what the law misses.",
        "traces": [dots(rows, [row.c for row in rows], off, marker=by_size([row.n for row in rows]), showlegend=False)],
        "layout": {"xaxis": log_axis(AXES["C"]), "yaxis": {"title": {"text": "loss over the law's, %"}}},
    }
