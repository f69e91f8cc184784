"""Least sums of rho over a residual function of a few positive parameters, by their logarithms, from several starts.

The place of forms that are no law of columns, such as the multi-power form, which sums over a whole schedule. Two more
stay although the laws' solver finds the same sums to 12 digits: hyperbolas of batch scans and the annealing form, which
take milliseconds here: too little to part their way from that of the multi-power form.

The search is Levenberg's and Marquardt's over squares that are weighed anew in each step, as much as rho makes of each
residual (Holland and Welsch 1977): no step raises the sum, however few residuals lie where rho is quadratic. None
changes a parameter by more than a factor of two: the first would else go to a corner of the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.bend import share_inside
from isoflop.fitting.objective import Huber, LeastSquares
from isoflop.fitting.rho import psi, rho

Array = NDArray[np.float64]

Rows = tuple[Array, Array]
"""Residuals, shape (rows,), and their slopes by each parameter, shape (parameters, rows)."""

_AGREE = 1e-4
_EXACT = 1e-18
"""Squared residuals below this are rounding."""
_STEPS, _IN_A_ROW, _LITTLE = 400, 3, 1e-6
"""A search ends with three steps that each take less than a millionth off the sum, where one over the rows is noise;
or after so many, down a valley of parameters that the rows do not tell apart."""
_DAMPING, _LEAST, _STUCK, _TINY = 1e-3, 1e-12, 1e12, 1e-300
_FARTHEST = math.log(2.0)


@dataclass(frozen=True)
class Estimate:
    """Where the sum is least.

    Attributes:
        params: by name.
        coordinates: their logarithms, in which they are sought.
        covariance: of the coordinates, s**2 (J'J)^-1 (Huber 1981, section 7.6, where delta is finite).
        residuals: at the optimum, shape (rows,).
        hit_rate: share of the starts that ended within 1e-4 of the least sum.
        condition: of the Jacobian with columns of unit length.
    """

    params: dict[str, float]
    coordinates: Array
    covariance: Array
    residuals: Array
    hit_rate: float
    condition: float

    @property
    def rms(self) -> float:
        """Root mean square of the residuals."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    @property
    def dof(self) -> int:
        """Rows less parameters."""
        return self.residuals.size - self.coordinates.size

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Of a parameter, by Student's t of its logarithm.

        Raises:
            FitError: no such parameter.
        """
        from scipy.special import stdtrit

        if name not in self.params:
            raise FitError(f"no parameter {name!r}", hint=f"parameters: {', '.join(self.params)}")
        i = list(self.params).index(name)
        half = float(stdtrit(self.dof, 0.5 + level / 2)) * math.sqrt(self.covariance[i, i])
        ends = self.coordinates[i] + np.array([-half, half])
        low, high = np.exp(ends)
        return float(low), float(high)


def least_residuals(
    rows: Callable[[dict[str, float]], Rows],
    starts: list[dict[str, float]],
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    delta: float = math.inf,
) -> Estimate:
    """Minimise the sum of r**2/2, or of Huber's rho with ``delta``, over positive parameters.

    Args:
        rows: of parameters by name: residuals, shape (rows,), and their slopes by each, shape (parameters, rows).
        starts: parameters by name, all with the same names; a search begins at each, the best end is kept.
        bounds: of parameters, where they have any.
        delta: where rho turns linear.

    Raises:
        FitError: fewer rows than parameters + 1, or residuals that are no numbers at every start.
    """
    names = list(starts[0])
    with np.errstate(divide="ignore"):
        low, high = np.log([(bounds or {}).get(name, (0.0, math.inf)) for name in names]).T

    def by_name(u: Array) -> dict[str, float]:
        return dict(zip(names, np.exp(u).tolist(), strict=True))

    def at(u: Array) -> Rows:
        residuals, slopes = rows(by_name(u))
        return residuals, slopes * np.exp(u)[:, None]

    ends = []
    for start in starts:
        u = np.clip(np.log([start[name] for name in names]), low, high)
        residuals, _ = at(u)
        if residuals.size <= u.size:
            raise FitError(f"{residuals.size} points for {u.size} parameters", hint="add points")
        if np.isfinite(residuals).all():
            ends.append(_descend(at, u, low, high, delta))
    if not ends:
        raise FitError(f"none of {len(starts)} starts is within reach of floats", hint="check the columns' units")
    best = min(ends, key=lambda end: end.cost)
    residuals, slopes = at(best.u)
    covariance, condition = _covariance(slopes.T, residuals, delta)
    hits = sum(end.cost <= best.cost * (1 + _AGREE) + _EXACT * residuals.size for end in ends)
    return Estimate(by_name(best.u), best.u, covariance, residuals, hits / len(starts), condition)


@dataclass(frozen=True)
class _End:
    u: Array
    cost: float


def _descend(at: Callable[[Array], Rows], u: Array, low: Array, high: Array, delta: float) -> _End:
    """Downhill from u, within bounds."""
    residuals, slopes = at(u)
    cost = float(rho(residuals, delta).sum())
    damping, little = _DAMPING, 0
    for _ in range(_STEPS):
        gradient = slopes @ psi(residuals, delta)
        free = ~((u <= low) & (gradient > 0) | (u >= high) & (gradient < 0))
        weighed = slopes[free] * np.minimum(1.0, delta / np.maximum(np.abs(residuals), _TINY))
        bend = weighed @ slopes[free].T
        scale = np.maximum(np.diag(bend), _TINY)
        while damping < _STUCK and free.any():
            moved = u.copy()
            step = np.linalg.solve(bend + damping * np.diag(scale), gradient[free])
            moved[free] -= step / max(1.0, float(np.abs(step).max()) / _FARTHEST)
            moved = np.clip(moved, low, high)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                there = at(moved)
                lower = float(rho(there[0], delta).sum())
            if lower < cost and np.isfinite(there[1]).all():
                break
            damping *= 4
        else:
            break
        little = little + 1 if lower > (1 - _LITTLE) * cost else 0
        u, (residuals, slopes), cost, damping = moved, there, lower, max(damping / 6, _LEAST)
        if little == _IN_A_ROW:
            break
    return _End(u, cost)


def _covariance(slopes: Array, residuals: Array, delta: float) -> tuple[Array, float]:
    rows, count = slopes.shape
    length = np.linalg.norm(slopes, axis=0)
    length[length == 0] = 1.0
    slope = psi(residuals, delta)
    criterion = LeastSquares() if math.isinf(delta) else Huber(delta)
    inside = share_inside(criterion, np.ones(rows), residuals)
    inverse = np.linalg.pinv(slopes / length) / length[:, None]
    variance = (slope @ slope) / (rows - count) / inside**2
    return variance * inverse @ inverse.T, float(np.linalg.cond(slopes / length))
