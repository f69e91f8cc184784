"""Least squares of a residual function of a few parameters, positive ones by their logarithm, from several starts.

The place of forms that are no law of columns, such as the multi-power form, which sums over a whole schedule. Two more
stay although the laws' solver finds the same sums to 12 digits: hyperbolas of batch scans, which it finds in 7 ms and
this in 4, and the annealing form, in 70 and 150 ms: too little to part its way from that of the multi-power form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.rho import psi

Array = NDArray[np.float64]

_AGREE = 1e-4
_EXACT = 1e-18
"""Squared residuals below this are rounding."""


@dataclass(frozen=True)
class Estimate:
    """Where the sum is least.

    Attributes:
        params: by name.
        coordinates: of the solver: logarithms where a parameter is positive.
        covariance: of the coordinates, s**2 (J'J)^-1 (Huber 1981, section 7.6, where delta is finite).
        log: which coordinates are logarithms.
        residuals: at the optimum, shape (rows,).
        hit_rate: share of the starts that ended within 1e-4 of the least sum.
        condition: of the Jacobian with columns of unit length.
    """

    params: dict[str, float]
    coordinates: Array
    covariance: Array
    log: NDArray[np.bool_]
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
        """Of a parameter, by Student's t in the solver's coordinates.

        Raises:
            FitError: no such parameter.
        """
        from scipy.special import stdtrit

        if name not in self.params:
            raise FitError(f"no parameter {name!r}", hint=f"parameters: {', '.join(self.params)}")
        i = list(self.params).index(name)
        half = float(stdtrit(self.dof, 0.5 + level / 2)) * math.sqrt(self.covariance[i, i])
        ends = self.coordinates[i] + np.array([-half, half])
        low, high = np.exp(ends) if self.log[i] else ends
        return float(low), float(high)


def least_residuals(
    residuals: Callable[[dict[str, float]], Array],
    starts: list[dict[str, float]],
    *,
    positive: tuple[str, ...],
    bounds: Mapping[str, tuple[float, float]] | None = None,
    delta: float = math.inf,
) -> Estimate:
    """Minimise the sum of r**2/2, or of Huber's rho with ``delta``, over the parameters.

    Args:
        residuals: of parameters by name, shape (rows,).
        starts: parameters by name, all with the same names; each is polished, the best is kept.
        positive: which are positive, and so moved by their logarithm.
        bounds: of parameters, where they have any.
        delta: where rho turns linear.

    Raises:
        FitError: fewer rows than parameters + 1, or no start converged.
    """
    from scipy.optimize import least_squares

    names = list(starts[0])
    log = np.array([name in positive for name in names])
    low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    for name, (least, most) in (bounds or {}).items():
        i = names.index(name)
        low[i], high[i] = (math.log(least), math.log(most)) if log[i] else (least, most)

    def natural(u: Array) -> dict[str, float]:
        return dict(zip(names, np.where(log, np.exp(np.where(log, u, 0.0)), u).tolist(), strict=True))

    ends = []
    for start in starts:
        u = np.array([start[name] for name in names])
        u = np.clip(np.where(log, np.log(np.where(log, u, 1.0)), u), low, high)
        rows = residuals(natural(u))
        if rows.size <= u.size:
            raise FitError(f"{rows.size} points for {u.size} parameters", hint="add points")
        if not np.isfinite(rows).all():
            continue
        found = least_squares(
            lambda v: residuals(natural(v)),
            u,
            bounds=(low, high),
            jac="3-point",
            x_scale="jac",
            loss="linear" if math.isinf(delta) else "huber",
            f_scale=1.0 if math.isinf(delta) else delta,
            xtol=1e-13,
            ftol=1e-13,
            gtol=1e-13,
            max_nfev=300,
        )
        if found.status > 0:
            ends.append(found)
    if not ends:
        raise FitError(f"none of {len(starts)} starts converged", hint="check the columns for outliers and units")
    best = min(ends, key=lambda found: float(found.cost))
    at = residuals(natural(best.x))
    covariance, condition = _covariance(residuals, natural, best.x, at, delta)
    hits = sum(found.cost <= best.cost * (1 + _AGREE) + _EXACT * at.size for found in ends)
    return Estimate(natural(best.x), best.x, covariance, log, at, hits / len(starts), condition)


def _covariance(
    residuals: Callable[[dict[str, float]], Array],
    natural: Callable[[Array], dict[str, float]],
    u: Array,
    at: Array,
    delta: float,
) -> tuple[Array, float]:
    steps = 1e-5 * np.maximum(1.0, np.abs(u)) * np.eye(u.size)
    jacobian = np.stack(
        [(residuals(natural(u + h)) - residuals(natural(u - h))) / (2 * h.max()) for h in steps], axis=1
    )
    length = np.linalg.norm(jacobian, axis=0)
    length[length == 0] = 1.0
    slope = psi(at, delta)
    inside = max(float(np.mean(np.abs(at) <= delta)), 1 / at.size)
    inverse = np.linalg.pinv(jacobian / length) / length[:, None]
    variance = (slope @ slope) / (at.size - u.size) / inside**2
    return variance * inverse @ inverse.T, float(np.linalg.cond(jacobian / length))
