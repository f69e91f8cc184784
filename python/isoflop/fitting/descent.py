"""Least sums over many points: Gauss-Newton, then damped Newton, one pass over all of them a step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.laid import Sums
from isoflop.fitting.problem import Problem

Array = NDArray[np.float64]

_PASSES = 60
_DAMPED = 1e-3
FLAT = 1e-8
"""A cosine from which a step lowers the sum by its square: by what no sum of doubles shows."""
_CUT = 0.1
"""Where a Gauss-Newton step leaves more than this of the cosine, second derivatives are worth their exponentials."""


class Descent:
    """Steps of a problem, each judged by a pass over all of its points.

    Attributes:
        passes: taken so far.
    """

    def __init__(self, problem: Problem, over: Callable[[Array, bool], Sums], flat: float = FLAT) -> None:
        """``over`` takes free coordinates and whether the Hessian is asked for; a cosine of ``flat`` ends the steps."""
        self.problem, self.over, self.flat = problem, over, flat
        self.passes = 0

    def _sums(self, v: Array, newton: bool) -> Sums:
        self.passes += 1
        return self.over(v, newton)

    def run(self, v: Array) -> tuple[Array, Sums, float]:
        """The optimum, the sums there and the largest cosine of the residuals and a column of the Jacobian.

        Raises:
            FitError: no convergence.
        """
        from isoflop.fitting.solver.accumulate import propose
        from isoflop.fitting.solver.descend import LOOSE

        c = self.problem.coordinates
        here, mu, trial = self._sums(v, False), 0.0, np.empty_like(v)
        cosine, newton = np.inf, False
        while self.passes < _PASSES and mu < 1e12:
            best = here.objective
            before, (cosine, can) = cosine, propose(here.g, here.h, c.spread, v, c.lower, c.upper, best, mu, trial)
            if cosine <= self.flat or best <= 0.5 * float(here.totals[2]) * unit_of_rounding(self.problem) ** 2:
                return v, here, cosine
            there = None
            if newton or cosine <= _CUT * before:
                there = self._sums(trial, newton) if can else None
            if there is not None and there.objective < best:
                v, here, mu = trial.copy(), there, 0.1 * mu if mu > _DAMPED else 0.0
            elif there is not None and cosine <= LOOSE:
                # the sums differ by rounding alone: the cosine tells which of the two is nearer
                step = trial.copy()
                nearer, _ = propose(there.g, there.h, c.spread, step, c.lower, c.upper, there.objective, mu, trial)
                return (step, there, nearer) if nearer < cosine else (v, here, cosine)
            elif not newton:
                newton, here = True, self._sums(v, True)
            else:
                mu = max(10.0 * mu, _DAMPED)
        raise FitError(
            f"{self.problem.law.name}: no convergence after {self.passes} passes (cosine {cosine:.1e})",
            hint="plot the points: the law may not be of their form",
        )


def unit_of_rounding(problem: Problem) -> float:
    """What rounding of the observations alone makes of a residual."""
    largest = float(np.abs(problem.y).max())
    return 4e-15 * (1.0 + largest if problem.criterion.log else largest)


def covariance_of(problem: Problem, v: Array, here: Sums, squares: Sums, n: int, known_scale: bool) -> Array:
    """Of the free coordinates, s^2 (J'WJ)^-1, with s^2 as :func:`~isoflop.fitting.covariance.covariance` has it.

    Args:
        problem: the law and the criterion.
        v: the optimum, shape (q,).
        here: sums there.
        squares: sums there of squares, whatever the criterion.
        n: points of positive weight.
        known_scale: whether s is 1.
    """
    moving = problem.moving(v)
    spread = problem.coordinates.spread[:, moving]
    _, w, _, _, pull, inside = here.totals
    variance = pull / (n - moving.size) / max(inside / w, 1 / n) ** 2
    if known_scale:
        variance = 1.0
    found = np.zeros((v.size, v.size))
    found[np.ix_(moving, moving)] = variance * np.linalg.pinv(spread.T @ whole(squares.h[1]) @ spread, hermitian=True)
    return found


def whole(lower: Array) -> Array:
    """A symmetric matrix from its lower triangle."""
    return np.asarray(lower + np.tril(lower, -1).T)


def condition_of(problem: Problem, v: Array, here: Sums) -> float:
    """Condition number of J'J over the entries inside their bounds, columns scaled to one length."""
    spread = problem.coordinates.spread[:, problem.moving(v)]
    square = spread.T @ whole(here.h[1]) @ spread
    length = np.sqrt(np.diag(square))
    if not length.size or not length.all():
        return float("inf") if length.size else 1.0
    values = np.linalg.eigvalsh(square / np.outer(length, length))
    return float(values[-1] / max(values[0], 1e-300))
