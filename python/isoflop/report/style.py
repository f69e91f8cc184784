"""How every figure looks: log axes in the field's units, viridis by size, extrapolation shaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from isoflop.fitting import Fit, PowerFit

_MANY = 1e4
Band = tuple[NDArray[np.float64], NDArray[np.float64]]
Corner = Literal["lower left", "lower right", "upper left", "upper right"]
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
    "C_pf": "C, PF-days",
    "C_min": "C_min, PF-days at a batch far below B_crit",
    "T": "T, place in the context",
    "E_min": "E_min, tokens at a batch far below B_crit",
}
_TOTAL = "N, all parameters"
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, ACCENT, PINK = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
"""Told apart by all colour visions (Okabe and Ito 2008). Sizes and budgets are in viridis."""
SERIES = (BLUE, ACCENT, GREEN, PINK, ORANGE, SKY, BLACK)
LEGEND_SMALL = 6.5

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
    figure = Figure(figsize=(width * columns, height), layout=ConstrainedLayoutEngine(wspace=0.06, w_pad=0.08))
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def log_axes(ax: Axes, x: str, y: str) -> None:
    """Logarithmic axes labelled as the quantities ``x`` and ``y``."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(LABELS[x])
    ax.set_ylabel(LABELS[y])


def say_what_n_counts(ax: Axes, n_convention: str) -> None:
    """In the words on axes whose runs count N otherwise than most."""
    for text in ax.findobj(Text) if n_convention == "total" else ():
        assert isinstance(text, Text)
        text.set_text(text.get_text().replace(LABELS["N"], _TOTAL))


def readable_ticks(ax: Axes) -> None:
    """Plain numbers on logarithmic axes of less than two decades, where powers of ten make hardly a tick."""
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        if axis.get_scale() != "log":
            continue
        if high >= _MANY * low:
            axis.set_minor_locator(NullLocator())  # too close to be told apart, and half the time of drawing
        if high >= 100 * low:
            continue
        narrow = high < 8 * low
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]) if narrow else LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(_plain)
        axis.set_minor_locator(NullLocator())


def _plain(value: float, _: object = None) -> str:
    if value <= 0 or 1e-3 <= value < 1e5:
        return f"{value:.6g}"
    return f"{value:.3g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


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
    """Grey the part of the x axis beyond ``start``, where no run was made, towards its far end."""
    end = ax.get_xlim()[1]
    if (end > start) != ax.xaxis_inverted():
        ax.axvspan(start, end, color="0.5", alpha=0.10, lw=0, zorder=0)
        ax.set_xlim(right=end)


def turned(law: PowerFit, interval: tuple[float, float], x: NDArray[np.float64]) -> Band:
    """Low and high of a power law with the ``interval`` of its exponent, turned about the middle of its points."""
    middle = float(np.exp(law.centre))
    ends = [float(law.predict(middle)) * (x / middle) ** exponent for exponent in interval]
    return np.minimum(*ends), np.maximum(*ends)


def fan(
    ax: Axes, law: PowerFit, interval: tuple[float, float], x: NDArray[np.float64], *, color: str, unit: float = 1.0
) -> None:
    """What :func:`turned` gives as a band; x over ``unit``."""
    low, high = turned(law, interval, x)
    ax.fill_between(x / unit, low, high, color=color, alpha=0.18, lw=0)


def equation(fit: Fit, columns: int = 3) -> str:
    """A fit's formula and its values, so many a line."""
    values = [f"{name} = {value:.3g}" for name, value in fit.params.items()]
    return "\n".join([fit.law.formula, *(", ".join(values[i : i + columns]) for i in range(0, len(values), columns))])


def small_legend(ax: Axes, where: Corner = "lower left") -> None:
    """A legend that may lie over the axes' emptiest part, and makes no room of its own."""
    ax.legend(loc=where, fontsize=LEGEND_SMALL).set_in_layout(False)
