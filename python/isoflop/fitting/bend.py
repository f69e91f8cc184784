"""How the objective bends about the residuals: the mean second derivative of rho, for all runs at once and for each."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.problem import Problem

Array = NDArray[np.float64]

_NORMAL = NormalDist()
_FLAT = math.sqrt(3)
"""Half the width of a flat window over its standard deviation."""


def share_inside(problem: Problem, residuals: Array) -> float:
    """Share of the weight whose residuals lie within Huber's delta: the mean of rho'' over the runs' noise.

    A narrow delta holds hardly a run, and of those a law of p parameters puts about p at residual 0 by itself: the
    density is then taken over Hall and Sheather's wider window.
    """
    w, delta = problem.w, problem.criterion.delta
    if np.isinf(delta):
        return 1.0
    window = max(delta, _window(problem, residuals))
    inside = float(w[np.abs(residuals) <= window].sum() / w.sum())
    return max(inside, 1 / problem.n_used) * delta / window


def run_bends(problem: Problem, residuals: Array) -> Array:
    """The mean of rho'' over the noise of each run, shape (n,): 1 for squares; for Huber and quantiles a normal kernel
    about the run's own residual.
    """
    from scipy.special import ndtr

    delta = problem.criterion.delta
    if np.isinf(delta):
        return np.ones_like(residuals)
    window = _window(problem, residuals)
    width = max(math.sqrt(max(window**2 - delta**2, 0.0)) / _FLAT, np.finfo(float).tiny)
    if delta > 0.0:
        if delta >= window:
            return np.asarray(np.abs(residuals) <= delta, dtype=np.float64)
        return np.asarray(ndtr((delta - residuals) / width) - ndtr((-delta - residuals) / width))
    up, down = problem.criterion.sides
    return np.asarray((up + down) / (width * math.sqrt(2 * math.pi)) * np.exp(-0.5 * (residuals / width) ** 2))


def sparsity(problem: Problem, residuals: Array) -> float:
    """One over the density of the residuals at the quantile that the criterion asks for."""
    low, high = _levels(problem)
    return _between(problem, residuals, low, high) / (high - low)


def _window(problem: Problem, residuals: Array) -> float:
    """Half the width of Hall and Sheather's window, in units of the residuals."""
    return _between(problem, residuals, *_levels(problem)) / 2


def _levels(problem: Problem) -> tuple[float, float]:
    """Quantiles about the one that the criterion asks for, the median unless it has sides (Koenker 2005, 4.10.1)."""
    up, down = problem.criterion.sides
    tau, n = down / (up + down), problem.n_used
    at = _NORMAL.inv_cdf(tau)
    reach = n ** (-1 / 3) * _NORMAL.inv_cdf(0.975) ** (2 / 3)
    reach *= (1.5 * _NORMAL.pdf(at) ** 2 / (2 * at**2 + 1)) ** (1 / 3)
    return max(tau - reach, 1 / n), min(tau + reach, 1 - 1 / n)


def _between(problem: Problem, residuals: Array, low: float, high: float) -> float:
    quantiles = np.quantile(-residuals[problem.w > 0], [low, high])
    return float(quantiles[1] - quantiles[0])
