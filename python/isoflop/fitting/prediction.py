"""Predictions of a fit: values with intervals, each labelled interpolation or extrapolation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError
from isoflop.fitting.data import FLOP_PER_PARAM_TOKEN
from isoflop.fitting.derived import predicted

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

INTERPOLATION = "interpolation"
"""The label of a point inside the runs."""

_SAME = 1e-6
_SMALLEST = 0.05
"""Decades below which an extrapolation is said as a ratio."""


@dataclass(frozen=True)
class Prediction:
    """A law's output at points, one a row.

    Attributes:
        output: name of the output.
        points: columns of the inputs, shape (n,) each.
        values: the law at the fit's parameters, shape (n,).
        low, high: interval of the law over the bootstrap draws, shape (n,): the noise of a single run comes on top.
        level: of the interval.
        labels: "interpolation", or "extrapolation by 1.3 decades in N", one a point.
    """

    output: str
    points: dict[str, Array]
    values: Array
    low: Array
    high: Array
    level: float
    labels: tuple[str, ...]

    @property
    def extrapolates(self) -> NDArray[np.bool_]:
        """Which points lie outside the runs."""
        return np.array([label != INTERPOLATION for label in self.labels], dtype=bool)

    def table(self) -> list[tuple[str, ...]]:
        """Headings, then one row a point, as text."""
        rows: list[tuple[str, ...]] = [(*self.points, self.output, f"{self.level:.0%} interval", "")]
        for i, label in enumerate(self.labels):
            at = (f"{column[i]:.4g}" for column in self.points.values())
            rows.append((*at, f"{self.values[i]:.5g}", f"[{self.low[i]:.5g}, {self.high[i]:.5g}]", label))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "output": self.output,
            "points": {name: column.tolist() for name, column in self.points.items()},
            "values": self.values.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "level": self.level,
            "labels": list(self.labels),
        }

    def __str__(self) -> str:
        from isoflop.fitting.present import text_table

        return text_table(self.table(), left=len(self.points) + 2)

    def _repr_html_(self) -> str:
        from isoflop.fitting.present import html_table

        return html_table(self.table())


def predict_at(fit: Fit, columns: Mapping[str, ArrayLike], level: float | None = None) -> Prediction:
    """Predict the output at columns of the law's inputs, broadcast against each other.

    Raises:
        LawError: an input is missing, unknown, or not positive and finite.
        FitError: a level outside (0, 1), or points of more than one dimension.
    """
    level = fit.level if level is None else level
    if not 0 < level < 1:
        raise FitError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")
    values = np.atleast_1d(fit.predict(**columns))
    if values.ndim != 1:
        raise FitError(f"points have shape {values.shape}; one dimension is needed", hint="ravel() them")
    points = {
        name: np.broadcast_to(np.asarray(columns[name], dtype=np.float64), values.shape) for name in fit.law.inputs
    }
    low, high = predicted(fit, level, None, False, points)
    return Prediction(fit.law.output, points, values, low, high, level, labels(fit.data.columns, points))


def labels(runs: Mapping[str, Array], points: Mapping[str, Array]) -> tuple[str, ...]:
    """Where each point lies against the runs, in each column that both have, and in C = 6 N D where both have N and D.

    >>> labels({"N": np.array([1e6, 1e8])}, {"N": np.array([1e7, 1e9, 5e5])})
    ('interpolation', 'extrapolation by 1.0 decades in N', 'extrapolation by 0.3 decades below N')
    """
    seen, asked = _with_compute(runs), _with_compute(points)
    n = len(next(iter(points.values())))
    said: list[list[str]] = [[] for _ in range(n)]
    for name, column in asked.items():
        if name not in seen:
            continue
        low, high = float(seen[name].min()), float(seen[name].max())
        for i, value in enumerate(column.tolist()):
            beyond = _beyond(name, value, low, high)
            if beyond:
                said[i].append(beyond)
    return tuple(f"extrapolation by {', '.join(parts)}" if parts else INTERPOLATION for parts in said)


def _with_compute(columns: Mapping[str, Array]) -> dict[str, Array]:
    if "C" in columns or not {"N", "D"} <= columns.keys():
        return dict(columns)
    return {**columns, "C": FLOP_PER_PARAM_TOKEN * columns["N"] * columns["D"]}


def _beyond(name: str, value: float, low: float, high: float) -> str:
    """How far a value lies outside its runs, in decades where it has them; empty inside."""
    if min(value, low) <= 0:
        return "" if low <= value <= high else f"{max(low - value, value - high):.3g} in {name}"
    above, below = np.log10(value / high), np.log10(low / value)
    if max(above, below) <= _SAME:
        return ""
    side = "in" if above > below else "below"
    far = float(max(above, below))
    return f"{far:.1f} decades {side} {name}" if far >= _SMALLEST else f"{10**far - 1:.1%} {side} {name}"
