"""The efficient frontier in batch-adjusted compute: what a budget buys, and what a size off the best one costs."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import LacksData
from isoflop.fitting import Envelope, StepsFit, efficient_frontier, envelope, minimum_steps
from isoflop.laws.presets import PF_DAY
from isoflop.report.figures.panel import panel
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import (
    ACCENT,
    BLUE,
    GREEN,
    LABELS,
    ORANGE,
    SKY,
    fan,
    log_axes,
    shade_extrapolation,
)

_BEYOND = 10.0
_BILLION = 1e9
_REACH = 1e-9
"""Below it a size never comes to the loss, to every digit that is drawn."""
_DRAWN = 400
"""Budgets of an envelope, of which a figure needs fewer than a law."""


@panel
def split_of_compute(study: Study, ax: Axes) -> None:
    """What a billion times the compute goes into: larger models, larger batches, more steps (eq 6.4 and B.8-B.10)."""
    steps = study.steps
    first = float(np.median(_least_compute(steps)))
    growth = np.geomspace(1, _BILLION, 60)
    power = steps.compute_exponent
    shares = {
        "larger models": (BLUE, power / steps.params["alpha_N"]),
        "larger batches": (ORANGE, power / steps.critical.alpha_B),
        "more steps": (GREEN, power / steps.params["alpha_S"]),
    }
    below = np.ones_like(growth)
    for name, (colour, exponent) in shares.items():
        above = below * growth**exponent
        ax.fill_between(first * growth / PF_DAY, below, above, color=colour, alpha=0.75, lw=0)
        factor = f"{name}: x{_BILLION**exponent:.3g}, as C_min^{exponent:.2f}"
        ax.fill_between([], [], [], color=colour, alpha=0.75, lw=0, label=factor)
        below = above
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(LABELS["C_min"])
    ax.set_ylabel("growth, as a factor")
    ax.set_ylim(1, _BILLION)
    ax.set_xlim(first / PF_DAY, first * _BILLION / PF_DAY)
    ax.legend(loc="upper left")
    ax.set_title("What a billion times the compute goes into")


def _least_compute(steps: StepsFit) -> Array:
    """C_min in FLOPs of the points that L(N, S_min) was fitted to: 6 N S_min B_crit(L)."""
    columns = steps.fit.data.columns
    return np.asarray(6 * columns["N"] * columns["S_min"] * steps.critical(columns["L"]))


@panel
def excess_compute(study: Study, ax: Axes) -> None:
    """Compute to a loss by a size off the best one, over the least (B.16)."""
    _excess(study.steps, ax, "C")


@panel
def excess_steps(study: Study, ax: Axes) -> None:
    """Steps to a loss by a size off the best one, over those of the best (B.17)."""
    _excess(study.steps, ax, "S")


def excess_factor(steps: StepsFit, ratio: Array, of: str) -> Array:
    """C or S to the loss over that of the best size, of sizes ``ratio`` times as large; infinite below their reach."""
    a_n, a_s = steps.params["alpha_N"], steps.params["alpha_S"]
    left = 1 + a_s / a_n * (1 - ratio**-a_n)
    factor = np.where(left > _REACH, np.maximum(left, _REACH) ** (-1 / a_s), np.inf)
    return np.asarray(factor * ratio if of == "C" else factor)


def _excess(steps: StepsFit, ax: Axes, of: str) -> None:
    ratio = np.geomspace(0.1, 10, 400)
    factor = excess_factor(steps, ratio, of)
    p = steps.params
    ax.plot(ratio, factor, color=BLUE, lw=1.6, label=f"alpha_N = {p['alpha_N']:.3g}, alpha_S = {p['alpha_S']:.3g}")
    ax.axvline(1, color="0.4", lw=0.8, ls=":")
    ax.axhline(1, color="0.4", lw=0.8, ls=":")
    if of == "C":
        low, high = (float(edge) for edge in ratio[factor <= 1.2][[0, -1]])
        ax.axvspan(low, high, color=SKY, alpha=0.25, lw=0, label=f"within 20 %: {low:.2f} to {high:.2f} times")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(0.1 if of == "S" else 0.9, 10)
    ax.set_xlabel("N over the efficient N")
    ax.set_ylabel(f"{'compute' if of == 'C' else 'steps'} over those of the efficient N")
    ax.legend(loc="upper center" if of == "C" else "upper right")
    ax.set_title("Excess compute off the best size" if of == "C" else "Steps off the best size")


@panel
def loss_by_least_compute(study: Study, ax: Axes) -> None:
    """The envelope of curves over C_min, adjusted to small batches, against that over the compute spent."""
    columns, labels = study.curves()
    naive = envelope(columns, labels, points=_DRAWN)
    adjusted = efficient_frontier(columns, labels, study.critical, points=_DRAWN)
    for found, colour, name in ((naive, ORANGE, "C as spent"), (adjusted, BLUE, "C_min")):
        grid = np.geomspace(found.compute.min(), found.compute.max() * _BEYOND, 100)
        low, high = found.interval("loss", study.level)
        label = f"{name}: L ~ C^{found.loss_law.exponent:.3f} [{low:.3f}, {high:.3f}]"
        ax.plot(found.compute / PF_DAY, found.loss, ".", color=colour, ms=3)
        fan(ax, found.loss_law, (low, high), grid, color=colour, unit=PF_DAY)
        ax.plot(grid / PF_DAY, found.loss_law.predict(grid), color=colour, lw=1.2, ls="--", label=label)
    log_axes(ax, "C_pf", "L")
    ax.legend(loc="lower left")
    ax.set_title("Loss against C_min and against C")
    shade_extrapolation(ax, naive.compute.max() / PF_DAY)


def _frontier(study: Study) -> Envelope:
    columns, labels = study.curves()
    return efficient_frontier(columns, labels, study.critical, points=_DRAWN)


@panel
def best_size_by_compute(study: Study, ax: Axes) -> None:
    """N on the envelope of curves over C_min, and its power law."""
    found = _frontier(study)
    grid = np.geomspace(found.compute.min(), found.compute.max() * _BEYOND, 100)
    low, high = found.interval("n_params", study.level)
    label = f"N* ~ C_min^{found.n_params_law.exponent:.2f} [{low:.2f}, {high:.2f}]"
    ax.plot(found.compute / PF_DAY, found.n_params, ".", color="0.2", ms=4)
    fan(ax, found.n_params_law, (low, high), grid, color=ACCENT, unit=PF_DAY)
    ax.plot(grid / PF_DAY, found.n_params_law.predict(grid), color=ACCENT, lw=1.6, label=label)
    log_axes(ax, "C_min", "N")
    ax.legend(loc="upper left")
    ax.set_title("Best size by compute")
    shade_extrapolation(ax, found.compute.max() / PF_DAY)


@panel
def best_steps_by_compute(study: Study, ax: Axes) -> None:
    """S_min on the envelope of curves over C_min, and the steps that were made at the batch of the runs."""
    found = _frontier(study)
    of = {run.id: run.batch for run in study.trajectories}
    batch = np.array([of[found.runs[i]] for i in found.run])
    made = found.n_tokens / batch
    least = minimum_steps(made, batch, found.loss, study.critical)
    for values, colour, name in ((made, ORANGE, "S, as made"), (least, BLUE, "S_min")):
        slope, level = np.polyfit(np.log(found.compute), np.log(values), 1)
        grid = np.geomspace(found.compute.min(), found.compute.max() * _BEYOND, 100)
        ax.plot(found.compute / PF_DAY, values, ".", color=colour, ms=4)
        line = np.exp(level) * grid**slope
        ax.plot(grid / PF_DAY, line, color=colour, lw=1.2, ls="--", label=f"{name} ~ C_min^{slope:.2f}")
    log_axes(ax, "C_min", "S")
    ax.legend(loc="upper left")
    ax.set_title("Steps by compute")
    shade_extrapolation(ax, found.compute.max() / PF_DAY)


@panel
def contradiction(study: Study, ax: Axes) -> None:
    """L(C_min) of the frontier against L(D) of its tokens, D = 2 C_min/(6 N), and where they cross (eq 6.8)."""
    steps, of_tokens = study.steps, study.law("power-d")
    seen = _least_compute(steps)
    start = float(seen.min())
    grid = np.geomspace(start, start * 1e24, 4000)
    on_frontier = steps.frontier_loss(grid)
    tokens = 2 * grid / (6 * steps.frontier_size(grid))
    bound = of_tokens.predict(D=tokens)
    above = on_frontier < bound
    crossings = np.flatnonzero(above[1:] & ~above[:-1])
    if not crossings.size:
        raise LacksData(
            "L(C_min) and L(D(C_min)) do not cross: the fitted frontier does not outrun the fitted L(D) "
            f"from {start:.2g} FLOP on",
            hint="runs of the largest model over more tokens, and longer curves",
        )
    at = int(crossings[0]) + 1
    shown = grid <= grid[at] * 1e3
    ax.plot(grid[shown] / PF_DAY, on_frontier[shown], color=BLUE, lw=1.6, label="L(C_min), the frontier")
    ax.plot(grid[shown] / PF_DAY, bound[shown], color=ORANGE, lw=1.6, label="L(D(C_min)), fresh tokens alone")
    label = f"C* = {grid[at] / PF_DAY:.2g} PF-days, N* = {float(steps.frontier_size(grid[at])):.2g},"
    label += f"\nD* = {tokens[at]:.2g}, L* = {on_frontier[at]:.3g}"
    ax.plot(grid[at] / PF_DAY, on_frontier[at], "*", color=ACCENT, ms=13, mec="white", label=label)
    log_axes(ax, "C_min", "L")
    ax.legend(loc="lower left")
    ax.set_title("Where the laws contradict each other")
    shade_extrapolation(ax, float(seen.max()) / PF_DAY)
