"""What every figure of the page is made of: axes, colours and the shading beyond the runs, as plotly takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Chart = dict[str, Any]
"""id, title, caption, traces and layout; ``plan``: what of the planner's answer it shows, by name and label."""

AXES = {
    "N": "N, parameters",
    "D": "D, tokens",
    "C": "C, training FLOPs",
    "L": "held-out loss, nats/token",
}
_SIZES = 8
"""Colours of a figure at most: more cannot be told apart."""
_SAME = 1.05
"""Values nearer to each other are one."""


def rounded(values: Sequence[float] | Array) -> list[float | None]:
    """Five digits: more than a screen shows, fewer bytes; what is not finite is a gap."""
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]


def log_axis(title: str, **more: Any) -> Chart:
    """A logarithmic axis; its ticks are powers of ten, or parts of one."""
    return {"type": "log", "title": {"text": title}, "exponentformat": "power", **more}


def loss_axis(title: str = AXES["L"]) -> Chart:
    """A loss spans less than a decade: ticks are plain numbers."""
    return {"type": "log", "title": {"text": title}, "tickformat": ".3~g", "nticks": 8}


def beyond(start: float, end: float) -> Chart:
    """What is shaded: an x axis past the runs, on which plotly takes numbers themselves."""
    return {"type": "rect", "yref": "paper", "x0": start, "x1": end, "y0": 0, "y1": 1}


def colours(count: int) -> list[str]:
    """Of an ordered series, each for a light page and for a dark one, on which no end vanishes."""
    scale = mpl.colormaps["viridis"]
    ends = ((0.05, 0.85), (0.35, 1.0))
    light, dark = ([to_hex(scale(x)) for x in np.linspace(*between, count)] for between in ends)
    return [f"{one}/{other}" for one, other in zip(light, dark, strict=True)]


def by_size(sizes: Sequence[float]) -> Chart:
    """Dots coloured by N, with the bar that says which is which."""
    steps = 12
    scale = [[i / (steps - 1), colour] for i, colour in enumerate(colours(steps))]
    return {
        "color": rounded(np.log10(sizes)),
        "colorscale": scale,
        "colorbar": {"title": {"text": "log10 N"}, "thickness": 10, "len": 0.8},
        "size": 7,
        "line": {"color": "--card", "width": 0.7},
    }


def levels(values: Sequence[float] | Array) -> list[Rows]:
    """Rows by value, at most :data:`_SIZES` groups of neighbours, each as indices; smallest first."""
    order = np.argsort(values, kind="stable")
    ordered = np.asarray(values, dtype=np.float64)[order]
    parts: list[Rows] = np.split(order, np.flatnonzero(ordered[1:] > ordered[:-1] * _SAME) + 1)
    while len(parts) > _SIZES:
        parts = [np.concatenate(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return [part for part in parts if part.size]


def named(name: str, values: Sequence[float]) -> str:
    """Of a series in the legend: its value, or the ends of several."""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return f"{name} {low}" if low == high else f"{name} {low} to {high}"


def line(x: Sequence[float] | Array, y: Sequence[float] | Array, colour: str, **more: Any) -> Chart:
    """A law."""
    shown = {"mode": "lines", "line": {"color": colour, "width": 1.5}, "hoverinfo": "skip"}
    return {"type": "scatter", "x": rounded(x), "y": rounded(y), **shown, **more}


def marks(x: Sequence[float] | Array, y: Sequence[float] | Array, colour: str, **more: Any) -> Chart:
    """What was measured."""
    marker = {"color": colour, "size": 7, "line": {"color": "--card", "width": 0.7}}
    return {"type": "scatter", "mode": "markers", "x": rounded(x), "y": rounded(y), "marker": marker, **more}
