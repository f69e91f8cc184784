"""The three approaches of Hoffmann et al. 2022: envelope of curves, isoFLOP profiles, parametric fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import FitError, LacksData
from isoflop.fitting import Envelope, PowerFit, envelope
from isoflop.laws.presets import Allocation, get_preset
from isoflop.planning import frontier, iso_flop
from isoflop.report.figures.panel import panel
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import (
    ACCENT,
    BLUE,
    GREEN,
    LABELS,
    ORANGE,
    Colours,
    fan,
    log_axes,
    shade_extrapolation,
    turned,
)

_BEYOND = 10.0
_ONE_BUDGET = 0.1
_POINTS = 400
_CONTOURS = 9
_SLICES = 5
_NEAR = 0.4


Line = tuple[Array, Array, Array]
"""N* of each budget, and the low and high ends of its interval."""


def _by_envelope(study: Study, c: Array) -> Line:
    found = _envelope(study)
    law, interval = found.n_params_law, found.interval("n_params", study.level)
    return law.predict(c), *turned(law, interval, c)


def _by_profiles(study: Study, c: Array) -> Line:
    law = study.minima[0].n_params
    return law.predict(c), *law.line_interval(c, study.level)


def _by_law(study: Study, c: Array) -> Line:
    best = frontier(study.fit, c, level=study.level)
    return best["N"], best.get("N_low", best["N"]), best.get("N_high", best["N"])


APPROACHES: Mapping[str, tuple[str, Callable[[Study, Array], Line]]] = {
    "1, envelope of curves": (BLUE, _by_envelope),
    "2, isoFLOP profiles": (GREEN, _by_profiles),
    "3, parametric fit": (ACCENT, _by_law),
}


@panel
def overlaid_predictions(study: Study, ax: Axes) -> None:
    """Optimal N against compute by every approach that the runs allow, with intervals, and Kaplan's published one."""
    compute = study.compute
    grid = np.geomspace(compute.min(), compute.max() * _BEYOND, 30)
    reasons, drawn = [], 0
    for name, (colour, approach) in APPROACHES.items():
        try:
            values, low, high = approach(study, grid)
        except FitError as error:
            reasons.append(f"{name}: {error.message}")
            continue
        drawn += 1
        slope = np.polyfit(np.log(grid), np.log(values), 1)[0]
        ax.fill_between(grid, low, high, color=colour, alpha=0.15, lw=0)
        ax.plot(grid, values, color=colour, lw=1.6, label=f"approach {name}: ~ C^{slope:.2f}")
    if drawn < 2:
        raise LacksData(f"{drawn} of three approaches can be made; " + "; ".join(reasons))
    kaplan = get_preset("kaplan-table6")
    assert isinstance(kaplan, Allocation)
    ax.plot(grid, frontier(kaplan, grid)["N"], color=ORANGE, lw=1, ls="--", label="Kaplan 2020, Table 6")
    log_axes(ax, "C", "N")
    ax.legend(loc="upper left")
    ax.set_title("Optimal size by each approach")
    shade_extrapolation(ax, compute.max() * 1.1)


def _envelope(study: Study) -> Envelope:
    columns, labels = study.curves()
    return envelope(columns, labels, points=_POINTS)


@panel
def training_envelope(study: Study, ax: Axes) -> None:
    """Held-out loss along training against compute, a curve a run, and the lower envelope of all."""
    found = _envelope(study)
    colours = Colours([run.n for run in study.trajectories], LABELS["N"])
    for run in study.trajectories:
        _, tokens, loss = run.curve()
        ax.plot(6 * run.n * tokens, loss, color=colours(run.n), lw=0.8, alpha=0.7)
    ax.plot(found.compute, found.loss, ".", color=ACCENT, ms=3, label="lowest loss of each budget")
    log_axes(ax, "C", "L")
    ax.legend(loc="lower left")
    ax.set_title("Training curves and their envelope")
    colours.bar(ax)


@panel
def envelope_sizes(study: Study, ax: Axes) -> None:
    """N on the envelope of training curves against compute, and its power law with the interval of resampled runs."""
    _of_envelope(study, ax, "n_params", "N")


@panel
def envelope_tokens(study: Study, ax: Axes) -> None:
    """D on the envelope of training curves against compute, and its power law with the interval of resampled runs."""
    _of_envelope(study, ax, "n_tokens", "D")


def _of_envelope(study: Study, ax: Axes, name: str, symbol: str) -> None:
    found = _envelope(study)
    law, interval = getattr(found, f"{name}_law"), found.interval(name, study.level)
    ax.plot(found.compute, getattr(found, name), ".", color="0.2", ms=4)
    fan(ax, law, interval, _grid(found.compute), color=ACCENT)
    _law(ax, found.compute, law, symbol, interval)


@panel
def budgets(study: Study, ax: Axes) -> None:
    """Losses of each budget over N, and the minimum of each with its interval."""
    minima, columns = study.minima
    colours = Colours([m.budget for m in minima.minima], LABELS["C"])
    for m in minima.minima:
        if columns:
            mine = np.flatnonzero(np.abs(np.log(columns["C"] / m.budget)) < _ONE_BUDGET)
            mine = mine[np.argsort(columns["N"][mine])]
            ax.plot(columns["N"][mine], columns["L"][mine], "o-", color=colours(m.budget), ms=4, lw=0.8)
            low, high = (np.clip(end, columns["N"].min(), columns["N"].max()) for end in m.n_params_interval)
            ax.plot([low, high], [m.loss, m.loss], color=ACCENT, lw=1)
        ax.plot(m.n_params, m.loss, "*", color=ACCENT, ms=10, mec="white")
    log_axes(ax, "N", "L")
    ax.set_title("isoFLOP profiles and their minima")
    colours.bar(ax)


@panel
def profile_sizes(study: Study, ax: Axes) -> None:
    """N* of each budget with its interval, and the power law of C through them."""
    _of_minima(study, ax, "n_params", "N")


@panel
def profile_tokens(study: Study, ax: Axes) -> None:
    """D* of each budget with its interval, and the power law of C through them."""
    _of_minima(study, ax, "n_tokens", "D")


def _of_minima(study: Study, ax: Axes, name: str, symbol: str) -> None:
    minima = study.minima[0]
    compute = np.array([m.budget for m in minima.minima])
    best = np.array([getattr(m, name) for m in minima.minima])
    low, high = np.array([getattr(m, f"{name}_interval") for m in minima.minima]).T
    closed = np.isfinite(low) & np.isfinite(high) & (low > 0)
    bars = np.maximum([np.where(closed, best - low, 0.0), np.where(closed, high - best, 0.0)], 0.0)
    law: PowerFit = getattr(minima, name)
    grid = _grid(compute)
    ax.fill_between(grid, *law.line_interval(grid, study.level), color=ACCENT, alpha=0.18, lw=0)
    _law(ax, compute, law, symbol, law.interval(study.level))
    ax.errorbar(compute, best, bars, fmt="o", color="0.2", ms=4.5, lw=1)


def _grid(compute: Array) -> Array:
    return np.geomspace(compute.min(), compute.max() * _BEYOND, 60)


def _law(ax: Axes, compute: Array, law: PowerFit, symbol: str, interval: tuple[float, float]) -> None:
    grid, (low, high) = _grid(compute), interval
    label = f"{symbol}* ~ C^{law.exponent:.2f} [{low:.2f}, {high:.2f}]"
    ax.plot(grid, law.predict(grid), color=ACCENT, lw=1.6, label=label)
    log_axes(ax, "C", symbol)
    ax.legend(loc="upper left")
    ax.set_title(f"Best {'size' if symbol == 'N' else 'tokens'} of each budget")
    shade_extrapolation(ax, compute.max() * 1.1)


@panel
def loss_contours(study: Study, ax: Axes) -> None:
    """Contours of one loss over compute and N by the joint law, the runs, and the best N of each budget."""
    fit = study.fit
    columns, compute = fit.data.columns, study.compute
    c = np.geomspace(compute.min() / 2, compute.max() * _BEYOND, 90)
    n = np.geomspace(columns["N"].min() / 2, columns["N"].max() * _BEYOND, 80)
    budgets, sizes = np.meshgrid(c, n)
    loss = fit.predict(N=sizes, D=budgets / (6 * sizes))
    low, high = columns["L"].min(), columns["L"].max()
    drawn = np.geomspace(frontier(fit, c[-1:])["L"][0] * 1.01, high * 1.1, _CONTOURS)
    lines = ax.contour(budgets, sizes, loss, levels=drawn, cmap="viridis", linewidths=0.9)
    ax.clabel(lines, fontsize=6.5, fmt="%.3g")
    shown = ax.scatter(compute, columns["N"], c=columns["L"], cmap="viridis", vmin=low, vmax=high, s=20,
                       edgecolors="white", linewidths=0.5, zorder=3)  # fmt: skip
    best = frontier(fit, c)
    ax.plot(best["C"], best["N"], color=ACCENT, lw=1.6, label="efficient frontier")
    if "N_low" in best:
        ax.fill_between(best["C"], best["N_low"], best["N_high"], color=ACCENT, alpha=0.18, lw=0)
    log_axes(ax, "C", "N")
    ax.set_ylim(n[0], n[-1])
    ax.set_xlim(c[0], c[-1])
    ax.legend(loc="upper left")
    ax.set_title(f"Contours of {fit.law.name}")
    shade_extrapolation(ax, compute.max() * 1.1)
    ax.figure.colorbar(shown, ax=ax, label=LABELS["L"], pad=0.02)


@panel
def isoflop_slices(study: Study, ax: Axes) -> None:
    """Loss against N at fixed budgets by the joint law; dots: runs of about that budget, stars: the optima."""
    fit = study.fit
    columns, compute = fit.data.columns, study.compute
    values = np.geomspace(compute.min() * 2, compute.max(), _SLICES)
    slices = iso_flop(fit, values.tolist(), np.geomspace(1 / 30, 30, 81).tolist())
    colours = Colours(values, LABELS["C"])
    for i, value in enumerate(values):
        near = np.abs(np.log(compute / value)) < _NEAR
        ax.plot(slices["N"][i], slices["L"][i], color=colours(value), lw=1.2)
        ax.plot(columns["N"][near], columns["L"][near], "o", color=colours(value), ms=4, mec="white", mew=0.5)
        middle = slices["L"][i].argmin()
        ax.plot(slices["N"][i, middle], slices["L"][i, middle], "*", color=ACCENT, ms=10, mec="white")
    log_axes(ax, "N", "L")
    ax.set_ylim(columns["L"].min() * 0.95, columns["L"].max() * 1.1)
    ax.set_title(f"isoFLOP slices of {fit.law.name}")
    colours.bar(ax)
