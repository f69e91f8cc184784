"""Tokens that are too few: loss by size and epochs (Muennighoff et al. 2023, arXiv 2305.16264, Figs 1 and 3)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from isoflop.errors import LacksData
from isoflop.fitting import Fit
from isoflop.report.figures.panel import panel
from isoflop.report.figures.study import Array, Study
from isoflop.report.style import ACCENT, LABELS, log_axes

LAW = "muennighoff"
_EPOCHS = 1.5
"""From here on a run repeats its tokens."""
_FEWEST = 3
_CONTOURS = 10
_BUDGETS = 60
_SIZES = 3000
_AWAY = 1e4
_BEYOND = 4.0


@panel
def repeat_contours(study: Study, ax: Axes) -> None:
    """Contours of one loss over epochs and N for the number of unique tokens that most runs repeat; line: the best."""
    columns = study.data.columns
    if "U" not in columns or np.count_nonzero(columns["D"] >= _EPOCHS * columns["U"]) < _FEWEST:
        raise LacksData(
            f"fewer than {_FEWEST} runs saw their tokens {_EPOCHS} times or more and were recorded with U",
            hint="a group with unique_tokens below tokens",
        )
    fit = study.law(LAW)
    repeated = columns["D"] >= _EPOCHS * columns["U"]
    values, counts = np.unique(columns["U"][repeated], return_counts=True)
    unique = float(values[counts.argmax()])
    mine = np.abs(columns["U"] / unique - 1) < 0.01
    epochs, sizes = columns["D"][mine] / unique, columns["N"][mine]
    x = np.geomspace(min(1.0, epochs.min()), epochs.max() * _BEYOND, 80)
    y = np.geomspace(sizes.min() / 2, sizes.max() * _BEYOND, 80)
    passes, n = np.meshgrid(x, y)
    loss = fit.predict(N=n, D=passes * unique, U=np.full_like(n, unique))
    low, high = float(loss.min()), min(float(loss.max()), float(columns["L"].max()) * 1.1)
    lines = ax.contour(passes, n, loss, levels=np.geomspace(low * 1.002, high, _CONTOURS), cmap="viridis",
                       linewidths=0.9)  # fmt: skip
    ax.clabel(lines, fontsize=6.5, fmt="%.3g")
    shown = ax.scatter(epochs, sizes, c=columns["L"][mine], cmap="viridis", s=22, edgecolors="white", linewidths=0.5,
                       zorder=3)  # fmt: skip
    best_passes, best_n = _best_use(fit, unique, x[0] * y[0], x[-1] * y[-1])
    label = f"best use of a budget, {fit.law.name} fit, {fit.residual_rms:.1%} rms"
    ax.plot(best_passes, best_n, color=ACCENT, lw=1.6, label=label)
    log_axes(ax, "D", "N")
    ax.set_xlabel(f"epochs of U = {unique:.3g} unique tokens")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    ax.legend(loc="upper left")
    ax.set_title("Loss on repeated tokens")
    ax.axvspan(float(epochs.max()) * 1.05, x[-1], color="0.5", alpha=0.10, lw=0, zorder=0)
    ax.figure.colorbar(shown, ax=ax, label=LABELS["L"], pad=0.02)


def _best_use(fit: Fit, unique: float, least: float, most: float) -> tuple[Array, Array]:
    """Epochs and N of the lowest loss of each budget, from so many epochs times parameters to so many: of a fine row.

    :func:`isoflop.planning.repeat` finds one exactly; a line of many is as good to the width of a pixel.
    """
    products = np.geomspace(least, most, _BUDGETS)[:, None]
    n = np.geomspace(least**0.5 / _AWAY, most**0.5 * _AWAY, _SIZES)[None]
    passes, sizes = np.broadcast_arrays(products / n, n)
    loss = fit.predict(N=sizes, D=passes * unique, U=np.full(passes.shape, unique))
    at = loss.argmin(axis=1)
    return np.asarray(products[:, 0] / n[0, at]), np.asarray(n[0, at])
