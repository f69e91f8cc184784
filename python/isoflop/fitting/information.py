"""Likelihood of runs under a fit, and Akaike's criterion: an objective is a density of residuals at its best scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError
from isoflop.fitting.data import FitData
from isoflop.fitting.likelihood import huber_likelihood, huber_normaliser
from isoflop.fitting.objective import Objective, scale_is_known
from isoflop.fitting.rho import rho
from isoflop.laws.law import Law

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_REACH = 30.0
"""How far from the spread of the residuals, in ln, a scale is looked for."""


@dataclass(frozen=True)
class Likelihood:
    """How likely the runs are under a law.

    Attributes:
        value: log-likelihood of the outputs, in nats, at the scale of the noise that makes it largest; that of the
            outputs themselves also where residuals are of logarithms, so that objectives can be compared.
        n_parameters: free parameters, with the scale of the noise unless it was given.
        n_runs: runs of positive weight.
    """

    value: float
    n_parameters: int
    n_runs: int

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2 k - 2 ln L."""
        return 2.0 * self.n_parameters - 2.0 * self.value

    @property
    def aicc(self) -> float:
        """AIC corrected for few runs (Hurvich and Tsai 1989); infinite where runs do not outnumber parameters."""
        k, n = self.n_parameters, self.n_runs
        return self.aic + 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.inf


def likelihood(fit: Fit) -> Likelihood:
    """The likelihood of the runs that were fitted, under the fit."""
    held = fit.constraints
    free = len(fit.law.names) - len(held.fix) - sum(len(group) - 1 for group in held.tie)
    value = log_likelihood(fit.law, fit.params, fit.data, fit.criterion)
    used = fit.data.n_runs if fit.data.weights is None else int(np.count_nonzero(fit.data.weights))
    return Likelihood(value, free + (not scale_is_known(fit.criterion, fit.data.sigma)), used)


def log_likelihood(law: Law, params: Mapping[str, float], data: FitData, criterion: Objective) -> float:
    """Log-likelihood of the outputs of ``data``, largest over the scale of the noise.

    Least squares is normal noise, least absolute deviations Laplace's, a quantile Laplace's with two slopes, Huber
    normal inside delta and exponential beyond. Known noise under least squares is taken at its word. Weights count
    runs, scaled to add up to their number.
    """
    y = data.columns[law.output]
    predicted = law.predict(params, **{name: data.columns[name] for name in law.inputs})
    sigma = np.ones_like(y) if data.sigma is None else data.sigma
    r = (np.log(predicted / y) if criterion.log else predicted - y) / sigma
    w = np.ones_like(y) if data.weights is None else data.weights * np.count_nonzero(data.weights) / data.weights.sum()
    to_outputs = float(w @ np.log(sigma * y if criterion.log else sigma))
    return _of_residuals(r, w, criterion, scale_is_known(criterion, data.sigma)) - to_outputs


def huber_log_likelihood(residuals: ArrayLike, delta: float = 1e-3) -> float:
    """Largest log-likelihood of residuals under the density exp(-huber(r/sigma)) / (sigma Z) over sigma.

    ``delta`` is in units of sigma, as in Besiroglu 2024 (arXiv 2404.10102), where 1e-3 of it makes the density
    Laplace's but for its very tip. Z = sqrt(2 pi) erf(delta/sqrt 2) + 2 exp(-delta^2/2)/delta.

    Raises:
        FitError: residuals that are all zero or not finite.
    """
    r = np.abs(np.asarray(residuals, dtype=np.float64))
    if not (np.isfinite(r).all() and r.any()):
        raise FitError("residuals must be finite and not all zero")

    def cost(log_scale: float) -> float:
        size = r / math.exp(log_scale)
        return float(rho(size, delta).sum()) + r.size * (log_scale + math.log(huber_normaliser(delta)))

    # the scale of a Laplace density is sigma/delta
    return -_least(cost, math.log(float(r.mean()) * min(delta, 1.0)))


def _of_residuals(r: Array, w: Array, criterion: Objective, known: bool) -> float:
    n, delta = float(w.sum()), criterion.delta
    if known:
        return -float(w @ r**2) / 2 - n * math.log(2 * math.pi) / 2
    total = float(w @ rho(r, delta, criterion.sides))
    if delta == 0.0:
        up, down = criterion.sides
        scale = total / n
        return -n * (1.0 + math.log(scale * (1 / up + 1 / down))) if scale > 0 else math.inf
    if total == 0.0:
        return math.inf
    if math.isinf(delta):
        return -n * (1.0 + math.log(4 * math.pi * total / n)) / 2
    return huber_likelihood(total, n, delta)[0]


def _least(cost: Callable[[float], float], near: float) -> float:
    """Least value of a cost of ln scale, which falls and then rises."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(cost, bounds=(near - _REACH, near + _REACH), method="bounded", options={"xatol": 1e-9})
    return float(found.fun)
