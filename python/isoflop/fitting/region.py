"""The region of parameters that the likelihood ratio allows, and the reach of a derived quantity over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.covariance import Linear
from isoflop.fitting.likelihood import log_likelihood, threshold
from isoflop.fitting.problem import Problem
from isoflop.fitting.rho import psi, rho

Array = NDArray[np.float64]

_STEP = 1e-4
"""Of derivatives by the region's coordinates, in standard errors."""

_OVER = 0.05
"""Share of the allowed fall of the likelihood by which an end may miss it."""

_CORNERS = (0.3, 0.03, 0.003)
"""Radii that round |r|, in mean absolute residuals."""


def region(problem: Problem, vector: Array, fn: Callable[[Array], float], level: float) -> tuple[float, float]:
    """Least and largest value of a function of the natural parameters where the likelihood ratio allows them.

    The profile interval of a derived quantity (Venzon and Moolgavkar 1988), searched in coordinates in which the
    region is nearly a ball. Sums of absolute values have edges that stop the search: they are rounded, less and less.

    Raises:
        FitError: the search does not end, as where the region has no end.
    """
    allowed = _Region.of(problem, vector, level)

    def value(w: Array) -> float:
        return float(fn(problem.natural(allowed.at(w))))

    def slope(w: Array) -> Array:
        return np.array([(value(w + _STEP * e) - value(w - _STEP * e)) / (2 * _STEP) for e in np.eye(w.size)])

    centre = np.zeros(allowed.moving.size)
    gradient = slope(centre)
    length = float(np.linalg.norm(gradient))
    if not length > 0:
        return value(centre), value(centre)
    typical = float(np.mean(np.abs(problem.residuals(vector)[0])))
    corners = [share * typical for share in _CORNERS] if problem.criterion.delta == 0.0 else [0.0]
    ends = []
    for scale in (-1 / length, 1 / length):
        w = scale * allowed.size * gradient
        for corner in corners:
            w = allowed.furthest(value, slope, scale, w, corner)
        ends.append(value(w))
    return min(ends), max(ends)


@dataclass(frozen=True)
class _Region:
    """Where the objective is not much larger than its least.

    Attributes:
        problem, vector: what was minimised, and where it is least.
        moving: coordinates inside their bounds, shape (m,).
        root: steps of one standard error along the axes of the ellipsoid about the optimum, shape (m, m).
        size: the root of twice the fall of the log likelihood that is allowed.
        spare: by how much the objective may grow.
    """

    problem: Problem
    vector: Array
    moving: NDArray[np.int64]
    root: Array
    size: float
    spare: float

    @classmethod
    def of(cls, problem: Problem, vector: Array, level: float) -> _Region:
        linear = Linear.of(problem, vector)
        moving = problem.moving(vector)
        r = linear.residuals
        spread = 1.0 if problem.scale_is_known else math.sqrt(float(problem.w @ r**2) / problem.w.sum())
        _, singular, right = np.linalg.svd(linear.columns, full_matrices=False)
        size = math.sqrt(threshold(problem, moving.size, level))
        least = problem.total(vector)
        return cls(problem, vector, moving, right.T * (spread / singular), size, _largest(problem, least, size) - least)

    def _free(self, w: Array) -> Array:
        v = self.vector.copy()
        v[self.moving] += self.root @ w
        return v

    def at(self, w: Array) -> Array:
        """Free coordinates (q,) at steps w (m,) from the optimum, none beyond its bounds."""
        return np.clip(self._free(w), self.problem.coordinates.lower, self.problem.coordinates.upper)

    def sum(self, v: Array, corner: float) -> tuple[float, Array]:
        """The objective with rounded edges and its gradient, shape (q,)."""
        r, jacobian = self.problem.residuals(v)
        w, criterion = self.problem.w, self.problem.criterion
        slope = w * psi(r, criterion.delta, criterion.sides, corner)
        return float(w @ rho(r, criterion.delta, criterion.sides, corner)), jacobian.T @ slope

    def furthest(
        self,
        value: Callable[[Array], float],
        slope: Callable[[Array], Array],
        scale: float,
        start: Array,
        corner: float,
    ) -> Array:
        """The steps, inside the region, where ``scale`` times a value is largest.

        Raises:
            FitError: it is not found.
        """
        from scipy.optimize import minimize

        least, _ = self.sum(self.vector, corner)

        def room(w: Array) -> float:
            return self.size**2 * (1 - (self.sum(self.at(w), corner)[0] - least) / self.spare)

        def closing(w: Array) -> Array:
            inside = self._free(w) == self.at(w)
            gradient = self.sum(self.at(w), corner)[1] * inside
            return np.asarray(-(self.size**2) / self.spare * self.root.T @ gradient[self.moving])

        with np.errstate(all="ignore"):  # trial steps may go where powers overflow: there is no room there
            found = minimize(
                lambda w: -scale * value(w),
                start,
                jac=lambda w: -scale * slope(w),
                constraints={"type": "ineq", "fun": room, "jac": closing},
                method="SLSQP",
                options={"maxiter": 200, "ftol": 1e-9},
            )
        if not (found.success and room(found.x) > -_OVER * self.size**2):
            raise FitError(
                f"the likelihood interval of a derived quantity has no end that could be found: {found.message}",
                hint='take the interval over resamples, kind="case"',
            )
        return np.asarray(found.x)


def _largest(problem: Problem, least: float, size: float) -> float:
    """The sum at which twice the log likelihood has fallen by size^2."""
    from scipy.optimize import brentq

    least = max(least, problem.rounding, 1e-300)
    top = log_likelihood(problem, least)

    def left(log_sum: float) -> float:
        return size**2 - 2 * (top - log_likelihood(problem, math.exp(log_sum)))

    low, step = math.log(least), 1.0
    while left(low + step) > 0:
        step *= 2
    return math.exp(float(brentq(left, low, low + step, xtol=1e-12)))
