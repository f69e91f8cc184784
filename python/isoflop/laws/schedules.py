"""Laws of learning curves: the loss at a step from all learning rates up to it.

The annealing law sees the schedule through two running sums, which do not depend on its parameters: computed once, they
are the inputs of the law ``tissue``, which is fitted as any other. The multi-power law does not come apart like that:
each fall of the learning rate takes off a loss that grows with what was trained since, at a pace set by parameters, so
that one value is a sum over all earlier steps. It is no formula of a point, and has its own functions here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import LawError, nearest
from isoflop.laws.law import Parameter

Array = NDArray[np.float64]

_CELLS = 2_000_000
"""Steps times moves of the rate held at once."""


def annealing_sums(lr: ArrayLike, *, momentum: float = 0.999, warmup: int = 0) -> tuple[Array, Array]:
    """S1 and S2 after every step (Tissue 2024, arXiv 2408.11029): inputs of the law ``tissue``.

    S1 is the running sum of learning rates, S2 that of their falls smoothed by ``momentum``:
    m_i = momentum m_(i-1) + lr_(i-1) - lr_i.

    Args:
        lr: learning rate of every step, shape (steps,).
        momentum: of the smoothing; .999 in the paper.
        warmup: steps at the start that count as trained at the rate that follows them.

    Raises:
        LawError: a rate is negative or not finite, or the warm-up takes all steps.
    """
    rates = _rates(lr)
    if not 0 <= warmup < rates.size:
        raise LawError(f"warmup must lie between 0 and {rates.size - 1} steps, got {warmup}")
    rates = rates.copy()
    rates[:warmup] = rates[warmup]
    falls = -np.diff(rates, prepend=rates[0])
    smoothed = itertools.accumulate(falls.tolist(), lambda m, fall: momentum * m + fall)
    return np.cumsum(rates), np.cumsum(np.fromiter(smoothed, np.float64, rates.size))


@dataclass(frozen=True)
class Falls:
    """What the multi-power law reads of a schedule at p steps t, with k steps, or groups of them, where the rate moved.

    Attributes:
        area: sum of learning rates up to t, S(t), shape (p,).
        drops: lr_(k-1) - lr_k, negative where the rate rose, as in warm-up, shape (k,).
        rates: lr_k, shape (k,).
        since: sum of learning rates from k to t, S_k(t), zero where k lies ahead, shape (p, k).
    """

    area: Array
    drops: Array
    rates: Array
    since: Array


@dataclass(frozen=True)
class MultiPower:
    """The multi-power law: what endless training at these rates gives, less what every fall of the rate has taken off.

    L(t) = L_0 + A S(t)**-alpha - B sum_(k <= t) (lr_(k-1) - lr_k) G(lr_k**-gamma S_k(t)), G(x) = 1 - (1 + C x)**-beta.
    S(t) sums the learning rates up to step t, S_k(t) those from k to t. The sum begins at lr_0 = 0, so that the rise of
    the warm-up adds about B times the peak: only so do the authors' constants reach their curves.
    """

    name: str = "multi-power"
    formula: str = (
        "L(t) = L_0 + A*S(t)**(-alpha) - B*sum_k (lr_(k-1) - lr_k)*(1 - (1 + C*lr_k**(-gamma)*S_k(t))**(-beta))"
    )
    latex: str = (
        "L(t) = L_{0} + A\\,S(t)^{-\\alpha} "
        "- B\\,\\sum_{k \\le t} \\left(\\mathrm{lr}_{k-1} - \\mathrm{lr}_{k}\\right)\\,"
        "\\left(1 - \\left(1 + C\\,\\mathrm{lr}_{k}^{-\\gamma}\\,S_{k}(t)\\right)^{-\\beta}\\right)"
    )
    source: str = "Luo 2025 (arXiv 2503.12811); the authors' code"
    note: str = (
        "a sum over all earlier moves of the learning rate, warm-up among them; A and B belong to its unit and peak"
    )
    inputs: tuple[str, ...] = ("lr",)
    signed: tuple[str, ...] = ()
    output: str = "L"
    parameters: tuple[Parameter, ...] = (
        Parameter("L_0", "loss that no amount of training removes", "nats/token", role="floor"),
        Parameter("A", "reducible loss at S = 1", "nats/token * S**alpha"),
        Parameter("alpha", "how fast the loss falls with the sum of learning rates", "1", (1e-3, 5.0), "exponent"),
        Parameter("B", "loss that a fall of the learning rate by one takes off in the end", "nats/token"),
        Parameter("C", "how fast it does", "lr**(gamma - 1)"),
        Parameter("beta", "power of its approach to the end", "1", (1e-3, 5.0), "exponent"),
        Parameter("gamma", "how much faster at small learning rates", "1", (1e-3, 5.0), "exponent"),
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    def predict(self, params: Mapping[str, float], lr: ArrayLike, *, steps: ArrayLike | None = None) -> Array:
        """Loss (nats per token) after steps of a schedule.

        Args:
            params: constants by name.
            lr: learning rate of every step from the first, warm-up included, shape (steps,).
            steps: which steps to answer for, counted from 1; all of them unless given.

        Raises:
            LawError: a parameter is missing or unknown, a rate is negative or not finite, a step out of range.
        """
        return np.concatenate([self.value(params, falls) for falls in _each_fall(lr, steps)])

    def jacobian(
        self, params: Mapping[str, float], lr: ArrayLike, *, steps: ArrayLike | None = None
    ) -> tuple[Array, Array]:
        """As :meth:`predict`, with the derivatives by the parameters in order, shape (7, steps)."""
        parts = [self.slopes(params, falls) for falls in _each_fall(lr, steps)]
        return np.concatenate([loss for loss, _ in parts]), np.concatenate([rows for _, rows in parts], axis=1)

    def value(self, params: Mapping[str, float], falls: Falls) -> Array:
        """Loss (p,) where the schedule reads so.

        Raises:
            LawError: a parameter is missing or unknown.
        """
        floor, a, alpha, b, c, beta, gamma = self._vector(params)
        left = np.exp(-beta * np.log1p(c * _progress(falls, gamma)))
        return np.asarray(floor + a * falls.area**-alpha - b * ((1 - left) @ falls.drops))

    def slopes(self, params: Mapping[str, float], falls: Falls) -> tuple[Array, Array]:
        """As :meth:`value`, with the derivatives by the parameters in order, shape (7, p)."""
        floor, a, alpha, b, c, beta, gamma = self._vector(params)
        power = falls.area**-alpha
        x = _progress(falls, gamma)
        pace = np.log1p(c * x)
        left = np.exp(-beta * pace)
        ended = np.isinf(x)
        bent = beta * left * np.divide(x, 1 + c * x, out=np.full_like(x, 1 / c), where=~ended)
        gain = (1 - left) @ falls.drops
        ln_rates = np.log(np.where(falls.rates > 0, falls.rates, 1.0))
        paced = np.multiply(left, pace, out=np.zeros_like(x), where=~ended)
        rows = [
            np.ones_like(power),
            power,
            -a * power * np.log(falls.area),
            -gain,
            -b * (bent @ falls.drops),
            -b * (paced @ falls.drops),
            b * c * (bent @ (ln_rates * falls.drops)),
        ]
        return floor + a * power - b * gain, np.array(rows)

    def _vector(self, params: Mapping[str, float]) -> tuple[float, ...]:
        for name in params:
            if name not in self.names:
                raise LawError(f"{self.name} has no parameter {name!r}", hint=nearest(name, self.names))
        for name in self.names:
            if name not in params:
                raise LawError(f"{self.name} needs the parameter {name!r}", hint=f"{self.name}: {self.formula}")
        return tuple(float(params[name]) for name in self.names)


def _progress(falls: Falls, gamma: float) -> Array:
    """lr_k**-gamma S_k(t), without end once there was training after a rate of 0; shape (p, k)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(falls.since > 0, falls.since * falls.rates**-gamma, 0.0)


def _each_fall(lr: ArrayLike, steps: ArrayLike | None) -> Iterator[Falls]:
    """Every move of the rate by itself, for a part of the steps at a time."""
    rates = _rates(lr)
    at = np.arange(1, rates.size + 1) if steps is None else np.asarray(steps, dtype=np.int64)
    if at.size and not (at.min() >= 1 and at.max() <= rates.size):
        raise LawError(f"steps must lie between 1 and {rates.size}, got {at.min()} to {at.max()}")
    area = np.cumsum(rates)
    drops = -np.diff(rates, prepend=0.0)
    k = np.flatnonzero(drops)
    before = (area - rates)[k]
    rows = max(1, _CELLS // max(1, k.size))
    for first in range(0, max(1, at.size), rows):
        now = area[at[first : first + rows] - 1]
        ahead = at[first : first + rows, None] <= k
        yield Falls(now, drops[k], rates[k], np.where(ahead, 0.0, np.maximum(now[:, None] - before, 0.0)))


def _rates(lr: ArrayLike) -> Array:
    rates = np.asarray(lr, dtype=np.float64)
    if rates.ndim != 1 or not rates.size:
        raise LawError(f"a schedule is one learning rate a step, got shape {rates.shape}")
    wrong = np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))
    if wrong.size:
        raise LawError(f"the learning rate of step {wrong[0] + 1} is {rates[wrong[0]]}: rates are finite, 0 or more")
    return rates


MULTI_POWER = MultiPower()
"""The multi-power law."""
