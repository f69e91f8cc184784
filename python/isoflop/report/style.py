"""How every figure looks: log axes in the field's units, viridis by size, extrapolation shaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike

P = ParamSpec("P")
R = TypeVar("R")

LABELS = {
    "N": "N, non-embedding parameters",
    "D": "D, tokens",
    "C": "C = 6ND, training FLOPs",
    "L": "held-out loss, nats/token",
    "S": "S, optimizer steps",
    "S_min": "S_min, steps at a batch far above B_crit",
    "E": "E, tokens",
    "B": "B_crit, tokens",
}
ACCENT = "#c1272d"

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.dpi": 110,
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the house style: a decorator for whatever makes axes, text or legends."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return in_style


@styled
def new_figure(columns: int, *, width: float = 5.4, height: float = 4.1) -> tuple[Figure, list[Axes]]:
    """A figure with ``columns`` axes side by side, outside pyplot's global state."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def log_axes(ax: Axes, x: str, y: str) -> None:
    """Logarithmic axes labelled as the quantities ``x`` and ``y``; a loss axis gets plain numbers."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(LABELS[x])
    ax.set_ylabel(LABELS[y])
    for name, axis in ((x, ax.xaxis), (y, ax.yaxis)):
        if name == "L":  # a loss spans less than a decade, where powers of ten make no ticks
            axis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter("{x:.3g}")
            axis.set_minor_locator(NullLocator())


class Colours:
    """Viridis over the logarithm of a quantity, with its colour bar."""

    def __init__(self, values: ArrayLike, label: str) -> None:
        low, high = float(np.min(values)), float(np.max(values))
        high = high if high > low else low * 10
        self._norm, self._decade = LogNorm(low, high), high >= 10 * low
        self._map = mpl.colormaps["viridis"]
        self._label = label

    def __call__(self, value: float) -> Any:
        return self._map(self._norm(value) * 0.92)

    def bar(self, ax: Axes) -> None:
        shown = mpl.colors.ListedColormap([self._map(x * 0.92) for x in np.linspace(0, 1, 256)])
        bar = ax.figure.colorbar(ScalarMappable(self._norm, shown), ax=ax, label=self._label, pad=0.02)
        if not self._decade:  # powers of ten make no ticks
            bar.ax.yaxis.set_major_formatter("{x:.3g}")
            bar.ax.yaxis.set_minor_formatter("{x:.3g}")


def shade_extrapolation(ax: Axes, start: float) -> None:
    """Grey the part of the x axis beyond ``start``, where no run was made."""
    right = ax.get_xlim()[1]
    if right > start:
        ax.axvspan(start, right, color="0.5", alpha=0.10, lw=0, zorder=0)
        ax.set_xlim(right=right)
