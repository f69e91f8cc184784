"""The pictures of a study. Every function draws on ``ax`` (a new figure's without it) and returns it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isoflop.fitting import Fit, FitData
from isoflop.planning import Plan, frontier
from isoflop.report.analysis import Analysis, select
from isoflop.report.finding_figures import draw_findings
from isoflop.report.style import ACCENT, LABELS, Colours, log_axes, new_figure, shade_extrapolation, styled
from isoflop.runs import RunStore
from isoflop.runs.studies import scaling_runs

_BEYOND = 10.0
"""Fitted curves in N and D are drawn this factor beyond the runs, shaded as extrapolation."""


@styled
def loss_curves(store: RunStore, ax: Axes | None = None, *, runs: Collection[str] | None = None) -> Axes:
    """Training loss against tokens, a line a finished run, colour by N; dots are the held-out losses at the end.

    ``runs`` are the ids of those to draw, where not all.
    """
    ax = new_figure(1)[1][0] if ax is None else ax
    drawn = (run for run in store if run.status == "finished" and (runs is None or run.id in runs))
    runs_by_size = sorted(drawn, key=lambda run: -run.counts["N"])
    colours = Colours([run.counts["N"] for run in runs_by_size], LABELS["N"])
    for run in runs_by_size:
        points = store.points_of(run.id)
        colour = colours(run.counts["N"])
        ax.plot(points["tokens"], points["loss"], color=colour, lw=0.8, alpha=0.7)
        if run.result is not None:
            ax.plot(run.result["tokens"], run.result["loss"], "o", color=colour, ms=4, mec="white", mew=0.5)
    log_axes(ax, "D", "L")
    ax.set_ylabel("loss, nats/token (line: training, dot: held-out)")
    ax.set_title("Loss curves")
    colours.bar(ax)
    return ax


@styled
def loss_against(x: str, fit: Fit, ax: Axes | None = None) -> Axes:
    """Held-out loss against ``x`` (N or D), a series for each value of the other, and the fitted law through them."""
    ax = new_figure(1)[1][0] if ax is None else ax
    other = "D" if x == "N" else "N"
    columns = fit.data.columns
    values = _levels(columns[other])
    colours = Colours(values, LABELS[other])
    grid = np.geomspace(columns[x].min(), columns[x].max() * _BEYOND, 200)
    for value in values:
        near = np.abs(columns[other] / value - 1) < _NEAR
        ax.plot(columns[x][near], columns["L"][near], "o", color=colours(value), ms=4.5, mec="white", mew=0.5)
        ax.plot(grid, fit.predict(**{x: grid, other: np.full_like(grid, value)}), color=colours(value), lw=1)
    log_axes(ax, x, "L")
    ax.plot([], [], color="0.3", lw=1, label=_equation(fit))
    ax.legend(loc="lower left", fontsize=6.5).set_in_layout(False)
    ax.set_title(f"Loss against {x}: {fit.law.name} fit, {fit.residual_rms:.1%} rms")
    ax.set_xlim(columns[x].min() / 1.3, grid[-1])
    shade_extrapolation(ax, columns[x].max() * 1.1)
    colours.bar(ax)
    return ax


@styled
def compute_frontier(fit: Fit, plan: Plan, ax: Axes | None = None) -> Axes:
    """Held-out loss against compute: all runs, the best of them, and the fitted optimum with its interval."""
    ax = new_figure(1)[1][0] if ax is None else ax
    columns = fit.data.columns
    compute = _compute(fit.data)
    colours = Colours(columns["N"], LABELS["N"])
    ax.scatter(
        compute, columns["L"], c=[colours(n) for n in columns["N"]], s=22, edgecolors="white", linewidths=0.5, zorder=3
    )
    best = select(FitData({**columns, "C": compute}), "frontier").columns
    order = np.argsort(best["C"])
    ax.plot(best["C"][order], best["L"][order], color="0.2", lw=1, drawstyle="steps-post", label="best run so far")
    curve = frontier(
        fit, np.geomspace(compute.min(), max(compute.max(), plan.compute) * 2, 80).tolist(), level=plan.level
    )
    ax.plot(curve["C"], curve["L"], color=ACCENT, lw=1.6, label=f"{fit.law.name} optimum, {plan.level:.0%} interval")
    if "L_low" in curve:
        ax.fill_between(curve["C"], curve["L_low"], curve["L_high"], color=ACCENT, alpha=0.18, lw=0)
    ax.plot(
        plan.compute, plan.loss, "*", color=ACCENT, ms=13, mec="white", zorder=4, label=f"plan: L = {plan.loss:.3g}"
    )
    log_axes(ax, "C", "L")
    ax.legend(loc="lower left")
    ax.set_title("Compute frontier")
    shade_extrapolation(ax, compute.max() * 1.2)
    colours.bar(ax)
    return ax


@styled
def allocation(fit: Fit, plan: Plan, ax: Axes | None = None) -> Axes:
    """Compute-optimal N and D against compute, with intervals, the frontier runs' N and D, and the plan."""
    ax = new_figure(1)[1][0] if ax is None else ax
    compute = _compute(fit.data)
    curve = frontier(
        fit, np.geomspace(compute.min(), max(compute.max(), plan.compute) * 2, 80).tolist(), level=plan.level
    )
    best = select(FitData({**fit.data.columns, "C": compute}), "frontier").columns
    for name, colour, value in (("N", "#31688e", plan.n_params), ("D", "#35b779", plan.n_tokens)):
        ax.plot(
            curve["C"], curve[name], color=colour, lw=1.6, label=f"{LABELS[name]}: {name}* = {value:.3g} at the plan"
        )
        if f"{name}_low" in curve:
            ax.fill_between(curve["C"], curve[f"{name}_low"], curve[f"{name}_high"], color=colour, alpha=0.18, lw=0)
        ax.plot(best["C"], best[name], "o", color=colour, ms=4, mec="white", mew=0.5)
        ax.plot(plan.compute, value, "*", color=colour, ms=13, mec="white", zorder=4)
    log_axes(ax, "C", "N")
    ax.set_ylabel("parameters, tokens (dots: best runs)")
    ax.set_ylim(top=ax.get_ylim()[1] * 50)  # room for the legend
    ax.legend(loc="upper left")
    ax.set_title(f"Compute-optimal allocation: N* ~ C^{plan.a:.2f}, D* ~ C^{plan.b:.2f}")
    shade_extrapolation(ax, compute.max() * 1.2)
    return ax


def draw(analysis: Analysis) -> dict[str, Figure]:
    """The figures of a study by name: ``curves``, ``fit``, ``frontier``, and one for each finding by its purpose."""
    best = analysis.best.fit
    curves, axes = new_figure(1, width=6.6)
    loss_curves(analysis.store, axes[0], runs=scaling_runs(analysis.store))
    fitted, axes = new_figure(2)
    loss_against("N", best, axes[0])
    loss_against("D", best, axes[1])
    planned, axes = new_figure(2)
    compute_frontier(best, analysis.plan, axes[0])
    allocation(best, analysis.plan, axes[1])
    return {"curves": curves, "fit": fitted, "frontier": planned, **draw_findings(analysis.findings)}


_NEAR = 0.05
_SERIES = 8
_EQUATION_COLUMNS = 3


def _levels(values: np.ndarray) -> list[float]:
    """The distinct values of a column, those within 5 % of each other as one; of many, some spread evenly."""
    levels: list[float] = []
    for value in np.sort(values):
        if not levels or value / levels[-1] - 1 >= _NEAR:
            levels.append(float(value))
    if len(levels) <= _SERIES:
        return levels
    return [levels[i] for i in np.linspace(0, len(levels) - 1, _SERIES).round().astype(int)]


def _compute(data: FitData) -> np.ndarray:
    """C of every run in FLOPs, 6 N D where the data do not say."""
    return data.columns["C"] if "C" in data.columns else 6 * data.columns["N"] * data.columns["D"]


def _equation(fit: Fit) -> str:
    values = [f"{name} = {value:.3g}" for name, value in fit.params.items()]
    lines = [", ".join(values[i : i + _EQUATION_COLUMNS]) for i in range(0, len(values), _EQUATION_COLUMNS)]
    return "\n".join([fit.law.formula, *lines])
