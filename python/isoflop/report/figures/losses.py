"""Held-out losses of whole runs against N, D and C, and the power laws through them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import LacksData
from isoflop.fitting import Fit
from isoflop.laws.presets import PF_DAY
from isoflop.report.analysis import select
from isoflop.report.figures.panel import panel
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import (
    ACCENT,
    BLUE,
    LABELS,
    Colours,
    equation,
    log_axes,
    shade_extrapolation,
    small_legend,
)

_BEYOND = 10.0
"""Fitted curves in N and D are drawn this factor beyond the runs, shaded as extrapolation."""
_NEAR = 0.05
_SERIES = 8
_FEWEST = 3


@panel
def loss_by_compute(study: Study, ax: Axes) -> None:
    """Held-out losses along training against compute, and the power law through the lower envelope of whole runs."""
    fitted = study.law("power-c")
    colours = Colours([run.n for run in study.runs], LABELS["N"])
    for run in study.runs:
        _, tokens, loss = run.curve()
        ax.plot(6 * run.n * tokens / PF_DAY, loss, color=colours(run.n), lw=0.6, alpha=0.5)
        ax.plot(6 * run.n * run.d / PF_DAY, run.loss, "o", color=colours(run.n), ms=3)
    _power(ax, fitted, "C", PF_DAY)
    log_axes(ax, "C_pf", "L")
    small_legend(ax)
    ax.set_title("Loss against compute")
    shade_extrapolation(ax, fitted.data.columns["C"].max() * 1.1 / PF_DAY)
    colours.bar(ax)


@panel
def loss_by_tokens(study: Study, ax: Axes) -> None:
    """Held-out loss of the largest model against the tokens it had, and the power law through the points."""
    _alone(study, ax, "D", "N")


@panel
def loss_by_size(study: Study, ax: Axes) -> None:
    """Held-out loss against N of the runs with the most tokens, and the power law through the points."""
    _alone(study, ax, "N", "D")


def _alone(study: Study, ax: Axes, x: str, other: str) -> None:
    fitted = study.law(f"power-{x.lower()}")
    columns = select(study.data, f"largest {other}").columns
    ax.plot(columns[x], columns["L"], "o", color=BLUE, ms=4.5, mec="white", mew=0.5)
    _power(ax, fitted, x, 1.0)
    log_axes(ax, x, "L")
    small_legend(ax)
    ax.set_title(f"Loss against {x}, at {other} = {columns[other].max():.3g}")
    shade_extrapolation(ax, columns[x].max() * 1.1)


def _power(ax: Axes, fitted: Fit, x: str, unit: float) -> None:
    """A law of one variable with its interval, over the runs and beyond them."""
    values = fitted.data.columns[x]
    grid = np.geomspace(values.min(), values.max() * _BEYOND, 100)
    at: dict[str, Any] = {x: grid}
    low, high = fitted.predict_interval(**at)
    ax.fill_between(grid / unit, low, high, color=ACCENT, alpha=0.18, lw=0)
    ax.plot(grid / unit, fitted.predict(**{x: grid}), color=ACCENT, lw=1.6, label=equation(fitted))


@panel
def loss_against_n(study: Study, ax: Axes) -> None:
    """Held-out loss against N, a series for each D, and the joint law through them."""
    _joint(study.fit, ax, "N", "D")


@panel
def loss_against_d(study: Study, ax: Axes) -> None:
    """Held-out loss against D, a series for each N, and the joint law through them."""
    _joint(study.fit, ax, "D", "N")


@panel
def overfit_by_tokens(study: Study, ax: Axes) -> None:
    """Held-out loss against D, a series for each N, and Kaplan's L(N, D) through them."""
    _joint(study.law("kaplan"), ax, "D", "N")


def _joint(fit: Fit, ax: Axes, x: str, other: str) -> None:
    columns = fit.data.columns
    if lacking := {x, other} - columns.keys():
        raise LacksData(f"a law of N and D is to be shown; the runs have no {', '.join(lacking)}")
    values = levels(columns[other])
    colours = Colours(values, LABELS[other])
    grid = np.geomspace(columns[x].min(), columns[x].max() * _BEYOND, 100)
    inputs = {name: np.full_like(grid, np.median(columns[name])) for name in fit.law.inputs}
    for value in values:
        near = np.abs(columns[other] / value - 1) < _NEAR
        at = inputs | {x: grid, other: np.full_like(grid, value)}
        ax.plot(columns[x][near], columns["L"][near], "o", color=colours(value), ms=4.5, mec="white", mew=0.5)
        ax.plot(grid, fit.predict(**at), color=colours(value), lw=1)
    log_axes(ax, x, "L")
    ax.plot([], [], color="0.3", lw=1, label=equation(fit))
    small_legend(ax)
    ax.set_title(f"Loss against {x}: {fit.law.name} fit, {fit.residual_rms:.1%} rms")
    ax.set_xlim(columns[x].min() / 1.3, grid[-1])
    shade_extrapolation(ax, columns[x].max() * 1.1)
    colours.bar(ax)


def levels(values: Array) -> list[float]:
    """The distinct values of a column, those within 5 % of each other as one; of many, some spread evenly."""
    found: list[float] = []
    for value in np.sort(values):
        if not found or value / found[-1] - 1 >= _NEAR:
            found.append(float(value))
    if len(found) <= _SERIES:
        return found
    return [found[i] for i in np.linspace(0, len(found) - 1, _SERIES).round().astype(int)]


@panel
def power_or_logarithm(study: Study, ax: Axes) -> None:
    """L(N) by a power law and by a + b ln N, each fitted by least squares of ln L."""
    columns = select(study.data, "largest D").columns
    n, loss = columns["N"], columns["L"]
    if np.unique(n).size <= _FEWEST:
        raise LacksData(f"{np.unique(n).size} sizes at the most tokens; two forms are told apart by {_FEWEST + 1}")
    fitted = study.law("power-n")
    straight = _logarithm(n, loss)
    grid = np.geomspace(n.min(), n.max() * _BEYOND, 100)
    ax.plot(n, loss, "o", color="0.2", ms=4.5, mec="white", mew=0.5)
    forms = {
        "power law": (BLUE, fitted.predict(N=grid), fitted.predict(N=n)),
        "a + b ln N": (ACCENT, np.polyval(straight, np.log(grid)), np.polyval(straight, np.log(n))),
    }
    for name, (colour, line, at_runs) in forms.items():
        rms = float(np.sqrt(np.mean(np.log(at_runs / loss) ** 2)))
        ax.plot(grid, line, color=colour, lw=1.6, label=f"{name}, {rms:.2%} rms")
    log_axes(ax, "N", "L")
    ax.legend(loc="lower left")
    ax.set_title("Power law or logarithm")
    shade_extrapolation(ax, n.max() * 1.1)


def _logarithm(n: Array, loss: Array) -> Array:
    """Slope and level of a + b ln N by least squares of its ratio to L, which is that of ln L to first order."""
    design = np.stack([np.log(n), np.ones_like(n)], axis=1) / loss[:, None]
    return np.asarray(np.linalg.lstsq(design, np.ones_like(n), rcond=None)[0])


@panel
def with_embeddings(study: Study, ax: Axes) -> None:
    """Held-out loss against all parameters, embeddings too, a colour a number of layers."""
    _by_layers(study, ax, "n_params", "parameters with embeddings")


@panel
def without_embeddings(study: Study, ax: Axes) -> None:
    """Held-out loss against non-embedding parameters, a colour a number of layers."""
    _by_layers(study, ax, "N", LABELS["N"])


def _by_layers(study: Study, ax: Axes, count: str, x_label: str) -> None:
    if count == "N" and study.n_convention == "total":
        raise LacksData("N counts all parameters of these runs", hint="runs recorded with their non-embedding N")
    runs = [run for run in study.scaling if "n_layer" in run.shape and count in run.record.counts]
    most = max((run.d for run in runs), default=0.0)
    runs = [run for run in runs if run.d > most * (1 - _NEAR)]
    if len(depths := sorted({int(run.shape["n_layer"]) for run in runs})) < 2:
        raise LacksData(
            f"the runs with the most tokens that were recorded with {count} and n_layer have {len(depths)} depths",
            hint="sizes of two or more depths, with the same tokens",
        )
    colours = Colours(depths, "layers")
    for depth in depths:
        mine = [run for run in runs if run.shape["n_layer"] == depth]
        x = [run.record.counts[count] for run in mine]
        label = f"{depth} layer{'s' if depth > 1 else ''}"
        ax.plot(x, [run.loss for run in mine], "o-", color=colours(depth), ms=4.5, lw=1, label=label)
    log_axes(ax, "N", "L")
    ax.set_xlabel(x_label)
    ax.legend(loc="best")
    ax.set_title(f"Depths at D = {most:.3g}")
