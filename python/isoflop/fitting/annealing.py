"""Loss along a run as a function of its learning rates: three published forms and what they read off a schedule.

steps:        L = L_0 + A s**-alpha                                       (any power-law learning curve; blind to lr)
annealing:    L = L_0 + A S_1**-alpha - C S_2                             (the law ``tissue``)
multi-power:  L = L_0 + A S**-alpha - B sum_k (lr_(k-1) - lr_k) G(...)    (isoflop.laws.MULTI_POWER)

The annealing form counts the warm-up at its peak rate, the multi-power form as it was. Moves of the learning rate that
lie close together are one to the multi-power form, so that a curve of a hundred thousand steps is fitted in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError
from isoflop.laws.schedules import MULTI_POWER, Falls, annealing_sums

Array = NDArray[np.float64]

_SHARES = 64
"""Drops of the learning rate are taken together until they add up to this share of the peak, or a point is reached."""


@dataclass(frozen=True)
class Features:
    """What the forms read, at ``at`` steps of one run; p points, k groups of drops.

    Attributes:
        at: steps, shape (p,).
        peak: the largest learning rate.
        area_at_peak: sum of learning rates so far with the warm-up counted at the peak, shape (p,).
        annealed: S_2, shape (p,).
        fallen: sum of the falls of the learning rate since the warm-up, shape (p,).
        falls: what the multi-power law reads, k groups of moves.
    """

    at: Array
    peak: float
    area_at_peak: Array
    annealed: Array
    fallen: Array
    falls: Falls

    def select(self, rows: NDArray[np.bool_]) -> Features:
        """The points where ``rows`` is true."""
        falls = replace(self.falls, area=self.falls.area[rows], since=self.falls.since[rows])
        return Features(
            self.at[rows], self.peak, self.area_at_peak[rows], self.annealed[rows], self.fallen[rows], falls
        )


def read_schedule(schedule: ArrayLike, at: ArrayLike, *, warmup: int = 0) -> Features:
    """The features of a schedule at some of its steps.

    Args:
        schedule: learning rate of step 1, 2, ... T, shape (T,).
        at: steps, from 1 to T, shape (p,).
        warmup: steps of warm-up at the schedule's start.

    Raises:
        FitError: a learning rate is negative, all are zero, or a step lies outside the schedule.
    """
    lr = np.asarray(schedule, dtype=np.float64)
    steps = np.asarray(at).astype(np.int64)
    bad = np.flatnonzero(~(np.isfinite(lr) & (lr >= 0)))
    if lr.ndim != 1 or bad.size or not lr.any():
        where = f"step {bad[0] + 1} has {lr[bad[0]]:g}" if bad.size and lr.ndim == 1 else f"shape {lr.shape}"
        raise FitError(f"a schedule is one learning rate a step, none negative, not all zero: {where}")
    if steps.size and not (steps.min() >= 1 and steps.max() <= lr.size):
        raise FitError(f"step {steps.max() if steps.max() > lr.size else steps.min()} is not among the {lr.size} steps")
    if not 0 <= warmup < lr.size:
        raise FitError(f"warmup must be from 0 to {lr.size - 1} steps, got {warmup}")
    peaked = np.concatenate([np.full(warmup, lr[warmup]), lr[warmup:]])
    area_at_peak, annealed = annealing_sums(lr, warmup=warmup)
    area = np.cumsum(lr)
    moved = np.floor(np.cumsum(np.abs(np.diff(lr, prepend=0.0))) * (_SHARES / lr.max()))
    edges = np.unique(np.concatenate([steps, np.flatnonzero(np.diff(moved)) + 1, [0, warmup, lr.size]]))
    end, drops, rates, before = _groups(lr, area, edges)
    since = np.where(end <= steps[:, None], area[steps - 1][:, None] - before, 0.0)
    return Features(
        at=steps.astype(np.float64),
        peak=float(lr.max()),
        area_at_peak=area_at_peak[steps - 1],
        annealed=annealed[steps - 1],
        fallen=np.cumsum(np.maximum(-np.diff(peaked, prepend=peaked[0]), 0.0))[steps - 1],
        falls=Falls(area[steps - 1], drops, rates, np.maximum(since, 0.0)),
    )


def _groups(lr: Array, area: Array, edges: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array, Array, Array]:
    """Last step, drop, and rate and area before it, averaged by size of the drop, of the groups that have any drop."""
    drop = np.concatenate([[0.0], lr[:-1]]) - lr
    size = np.abs(drop)
    before = area - lr

    def between(values: Array) -> Array:
        summed = np.concatenate([[0.0], np.cumsum(values)])
        return np.asarray(summed[edges[1:]] - summed[edges[:-1]])

    weight = between(size)
    some = weight > 1e-12 * max(float(lr.max()), 1e-300)
    return (
        edges[1:][some],
        between(drop)[some],
        between(size * lr)[some] / weight[some],
        between(size * before)[some] / weight[some],
    )


@dataclass(frozen=True)
class Form:
    """One form of the loss along a run.

    Attributes:
        name: how it is asked for.
        bounds: of the parameters by name, in printed order; all positive.
        anneals: which parameter scales the gain from a falling learning rate; None where the form is blind to it.
        slopes: loss at features, nats per token, shape (p,), and its derivatives by the parameters, shape (params, p).
        starts: where a search begins, for a run of that peak rate and its largest and smallest loss.
    """

    name: str
    bounds: Mapping[str, tuple[float, float]]
    anneals: str | None
    slopes: Callable[[Mapping[str, float], Features], tuple[Array, Array]]
    starts: Callable[[Features, float, float], list[dict[str, float]]]

    def value(self, params: Mapping[str, float], features: Features) -> Array:
        """Loss at features, nats per token, shape (p,)."""
        return self.slopes(params, features)[0]


def _power(p: Mapping[str, float], x: Array) -> tuple[Array, list[Array]]:
    power = x ** -p["alpha"]
    return p["L_0"] + p["A"] * power, [np.ones_like(x), power, -p["A"] * power * np.log(x)]


def _steps(p: Mapping[str, float], f: Features) -> tuple[Array, Array]:
    loss, slopes = _power(p, f.at)
    return loss, np.array(slopes)


def _annealing(p: Mapping[str, float], f: Features) -> tuple[Array, Array]:
    loss, slopes = _power(p, f.area_at_peak)
    return loss - p["C"] * f.annealed, np.array([*slopes, -f.annealed])


def _multi_power(p: Mapping[str, float], f: Features) -> tuple[Array, Array]:
    return MULTI_POWER.slopes(p, f.falls)


def _power_starts(x: Array, high: float, low: float) -> list[dict[str, float]]:
    """Powers through the first and the lowest loss, at three shares of the lowest for the floor."""
    starts = []
    for share, alpha in ((0.6, 0.2), (0.8, 0.4), (0.9, 0.6)):
        starts.append({"L_0": share * low, "A": (high - share * low) * float(x.min()) ** alpha, "alpha": alpha})
    return starts


def _steps_starts(f: Features, high: float, low: float) -> list[dict[str, float]]:
    return _power_starts(f.at, high, low)


def _annealing_starts(f: Features, high: float, low: float) -> list[dict[str, float]]:
    return [{**start, "C": 1.5e-4 / f.peak} for start in _power_starts(f.area_at_peak, high, low)]


def _multi_power_starts(f: Features, high: float, low: float) -> list[dict[str, float]]:
    shape = [(0.1, 0.6, 0.6), (0.03, 0.4, 0.5)]
    return [
        {**start, "B": 0.12 / f.peak, "C": gain * f.peak ** (gamma - 1), "beta": beta, "gamma": gamma}
        for start in _power_starts(f.falls.area, high, low)
        for gain, beta, gamma in shape
    ]


_POWER = {"L_0": (1e-3, 1e2), "A": (1e-6, 1e6), "alpha": (0.01, 3.0)}
_GAIN = {"B": (1e-3, 1e8), "C": (1e-6, 1e6), "beta": (0.05, 2.0), "gamma": (0.1, 1.2)}
"""Luo 2025 finds beta near 0.6 and gamma near 0.65; few schedules leave them loose, so they are kept near."""

FORMS: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            Form("steps", _POWER, None, _steps, _steps_starts),
            Form("annealing", {**_POWER, "C": (1e-8, 1e8)}, "C", _annealing, _annealing_starts),
            Form("multi-power", {**_POWER, **_GAIN}, "B", _multi_power, _multi_power_starts),
        )
    }
)
