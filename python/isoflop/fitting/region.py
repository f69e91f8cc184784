"""The region of parameters that the likelihood ratio allows, and the reach of a derived quantity over it."""

from __future__ import annotations

import math
from collections.abc import Callable

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
    moving = problem.moving(vector)
    size = math.sqrt(threshold(problem, moving.size, level))
    root = _axes(problem, vector)
    least = problem.total(vector)
    spare = _largest(problem, least, size) - least
    lower, upper = problem.coordinates.lower, problem.coordinates.upper

    def at(w: Array) -> tuple[Array, Array]:
        """The free coordinates, and which of those that move are inside their bounds."""
        v = vector.copy()
        v[moving] += root @ w
        inside = (v > lower) & (v < upper)
        return np.clip(v, lower, upper), inside[moving]

    def value(w: Array) -> float:
        return float(fn(problem.natural(at(w)[0])))

    def slope(w: Array) -> Array:
        return np.array([(value(w + _STEP * e) - value(w - _STEP * e)) / (2 * _STEP) for e in np.eye(moving.size)])

    gradient = slope(np.zeros(moving.size))
    length = float(np.linalg.norm(gradient))
    if not length > 0:
        here = value(np.zeros(moving.size))
        return here, here
    absolute = problem.criterion.delta == 0.0
    typical = float(np.mean(np.abs(problem.residuals(vector)[0])))
    ends = []
    for side in (-1.0, 1.0):
        w = side * size * gradient / length
        for corner in (share * typical for share in _CORNERS) if absolute else (0.0,):
            start, _ = _sum(problem, vector, corner)

            def room(w: Array, corner: float = corner, start: float = start) -> float:
                return size**2 * (1 - (_sum(problem, at(w)[0], corner)[0] - start) / spare)

            def closing(w: Array, corner: float = corner) -> Array:
                v, inside = at(w)
                return np.asarray(-(size**2) / spare * root.T @ (_sum(problem, v, corner)[1][moving] * inside))

            w = _furthest(
                lambda w, side=side: -side * value(w) / length,
                lambda w, side=side: -side * slope(w) / length,
                room,
                closing,
                w,
                size,
            )
        ends.append(value(w))
    return min(ends), max(ends)


def _axes(problem: Problem, vector: Array) -> Array:
    """Steps of one standard error along the axes of the ellipsoid about the optimum, shape (moving, moving)."""
    linear = Linear.of(problem, vector)
    r = linear.residuals
    spread = 1.0 if problem.known_noise else math.sqrt(float(problem.w @ r**2) / problem.w.sum())
    _, singular, right = np.linalg.svd(linear.columns, full_matrices=False)
    return np.asarray(right.T * (spread / singular))


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


def _sum(problem: Problem, v: Array, corner: float) -> tuple[float, Array]:
    """The objective with rounded edges and its gradient, shape (q,)."""
    r, jacobian = problem.residuals(v)
    criterion = problem.criterion
    slope = problem.w * psi(r, criterion.delta, criterion.sides, corner)
    return float(problem.w @ rho(r, criterion.delta, criterion.sides, corner)), jacobian.T @ slope


def _furthest(
    cost: Callable[[Array], float],
    slope: Callable[[Array], Array],
    room: Callable[[Array], float],
    closing: Callable[[Array], Array],
    start: Array,
    size: float,
) -> Array:
    """Where a cost is least and room is not negative.

    Raises:
        FitError: it is not found.
    """
    from scipy.optimize import minimize

    with np.errstate(all="ignore"):  # trial steps may go where powers overflow: there is no room there
        found = minimize(
            cost,
            start,
            jac=slope,
            constraints={"type": "ineq", "fun": room, "jac": closing},
            method="SLSQP",
            options={"maxiter": 200, "ftol": 1e-9},
        )
    if not (found.success and room(found.x) > -_OVER * size**2):
        raise FitError(
            f"the likelihood interval of a derived quantity has no end that could be found: {found.message}",
            hint='take the interval over resamples, kind="case"',
        )
    return np.asarray(found.x)
