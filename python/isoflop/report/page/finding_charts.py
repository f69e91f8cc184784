"""The figure of each finding as plain values: what the runs of a purpose gave, and the law through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from isoflop.fitting import CriticalBatch, IsoflopMinima, StepsFit
from isoflop.fitting.shape_scan import ShapeScan
from isoflop.report.findings import Finding
from isoflop.report.page.traces import AXES, Chart, colours, levels, line, log_axis, loss_axis, marks, named

_BEYOND = 3.0
"""Laws are drawn this factor beyond the runs."""
_ONE_SIZE = 0.3
_ONE_BUDGET = 0.1
"""In logarithms: sizes of one comparison, budgets of one profile."""


def finding_charts(findings: tuple[Finding, ...]) -> list[Chart]:
    """One a finding."""
    return [_CHARTS[type(finding.result)](finding) | {"id": finding.purpose} for finding in findings]


def _of_batch(finding: Finding) -> Chart:
    critical = finding.result
    assert isinstance(critical, CriticalBatch)
    loss = np.array([level.loss for level in critical.levels])
    sigma = np.nan_to_num([level.sigma for level in critical.levels])
    size = np.array([level.B_crit for level in critical.levels])
    grid = np.geomspace(loss.min() / 1.15, loss.max() * 1.05, 40)
    bars = {"type": "data", "array": (size * sigma).tolist(), "thickness": 1}
    dots = marks(loss, size, "--ink", name="of each loss", error_y=bars)
    said = {"hovertemplate": "loss %{x:.3f}<br>B_crit %{y:.4s} tokens<extra></extra>"}
    return {
        "title": "Critical batch size",
        "caption": f"Tokens a batch at which time and compute trade evenly; B_crit = {critical.B_star:.3g} /"
        f" L^{1 / critical.alpha_B:.3g}. Bars: standard errors.",
        "traces": [dots | said, line(grid, critical(grid), "--accent", name="B_star / L^(1/alpha_B)")],
        "layout": {
            "xaxis": {**loss_axis("loss reached, nats/token"), "autorange": "reversed"},
            "yaxis": log_axis("B_crit, tokens"),
        },
    }


def _of_steps(finding: Finding) -> Chart:
    steps = finding.result
    assert isinstance(steps, StepsFit)
    columns = steps.fit.data.columns
    grid = np.geomspace(columns["S_min"].min(), columns["S_min"].max() * _BEYOND, 60)
    groups = levels(columns["N"])
    traces = []
    for group, colour in zip(groups, colours(len(groups)), strict=True):
        name = named("N", columns["N"][group].tolist())
        said = {"name": name, "legendgroup": name, "hovertemplate": "S_min %{x:.4s}<br>loss %{y:.4f}<extra></extra>"}
        size = float(columns["N"][group[0]])
        law = line(grid, steps.predict(size, grid), colour, legendgroup=name, showlegend=False)
        traces += [marks(columns["S_min"][group], columns["L"][group], colour, **said), law]
    return {
        "title": "L(N, S_min)",
        "caption": f"Held-out loss along training against batch-adjusted steps, with the law through it:"
        f" alpha_N = {steps.params['alpha_N']:.3g}, alpha_S = {steps.params['alpha_S']:.3g}.",
        "traces": traces,
        "layout": {"xaxis": log_axis("S_min, steps"), "yaxis": loss_axis()},
    }


def _of_shape(finding: Finding) -> Chart:
    scan = finding.result
    assert isinstance(scan, ShapeScan)
    best = [shape for shape in scan.shapes if shape.penalty == 0]
    traces = []
    for of, colour in zip(best, colours(len(best)), strict=True):
        mine = [shape for shape in scan.shapes if abs(np.log(shape.n_params / of.n_params)) < _ONE_SIZE]
        bars = [100 * shape.sigma if np.isfinite(shape.sigma) else 0.0 for shape in mine]
        more = {"mode": "lines+markers", "error_y": {"type": "data", "array": bars, "thickness": 1}}
        said = {"hovertemplate": "d_model/n_layer %{x:.3g}<br>%{y:.2f} % above the best<extra></extra>"}
        aspects, penalties = [shape.aspect for shape in mine], [100 * shape.penalty for shape in mine]
        traces.append(marks(aspects, penalties, colour, name=named("N", [of.n_params]), **more, **said))
    return {
        "title": "Shapes of one size",
        "caption": "Loss of each shape over that of the best shape of its N, less 1. Bars: standard errors of seeds.",
        "traces": traces,
        "layout": {
            "xaxis": log_axis("d_model / n_layer"),
            "yaxis": {"title": {"text": "loss over the best of the same N, %"}},
        },
    }


def _of_isoflop(finding: Finding) -> Chart:
    minima, columns = finding.result, finding.columns
    assert isinstance(minima, IsoflopMinima)
    traces = []
    for m, colour in zip(minima.minima, colours(len(minima.minima)), strict=True):
        mine = np.flatnonzero(np.abs(np.log(columns["C"] / m.budget)) < _ONE_BUDGET)
        mine = mine[np.argsort(columns["N"][mine])]
        name = f"C {m.budget:.3g}"
        profile = marks(columns["N"][mine], columns["L"][mine], colour, name=name, mode="lines+markers")
        traces.append(profile | {"hovertemplate": f"{name}<br>N %{{x:.4s}}<br>loss %{{y:.4f}}<extra></extra>"})
    stars = marks([m.n_params for m in minima.minima], [m.loss for m in minima.minima], "--plan", name="minimum")
    stars["marker"] = stars["marker"] | {"symbol": "star", "size": 12}
    stars["hovertemplate"] = "N* %{x:.4s}<br>loss %{y:.4f}<extra></extra>"
    return {
        "title": "isoFLOP profiles",
        "caption": f"Losses of each budget over N and their minima: N* ~ C^{minima.n_params.exponent:.2f},"
        f" D* ~ C^{minima.n_tokens.exponent:.2f}.",
        "traces": [*traces, stars],
        "layout": {"xaxis": log_axis(AXES["N"]), "yaxis": loss_axis()},
    }


_CHARTS: Mapping[type, Callable[[Finding], Chart]] = {
    CriticalBatch: _of_batch,
    StepsFit: _of_steps,
    ShapeScan: _of_shape,
    IsoflopMinima: _of_isoflop,
}
