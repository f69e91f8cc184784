"""The likelihood that an objective stands for, its scale estimated.

A sum S of rho(r) over n runs is the logarithm of a density exp(-rho(r)/s^2)/Z(s) (quantiles: /s), whose scale s is put
at its best: Gauss for least squares, Gauss with exponential tails for Huber, Laplace for absolute deviations and its
lopsided form for quantiles. Twice the fall of the logarithm from the optimum is referred to F(1, n - p), exact for a
linear law under Gaussian noise, or to chi-square where the scale is known.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.problem import Problem

Array = NDArray[np.float64]


def log_likelihood(problem: Problem, total: float) -> float:
    """Of a sum, at the scale that suits it best, less a constant; 1 where that is known."""
    n, delta = problem.n_used, problem.criterion.delta
    if problem.scale_is_known:
        return -total
    total *= n / float(problem.w.sum())
    total = max(total, problem.rounding, 1e-300)
    if delta == 0.0:
        return -n * math.log(total)
    if math.isinf(delta):
        return -n / 2 * math.log(total)
    return huber_likelihood(total, n, delta)[0]


def huber_normaliser(delta: float) -> float:
    """Z, the integral of exp(-rho(x)) of Huber's rho with its corner at ``delta``: Gauss within, exponential beyond."""
    return math.sqrt(2 * math.pi) * math.erf(delta / math.sqrt(2)) + 2 / delta * math.exp(-(delta**2) / 2)


def huber_likelihood(total: float, n: float, delta: float) -> tuple[float, float]:
    """The best of -S/s^2 - n ln(s Z(delta/s)) over the scale s of n residuals whose rho add up to S, and the s."""
    from scipy.optimize import minimize_scalar

    def cost(log_s: float) -> float:
        s = math.exp(log_s)
        return total / s**2 + n * (log_s + math.log(huber_normaliser(delta / s)))

    middle = math.log(math.sqrt(2 * total / n))
    # between all of it core and all of it tails
    found = minimize_scalar(cost, bounds=(middle - 12, middle + 12), method="bounded", options={"xatol": 1e-10})
    return -float(found.fun), math.exp(float(found.x))


def threshold(problem: Problem, free: int, level: float) -> float:
    """Twice the fall of the log likelihood that an interval of ``level`` allows.

    n ln(1 + t^2/(n - p)) with Student's t, exact for a linear law; for sums other than squares t^2, and the normal's
    where the scale is known.
    """
    from scipy.special import ndtri, stdtrit

    n = problem.n_used
    if problem.scale_is_known:
        return float(ndtri(0.5 + level / 2) ** 2)
    t = float(stdtrit(n - free, 0.5 + level / 2))
    return n * math.log1p(t**2 / (n - free))


def draw_noise(problem: Problem, vector: Array, rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Noise of the objective's own density at its best scale, shape (rows, n), larger for runs of small weight."""
    from scipy.special import ndtr, ndtri

    w, delta = problem.w, problem.criterion.delta
    n, shares = float(w.sum()), np.where(w > 0, w, 1.0)
    if math.isinf(delta):
        s = 1.0 if problem.scale_is_known else math.sqrt(2 * problem.total(vector) / n)
        return np.asarray(s * rng.standard_normal(shape) / np.sqrt(shares))
    if delta == 0.0:
        up, down = problem.criterion.sides
        s = problem.total(vector) / n
        # the law above the run by up, below by down: noise is the run less the law
        high = rng.random(shape) < up / (up + down)
        return np.asarray(s * rng.exponential(size=shape) * np.where(high, 1 / down, -1 / up) / shares)
    s = huber_likelihood(problem.total(vector), n, delta)[1]
    low = ndtr(-delta / s)
    core = math.sqrt(2 * math.pi) * (1 - 2 * low) / huber_normaliser(delta / s)
    inside = s * ndtri(low + (1 - 2 * low) * rng.random(shape))
    outside = (delta + s**2 / delta * rng.exponential(size=shape)) * rng.choice([-1.0, 1.0], size=shape)
    return np.asarray(np.where(rng.random(shape) < core, inside, outside) / np.sqrt(shares))
