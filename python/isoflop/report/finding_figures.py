"""The picture of each finding: what the runs of a purpose gave, and the law through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isoflop.fitting import CriticalBatch, IsoflopMinima, StepsFit
from isoflop.fitting.shape_scan import ShapeScan
from isoflop.report.findings import Finding
from isoflop.report.style import ACCENT, LABELS, Colours, log_axes, new_figure, shade_extrapolation, styled

_BEYOND = 3.0
"""Laws are drawn this factor beyond the runs, shaded as extrapolation."""


@styled
def trade_off(critical: CriticalBatch, ax: Axes | None = None) -> Axes:
    """Tokens against steps that reach each loss: (S/S_min - 1)(E/E_min - 1) = 1; dots where B = B_crit."""
    ax = new_figure(1)[1][0] if ax is None else ax
    colours = Colours([level.loss for level in critical.levels], "loss reached, nats/token")
    more = np.geomspace(0.05, 20, 100)
    for level in critical.levels:
        ax.plot(level.S_min * (1 + more), level.E_min * (1 + 1 / more), color=colours(level.loss), lw=1.2)
        ax.plot(2 * level.S_min, 2 * level.E_min, "o", color=colours(level.loss), ms=4.5, mec="white", mew=0.5)
    log_axes(ax, "S", "E")
    ax.set_title("Steps against tokens, fitted to each loss")
    colours.bar(ax)
    return ax


@styled
def critical_sizes(critical: CriticalBatch, ax: Axes | None = None) -> Axes:
    """B_crit of each loss with its standard error, and the power law through them with its interval."""
    ax = new_figure(1)[1][0] if ax is None else ax
    loss = np.array([level.loss for level in critical.levels])
    size = np.array([level.B_crit for level in critical.levels])
    sigma = np.nan_to_num([level.sigma for level in critical.levels])
    ax.errorbar(loss, size, [size * -np.expm1(-sigma), size * np.expm1(sigma)], fmt="o", color="0.2", ms=4.5, lw=1)
    grid = np.geomspace(loss.min() / 1.15, loss.max() * 1.05, 100)
    equation = f"B_crit = {critical.B_star:.3g} / L^{1 / critical.alpha_B:.3g}"
    ax.plot(grid, critical(grid), color=ACCENT, lw=1.6, label=equation)
    if critical.law is not None:
        ax.fill_between(grid, *critical.law.line_interval(grid), color=ACCENT, alpha=0.18, lw=0)
    log_axes(ax, "L", "B")
    ax.invert_xaxis()
    ax.legend(loc="best")
    ax.set_title("Critical batch size")
    shade_extrapolation(ax, loss.min())
    return ax


@styled
def learning_curves(steps: StepsFit, ax: Axes | None = None) -> Axes:
    """Held-out loss along training against S_min, a colour a size, and L(N, S_min) through the points."""
    ax = new_figure(1)[1][0] if ax is None else ax
    columns = steps.fit.data.columns
    sizes = np.unique(columns["N"])
    colours = Colours(sizes, LABELS["N"])
    grid = np.geomspace(columns["S_min"].min(), columns["S_min"].max() * _BEYOND, 200)
    for size in sizes:
        mine = columns["N"] == size
        ax.plot(columns["S_min"][mine], columns["L"][mine], "o", color=colours(size), ms=3, alpha=0.7)
        ax.plot(grid, steps.predict(size, grid), color=colours(size), lw=1)
    log_axes(ax, "S_min", "L")
    p = steps.params
    ax.plot([], [], color="0.3", lw=1, label=f"alpha_N = {p['alpha_N']:.3g}, alpha_S = {p['alpha_S']:.3g}")
    ax.legend(loc="lower left")
    ax.set_title(f"L(N, S_min): {steps.fit.residual_rms:.1%} rms")
    shade_extrapolation(ax, columns["S_min"].max())
    colours.bar(ax)
    return ax


@styled
def shape_penalties(scan: ShapeScan, ax: Axes | None = None) -> Axes:
    """Loss over that of the best shape of the same N, less 1, against d_model/n_layer."""
    ax = new_figure(1)[1][0] if ax is None else ax
    sizes = [shape.n_params for shape in scan.shapes]
    colours, one = Colours(sizes, LABELS["N"]), np.log(max(sizes) / min(sizes)) < _ONE_SIZE
    for best in [shape for shape in scan.shapes if shape.penalty == 0]:
        mine = [shape for shape in scan.shapes if abs(np.log(shape.n_params / best.n_params)) < _ONE_SIZE]
        ax.errorbar(
            [shape.aspect for shape in mine],
            [100 * shape.penalty for shape in mine],
            [100 * shape.sigma if np.isfinite(shape.sigma) else 0.0 for shape in mine],
            fmt="o-",
            color=colours(best.n_params),
            ms=4.5,
            lw=1,
        )
    ax.set_xscale("log")
    ax.set_xlabel("d_model / n_layer")
    ax.set_ylabel("loss over the best of the same N, %")
    ax.set_title(f"Shapes of one N, {min(sizes):.3g} to {max(sizes):.3g}" if one else "Shapes of one N each")
    if not one:
        colours.bar(ax)
    return ax


_ONE_SIZE = 0.3


@styled
def budgets(minima: IsoflopMinima, columns: Mapping[str, np.ndarray], ax: Axes | None = None) -> Axes:
    """Losses of each budget over N, and the minimum of each with its interval."""
    ax = new_figure(1)[1][0] if ax is None else ax
    colours = Colours(columns["C"], LABELS["C"])
    for m in minima.minima:
        mine = np.flatnonzero(np.abs(np.log(columns["C"] / m.budget)) < _ONE_BUDGET)
        mine = mine[np.argsort(columns["N"][mine])]
        ax.plot(columns["N"][mine], columns["L"][mine], "o-", color=colours(m.budget), ms=4, lw=0.8)
        low, high = (np.clip(end, columns["N"].min(), columns["N"].max()) for end in m.n_params_interval)
        ax.plot([low, high], [m.loss, m.loss], color=ACCENT, lw=1)
        ax.plot(m.n_params, m.loss, "*", color=ACCENT, ms=10, mec="white")
    log_axes(ax, "N", "L")
    ax.set_title("isoFLOP profiles and their minima")
    colours.bar(ax)
    return ax


_ONE_BUDGET = 0.1


@styled
def best_sizes(minima: IsoflopMinima, ax: Axes | None = None) -> Axes:
    """N* and D* of each budget with their intervals, and the power laws of C through them."""
    ax = new_figure(1)[1][0] if ax is None else ax
    compute = np.array([m.budget for m in minima.minima])
    grid = np.geomspace(compute.min(), compute.max() * _BEYOND, 100)
    laws = {"n_params": ("N", minima.n_params, "#31688e"), "n_tokens": ("D", minima.n_tokens, "#35b779")}
    for name, (symbol, law, colour) in laws.items():
        best = np.array([getattr(m, name) for m in minima.minima])
        low, high = np.array([getattr(m, f"{name}_interval") for m in minima.minima]).T
        closed = np.isfinite(low) & np.isfinite(high) & (low > 0)
        bars = [np.where(closed, best - low, 0.0), np.where(closed, high - best, 0.0)]
        ax.errorbar(compute, best, np.maximum(bars, 0.0), fmt="o", color=colour, ms=4.5, lw=1)
        low_end, high_end = law.interval()
        label = f"{symbol}* ~ C^{law.exponent:.2f} [{low_end:.2f}, {high_end:.2f}]"
        ax.plot(grid, law.predict(grid), color=colour, lw=1.6, label=label)
    log_axes(ax, "C", "N")
    ax.set_ylabel("parameters, tokens")
    ax.legend(loc="upper left")
    ax.set_title("Best size and tokens of each budget")
    shade_extrapolation(ax, compute.max() * 1.1)
    return ax


def draw_findings(findings: tuple[Finding, ...]) -> dict[str, Figure]:
    """A figure for each finding, by its purpose."""
    return {finding.purpose: _FIGURES[type(finding.result)](finding) for finding in findings}


def _of_batch(finding: Finding) -> Figure:
    figure, axes = new_figure(2)
    assert isinstance(finding.result, CriticalBatch)
    trade_off(finding.result, axes[0])
    critical_sizes(finding.result, axes[1])
    return figure


def _of_steps(finding: Finding) -> Figure:
    figure, axes = new_figure(1, width=6.6)
    assert isinstance(finding.result, StepsFit)
    learning_curves(finding.result, axes[0])
    return figure


def _of_shape(finding: Finding) -> Figure:
    figure, axes = new_figure(1, width=6.6)
    assert isinstance(finding.result, ShapeScan)
    shape_penalties(finding.result, axes[0])
    return figure


def _of_isoflop(finding: Finding) -> Figure:
    figure, axes = new_figure(2)
    assert isinstance(finding.result, IsoflopMinima)
    budgets(finding.result, finding.columns, axes[0])
    best_sizes(finding.result, axes[1])
    return figure


_FIGURES: Mapping[type, Callable[[Finding], Figure]] = {
    CriticalBatch: _of_batch,
    StepsFit: _of_steps,
    ShapeScan: _of_shape,
    IsoflopMinima: _of_isoflop,
}
