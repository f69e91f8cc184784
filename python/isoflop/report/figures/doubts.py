"""How far a fit is to be trusted: residuals, intervals, profiles and resamples of its parameters."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from isoflop.errors import FitError, LacksData
from isoflop.fitting import Fit
from isoflop.fitting.uncertainty import NORMAL
from isoflop.laws.presets import PRESETS, Preset
from isoflop.report.figures.panel import panel
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import ACCENT, BLUE, GREEN, LABELS, ORANGE, SERIES, Colours, equation, small_legend

_BINS = 15
_DRAWN = 400
_OFF = 10.0
"""Published sets with a value further from the fit than this factor are of other data, and left out."""


def _residuals(fit: Fit) -> Array:
    """ln L of the runs less that of the law."""
    columns = fit.data.columns
    return np.asarray(np.log(columns["L"] / fit.predict(**{name: columns[name] for name in fit.law.inputs})))


@panel
def residual_histogram(study: Study, ax: Axes) -> None:
    """Residuals of ln L with the normal distribution of their spread."""
    fit = study.fit
    residuals = _residuals(fit)
    spread = float(np.sqrt(np.mean(residuals**2)))
    heights, _, _ = ax.hist(residuals, _BINS, color=BLUE, alpha=0.6, label=f"{len(residuals)} runs, {spread:.2%} rms")
    grid = np.linspace(-1, 1, 200) * max(4 * spread, float(np.abs(residuals).max()))
    normal = np.exp(-(grid**2) / (2 * spread**2))
    width = np.ptp(residuals) / _BINS
    scale = len(residuals) * width / (spread * np.sqrt(2 * np.pi))
    ax.plot(grid, normal * scale, color=ACCENT, lw=1.6, label="normal of that spread")
    ax.set_ylim(0, max(float(np.max(np.asarray(heights))), scale) * 1.45)
    ax.axvline(0, color="0.4", lw=0.8, ls=":")
    ax.set_xlabel("ln L of the run less ln L of the law")
    ax.set_ylabel("runs")
    ax.legend(loc="upper left")
    ax.set_title(f"Residuals of {fit.law.name}")


@panel
def residuals_by_size(study: Study, ax: Axes) -> None:
    """Residuals of ln L against the first input of the law, coloured by the second."""
    fit = study.fit
    names = [name for name in fit.law.inputs if name in LABELS]
    if not names:
        raise LacksData(f"{fit.law.name} is of {', '.join(fit.law.inputs)}, none of N, D and C")
    x, residuals = fit.data.columns[names[0]], _residuals(fit)
    by = fit.data.columns[names[-1]]
    colours = Colours(by, LABELS[names[-1]])
    ax.scatter(x, 100 * residuals, c=[colours(value) for value in by], s=22, edgecolors="white", linewidths=0.5)
    ax.axhline(0, color="0.4", lw=0.8)
    for side in (-1, 1):
        ax.axhline(side * 100 * fit.residual_rms, color="0.4", lw=0.8, ls="--")
    ax.set_xscale("log")
    ax.set_xlabel(LABELS[names[0]])
    ax.set_ylabel("ln L of the run less that of the law, %")
    ax.set_title(f"Residuals of {fit.law.name} (dashes: rms)")
    if len(names) > 1:
        colours.bar(ax)


@panel
def parameter_intervals(study: Study, ax: Axes) -> None:
    """Intervals of every parameter by bootstrap, sandwich and profile, relative to its value; published sets beside."""
    fit = study.fit
    kinds = {fit.default_kind: "bootstrap", "sandwich": "sandwich", "profile": "profile likelihood"}
    if fit.default_kind == NORMAL:
        kinds = {NORMAL: "covariance"}
    names, at_nothing = _relative(fit)
    ends = [1.0]
    for i, (colour, (kind, label)) in enumerate(zip((BLUE, GREEN, ORANGE), kinds.items(), strict=False)):
        for row, name in enumerate(names):
            try:
                low, high = (end / fit.params[name] for end in fit.interval(name, study.level, kind))
            except FitError:  # a parameter at its bound has no interval of this kind
                continue
            ends += [end for end in (low, high) if np.isfinite(end) and end > 0]
            y = row + 0.2 * (i - 1)
            ax.plot([low, high], [y, y], color=colour, lw=2, solid_capstyle="butt", label=label if row == 0 else None)
    published = [one for one in PRESETS.values() if isinstance(one, Preset) and one.law == fit.law.name]
    for i, one in enumerate(published[:4]):
        ratios = [one.values[name] / fit.params[name] for name in names]
        if all(1 / _OFF < ratio < _OFF for ratio in ratios):
            ax.plot(ratios, range(len(names)), "Dsv^"[i], color=SERIES[1 + i], ms=5, mfc="none", label=one.name)
            ends += ratios
    ax.axvline(1, color="0.4", lw=0.8, ls=":")
    ax.set_xscale("log")
    ax.set_xlim(max(min(ends) / 1.2, 1e-3), min(max(ends) * 1.2, 1e3))
    ax.set_yticks(range(len(names)), [f"{name} = {fit.params[name]:.3g}" for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5 - 0.25 * (len(kinds) + min(len(published), 4)))
    ax.set_xlabel("over the fitted value")
    ax.legend(loc="upper right", fontsize=7)
    ax.set_title(f"{study.level:.0%} intervals of {fit.law.name}{at_nothing}")


def _relative(fit: Fit) -> tuple[list[str], str]:
    """The free parameters that others can be set in relation to, and in words those that were fitted to be 0."""
    free = [name for name in fit.law.names if name not in fit.constraints.fix]
    nothing = [name for name in free if fit.params[name] == 0.0]
    return [name for name in free if name not in nothing], "".join(f", {name} = 0" for name in nothing)


@panel
def profiles(study: Study, ax: Axes) -> None:
    """Likelihood ratio along every parameter, the others refitted, and the threshold of the level."""
    from scipy.special import chdtri

    fit = study.fit
    names, at_nothing = _relative(fit)
    for colour, name in zip(SERIES, names, strict=False):
        profile = fit.profile(name, study.level)
        low, high = profile.interval
        label = f"{name} = {fit.params[name]:.3g} [{low:.3g}, {high:.3g}]"
        ax.plot(profile.values / fit.params[name], profile.ratio, ".-", color=colour, lw=1.2, ms=4, label=label)
    top = float(chdtri(1, 1 - study.level))
    ax.axhline(top, color="0.3", lw=0.8, ls="--")
    ax.set_xscale("log")
    ax.set_ylim(0, top * 2.6)
    ax.set_xlabel("parameter over its fitted value")
    ax.set_ylabel("twice the fall of the log likelihood")
    ax.legend(loc="upper center", fontsize=6.5, ncols=2)
    ax.set_title(f"Profile likelihood of {fit.law.name}{at_nothing} (dashes: {study.level:.0%}, large samples)")


@panel
def corner(study: Study, ax: Axes) -> None:
    """Resampled parameters against each other, with their histograms; lines: the fit."""
    fit = study.fit
    drawn = fit.bootstrap()
    names = [name for name in fit.law.names if name not in fit.constraints.fix]
    if not drawn.draws.size:
        raise LacksData("no resample of the runs could be fitted", hint="add runs")
    values = {name: drawn.draws[:, drawn.names.index(name)] for name in names}
    spans = {name: np.quantile(draws, [0.01, 0.99]) for name, draws in values.items()}
    size = 1 / len(names)
    for row, y in enumerate(names):
        for column, x in enumerate(names[: row + 1]):
            inner = ax.inset_axes((column * size, 1 - (row + 1) * size, size * 0.92, size * 0.92))
            inner.grid(False)
            inner.tick_params(labelsize=5.5, length=2, pad=1.5)
            for axis in (inner.xaxis, inner.yaxis):
                axis.set_major_locator(MaxNLocator(3))
                axis.set_major_formatter("{x:.3g}")
            inner.set_xlim(*spans[x])
            inner.axvline(fit.params[x], color=ACCENT, lw=0.8)
            if row == column:
                inner.hist(values[x], 30, range=tuple(spans[x]), color=BLUE, alpha=0.7)
                inner.set_yticks([])
                inner.set_title(f"{x} = {fit.params[x]:.3g}", fontsize=7, pad=2)
            else:
                inner.plot(values[x][:_DRAWN], values[y][:_DRAWN], ".", color=BLUE, ms=1.5, alpha=0.5)
                inner.set_ylim(*spans[y])
                inner.axhline(fit.params[y], color=ACCENT, lw=0.8)
            if column or row == 0:
                inner.set_yticklabels([])
            else:
                inner.set_ylabel(y, fontsize=7)
            if row == len(names) - 1:
                inner.set_xlabel(x, fontsize=7)
            else:
                inner.set_xticklabels([])
    ax.set_axis_off()
    ax.plot([], [], color=ACCENT, lw=0.8, label=f"{equation(fit)}\n{drawn}")
    small_legend(ax, "upper right")
