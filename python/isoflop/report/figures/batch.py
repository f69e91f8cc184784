"""The critical batch size: steps against tokens at one loss, and B_crit against the loss."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import FitError, LacksData
from isoflop.fitting.batch_scan import steps_to_loss
from isoflop.report.figures.panel import panel
from isoflop.report.figures.runs import Run
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import ACCENT, SKY, Colours, log_axes, shade_extrapolation
from isoflop.train.measurements.noise import HALF, noise_scale

_STRETCHES = 6
"""Of a run, over which its gradient noise scale is averaged."""


@panel
def trade_off(study: Study, ax: Axes) -> None:
    """Tokens against steps that reach each loss: (S/S_min - 1)(E/E_min - 1) = 1; dots are runs, rings B = B_crit."""
    critical = study.critical
    if not critical.levels:
        raise LacksData("B_crit is of published constants, not of runs at several batch sizes")
    losses = [level.loss for level in critical.levels]
    sizes = [run.batch for run in study.scanned]
    colours = Colours(losses, "loss reached, nats/token")
    for level in critical.levels:
        ratio = np.array([0.05, 20, *(level.B_crit / size for size in sizes)])
        more = np.geomspace(ratio.min() / 1.2, ratio.max() * 1.2, 200)
        ax.plot(level.S_min * (1 + more), level.E_min * (1 + 1 / more), color=colours(level.loss), lw=1.2)
        ax.plot(2 * level.S_min, 2 * level.E_min, "o", color=colours(level.loss), ms=7, mfc="none")
    for run in study.scanned:
        step, _, loss = run.curve()
        for reached, steps in zip(losses, steps_to_loss(step, loss, losses), strict=True):
            ax.plot(steps, steps * run.batch, "o", color=colours(reached), ms=3)
    log_axes(ax, "S", "E")
    ax.set_title("Steps against tokens, fitted to each loss")
    colours.bar(ax)


@panel
def critical_sizes(study: Study, ax: Axes) -> None:
    """B_crit of each loss with its standard error, the power law through them, and gradient noise scales of runs."""
    critical = study.critical
    if not critical.levels:
        raise LacksData("B_crit is of published constants, not of runs at several batch sizes")
    loss = np.array([level.loss for level in critical.levels])
    size = np.array([level.B_crit for level in critical.levels])
    sigma = np.nan_to_num([level.sigma for level in critical.levels])
    ax.errorbar(
        loss, size, [size * -np.expm1(-sigma), size * np.expm1(sigma)], fmt="o", color="0.2", ms=4.5, lw=1,
        label="from batch scans",
    )  # fmt: skip
    grid = np.geomspace(loss.min() / 1.15, loss.max() * 1.05, 100)
    equation = f"B_crit = {critical.B_star:.3g} / L^{1 / critical.alpha_B:.3g}"
    ax.plot(grid, critical(grid), color=ACCENT, lw=1.6, label=equation)
    if critical.law is not None:
        ax.fill_between(grid, *critical.law.line_interval(grid, study.level), color=ACCENT, alpha=0.18, lw=0)
    measured = [] if study.store is None else [run for run in study.runs if HALF in run.points]
    for run in measured:
        at, scale = _noise_scales(run)
        ax.plot(at, scale, ".", color=SKY, ms=4)
    if measured:
        ax.plot([], [], ".", color=SKY, label="gradient noise scale")
    log_axes(ax, "L", "B")
    ax.invert_xaxis()
    ax.legend(loc="best")
    ax.set_title("Critical batch size")
    shade_extrapolation(ax, loss.min())


def _noise_scales(run: Run) -> tuple[Array, Array]:
    """Mean loss and B_simple in tokens over stretches of a run that are equal in the logarithm of its steps."""
    points = run.points
    edges = np.unique(np.geomspace(1, len(points["step"]), _STRETCHES + 1).astype(int)) - 1
    found = []
    for first, last in pairwise(edges.tolist()):
        part = {name: values[first : last + 1] for name, values in points.items()}
        try:
            scale = noise_scale(part, batch_tokens=int(run.batch), since=int(part["step"][0]))
        except FitError:  # not one squared gradient in this stretch
            continue
        if np.isfinite(scale):
            found.append((float(np.nanmean(part["loss"])), scale))
    return np.array([loss for loss, _ in found]), np.array([scale for _, scale in found])
