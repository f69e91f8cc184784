"""Intervals: of resampled parameters, and of whatever follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError

Array = NDArray[np.float64]

N_DRAWS = 1000
"""Resamples that intervals rest on, where nobody says how many."""


@dataclass(frozen=True)
class Derived:
    """A function of the parameters: its value at the fit and its interval.

    Attributes:
        value: at the fit.
        interval: low and high.
        level: of the interval.
        kind: what it rests on: a bootstrap, "sandwich" or "profile".
    """

    value: float
    interval: tuple[float, float]
    level: float
    kind: str = "case"

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.4g} [{low:.4g}, {high:.4g}]"


@dataclass(frozen=True)
class Refits:
    """The best of the starts for every row: vectors (R, q), objectives (R,), and whether they can be used (R,)."""

    vectors: Array
    values: Array
    good: NDArray[np.bool_]


@dataclass(frozen=True)
class Bootstrap:
    """Parameters refitted to resampled runs.

    Attributes:
        names: parameters, the columns of ``draws``.
        draws: one row a resample that could be fitted, shape (n, len(names)).
        failed: resamples that could not be fitted (too few distinct values, or no convergence); they are left out.
        seed: of the resampling.
        kind: what was resampled: "case", "cluster", "residual", "wild" or "parametric"; "normal": drawn from the
            covariance.
    """

    names: tuple[str, ...]
    draws: Array
    failed: int
    seed: int
    kind: str = "case"

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval of a parameter, as the draws are; ``Fit.interval`` corrects it.

        Raises:
            FitError: no such parameter, a level outside (0, 1), or no resample could be fitted.
        """
        if name not in self.names:
            raise FitError(f"no parameter {name!r}", hint=f"parameters: {', '.join(self.names)}")
        return percentile_interval(self.draws[:, self.names.index(name)], level)

    def __str__(self) -> str:
        lost = f", {self.failed} could not be fitted" if self.failed else ""
        if self.kind == NORMAL:
            return f"{len(self.draws)} draws from the covariance (seed {self.seed})"
        return f"{len(self.draws)} resamples of {_RESAMPLED[self.kind]} (seed {self.seed}){lost}"


_RESAMPLED = {
    "case": "the runs",
    "cluster": "the clusters of runs",
    "residual": "the residuals",
    "wild": "the residuals' signs",
    "parametric": "the noise",
}
NORMAL = "normal"
"""Draws of a normal distribution with the fit's covariance: no refits."""


def percentile_interval(draws: Array, level: float) -> tuple[float, float]:
    """The middle ``level`` of the draws.

    Raises:
        FitError: a level outside (0, 1), or no draws.
    """
    require_level(level)
    if not draws.size:
        raise FitError("no resample of the runs could be fitted", hint="add runs")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def require_level(level: float) -> None:
    """Refuse a level outside (0, 1).

    Raises:
        FitError: such a level.
    """
    if not 0 < level < 1:
        raise FitError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")


def reach_of(level: float, groups: int, dof: int) -> float:
    """Of an interval of resampled runs to either side, in standard errors.

    The normal quantile is replaced by Student's t with ``dof`` degrees of freedom, times the root of groups/dof:
    resamples of few groups spread too little by so much (Hesterberg 2015, section 5.2).

    Args:
        level: of the interval.
        groups, dof: what was resampled, and how many of them are left after the parameters.

    Raises:
        FitError: a level outside (0, 1).
    """
    from scipy.special import stdtrit

    require_level(level)
    return float(stdtrit(dof, 0.5 + level / 2)) * float(np.sqrt(groups / dof))


def corrected_interval(draws: Array, value: float, pulls: Array, reach: float) -> tuple[float, float]:
    """Percentiles of the draws, corrected for bias, skewness and the small number of runs.

    BCa of Efron 1987: the share of draws below the estimate gives the bias, the skewness of what each run or cluster
    pulls the acceleration.

    Args:
        draws: the quantity at every resample, shape (n,).
        value: at the fit.
        pulls: of each group on the quantity, shape (groups,); zeros for no correction of skewness.
        reach: of :func:`reach_of`.

    Raises:
        FitError: no draws.
    """
    from scipy.special import ndtr, ndtri

    if not draws.size:
        raise FitError("no resample of the runs could be fitted", hint="add runs")
    n = draws.size
    below = (np.count_nonzero(draws < value) + 0.5 * np.count_nonzero(draws == value)) / n
    bias = float(ndtri(np.clip(below, 0.5 / n, 1 - 0.5 / n)))
    square = float(pulls @ pulls)
    skew = float(np.sum(pulls**3)) / (6 * square**1.5) if square > 0 else 0.0
    ends = bias + np.array([-reach, reach])
    low, high = np.quantile(draws, ndtr(bias + ends / np.maximum(1 - skew * ends, 0.05)))
    return float(low), float(high)
