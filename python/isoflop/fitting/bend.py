"""How the objective bends about the residuals: the mean second derivative of rho, for all runs at once and for each."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.objective import Objective

Array = NDArray[np.float64]

_NORMAL = NormalDist()
_FLAT = math.sqrt(3)
"""Half the width of a flat window over its standard deviation."""


def share_inside(criterion: Objective, w: Array, residuals: Array) -> float:
    """Share of the weight w whose residuals lie within Huber's delta: the mean of rho'' over the runs' noise.

    A narrow delta holds hardly a run, and of those a law of p parameters puts about p at residual 0 by itself: the
    density is then taken over Hall and Sheather's wider window.
    """
    delta = criterion.delta
    if np.isinf(delta):
        return 1.0
    window = max(delta, _window(criterion, w, residuals))
    inside = float(w[np.abs(residuals) <= window].sum() / w.sum())
    return max(inside, 1 / np.count_nonzero(w)) * delta / window


def run_bends(criterion: Objective, w: Array, residuals: Array) -> Array:
    """The mean of rho'' over the noise of each run, shape (n,): 1 for squares; for Huber and quantiles a normal kernel
    about the run's own residual.
    """
    from scipy.special import ndtr

    delta = criterion.delta
    if np.isinf(delta):
        return np.ones_like(residuals)
    window = _window(criterion, w, residuals)
    width = max(math.sqrt(max(window**2 - delta**2, 0.0)) / _FLAT, np.finfo(float).tiny)
    if delta > 0.0:
        if delta >= window:
            return np.asarray(np.abs(residuals) <= delta, dtype=np.float64)
        return np.asarray(ndtr((delta - residuals) / width) - ndtr((-delta - residuals) / width))
    up, down = criterion.sides
    return np.asarray((up + down) / (width * math.sqrt(2 * math.pi)) * np.exp(-0.5 * (residuals / width) ** 2))


def sparsity(criterion: Objective, w: Array, residuals: Array) -> float:
    """One over the density of the residuals at the quantile that the criterion asks for."""
    used = residuals[w > 0]
    low, high = _levels(criterion, used.size)
    return _between(used, low, high) / (high - low)


def _window(criterion: Objective, w: Array, residuals: Array) -> float:
    """Half the width of Hall and Sheather's window, in units of the residuals."""
    used = residuals[w > 0]
    return _between(used, *_levels(criterion, used.size)) / 2


def _levels(criterion: Objective, n: int) -> tuple[float, float]:
    """Quantiles about the one that the criterion asks for, the median unless it has sides (Koenker 2005, 4.10.1)."""
    up, down = criterion.sides
    tau = down / (up + down)
    at = _NORMAL.inv_cdf(tau)
    reach = n ** (-1 / 3) * _NORMAL.inv_cdf(0.975) ** (2 / 3)
    reach *= (1.5 * _NORMAL.pdf(at) ** 2 / (2 * at**2 + 1)) ** (1 / 3)
    return max(tau - reach, 1 / n), min(tau + reach, 1 - 1 / n)


def _between(residuals: Array, low: float, high: float) -> float:
    quantiles = np.quantile(-residuals, [low, high])
    return float(quantiles[1] - quantiles[0])
