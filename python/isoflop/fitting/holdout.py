"""Extrapolation, checked: refit without the largest runs and predict them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.data import FLOP_PER_PARAM_TOKEN, FitData

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

THRESHOLDS = (0.005, 0.01, 0.02, 0.05)
"""Relative errors that a loss can be asked to stay within."""

_SAME = 1e-6


@dataclass(frozen=True)
class Holdout:
    """The largest runs, predicted by a fit that has not seen them.

    Attributes:
        by: the column whose largest value was held out.
        rows: the runs, or points of curves, that were predicted: the law's inputs, N and D where known, its output,
            ``predicted`` and ``relative_error`` (predicted/output - 1), one array each.
        decades: how far the largest held-out value lies beyond the largest one that was fitted, in powers of ten.
        fit: the fit to the remaining runs.
    """

    by: str
    rows: dict[str, Array]
    decades: float
    fit: Fit

    @property
    def mean_absolute_relative_error(self) -> float:
        """Mean over held-out runs of |predicted/output - 1|."""
        return float(np.mean(np.abs(self.rows["relative_error"])))

    @property
    def within(self) -> dict[float, float]:
        """Share of the held-out runs whose absolute relative error is within each of :data:`THRESHOLDS`."""
        size = np.abs(self.rows["relative_error"])
        return {threshold: float(np.mean(size <= threshold)) for threshold in THRESHOLDS}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the fit."""
        return {
            "by": self.by,
            "decades": self.decades,
            "mean_absolute_relative_error": self.mean_absolute_relative_error,
            "within": {str(threshold): share for threshold, share in self.within.items()},
            "rows": {name: column.tolist() for name, column in self.rows.items()},
        }

    def __str__(self) -> str:
        n = len(self.rows["predicted"])
        shares = ", ".join(f"{share:.0%} within {threshold:.1%}" for threshold, share in self.within.items())
        return (
            f"{n} run{'s' * (n != 1)} of the largest {self.by} held out, {self.decades:.2f} decades beyond the rest: "
            f"mean absolute relative error {self.mean_absolute_relative_error:.2%} ({shares})"
        )


def hold_out(full: Fit, by: str, top: float = 0.0) -> Holdout:
    """Refit ``full`` without the runs whose ``by`` is the largest, or within ``top`` decades of it, and predict them.

    Where the fit was given clusters, none straddles the cut: one that reaches the top is left out of the refit with all
    its points, and its points at the top are predicted.

    Raises:
        FitError: ``by`` is no input, or is not among the columns; ``top`` is negative; what remains cannot be fitted.
    """
    if not 0 <= top < np.inf:
        raise FitError(f"top must be zero or more decades, got {top}", hint="top=0.5: the largest factor of three")
    scale = scale_of(full, by)
    cut = scale.max() * (1 - _SAME) / 10.0**top
    reached = reach(full.data, scale)
    if (reached >= cut).all():
        what = "run" if full.data.cluster is None else "cluster of runs"
        raise FitError(f"holding out the largest {by} leaves no {what} to fit", hint="hold out by another column")
    rest = fit_again(full, full.data.select(reached < cut))
    decades = float(np.log10(scale.max() / reached[reached < cut].max()))
    return Holdout(by, predicted_rows(rest, full.data.select(scale >= cut)), decades, rest)


def reach(data: FitData, scale: Array) -> Array:
    """The largest scale of each row's cluster, or its own where there are no clusters, shape (rows,)."""
    if data.cluster is None:
        return scale
    largest = np.full(int(data.cluster.max()) + 1, -np.inf)
    np.maximum.at(largest, data.cluster, scale)
    return np.asarray(largest[data.cluster])


def scale_of(full: Fit, by: str) -> Array:
    """The column by which runs are held out; C is 6 N D where it was not given.

    Raises:
        FitError: no such column, or it is the output.
    """
    columns, output = full.data.columns, full.law.output
    if by == "C" and "C" not in columns and "N" in columns and "D" in columns:
        return np.asarray(FLOP_PER_PARAM_TOKEN * columns["N"] * columns["D"])
    if by in columns and by != output and (columns[by] > 0).all():
        return columns[by]
    raise FitError(f"cannot hold out by {by!r}", hint=f"columns: {', '.join(c for c in columns if c != output)}")


def fit_again(full: Fit, data: FitData) -> Fit:
    """The same law, objective and restrictions, fitted to other runs.

    Raises:
        FitError: they cannot be fitted.
    """
    from isoflop.fitting.fit import fit

    held = full.constraints
    return fit(
        full.law,
        data,
        objective=full.criterion,
        fix=held.fix,
        bounds=held.bounds,
        tie=held.tie,
        starts=full.n_starts,
        level=full.level,
    )


def predicted_rows(fitted: Fit, data: FitData) -> dict[str, Array]:
    """The columns of ``data`` with ``predicted`` and ``relative_error``."""
    columns = data.columns
    predicted = fitted.predict(**{name: columns[name] for name in fitted.law.inputs})
    return {**columns, "predicted": predicted, "relative_error": predicted / columns[fitted.law.output] - 1.0}
