"""The paired test: runs of two systems that are of one size, and what the loss changes by from one to the other."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.data import FitData

Array = NDArray[np.float64]

_SAME = 0.01
"""Sizes within a hundredth of each other are one."""

_ALL_SIGNS = 14
"""Up to so many pairs every flip of signs is tried."""

_FLIPS = 20_000


@dataclass(frozen=True)
class Paired:
    """Runs of one size under both systems.

    Attributes:
        n_pairs: sizes that both systems have, runs of one size averaged.
        change: mean relative change of the loss from the baseline to the other system.
        interval: of it, by Student's t over the pairs' ln L.
        level: of the interval.
        p_value: share of the flips of the pairs' signs whose mean is as far from zero (two-sided, no distribution
            assumed but that a system without effect is as likely better as worse).
    """

    n_pairs: int
    change: float
    interval: tuple[float, float]
    level: float
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return vars(self) | {"interval": list(self.interval)}

    def lines(self) -> list[str]:
        """As text."""
        low, high = self.interval
        change = f"{self.change:+.2%} [{low:+.2%}, {high:+.2%}]"
        return [f"paired test, {self.n_pairs} sizes: the loss changes by {change}, p = {self.p_value:.2g}"]


def paired(first: FitData, second: FitData, inputs: tuple[str, ...], level: float) -> Paired | None:
    """The test over sizes that both have, equal in all ``inputs`` within 1 %; None where there are fewer than two."""
    from scipy.special import stdtrit

    changes = _changes(first, second, inputs)
    n = changes.size
    if n < 2:
        return None
    mean, spread = float(changes.mean()), float(changes.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * spread
    low, high = math.expm1(mean - half), math.expm1(mean + half)
    return Paired(n, math.expm1(mean), (low, high), level, _p_value(changes))


def _changes(first: FitData, second: FitData, inputs: tuple[str, ...]) -> Array:
    """ln L of the second less that of the first, one a size."""
    count_of_sizes, numbers = sizes_of(first, second, inputs)
    loss = np.log(np.concatenate([first.columns["L"], second.columns["L"]]))
    of_second = np.arange(loss.size) >= first.n_runs
    means = []
    for rows in (~of_second, of_second):
        count = np.bincount(numbers[rows], minlength=count_of_sizes)
        total = np.bincount(numbers[rows], weights=loss[rows], minlength=count_of_sizes)
        means.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    both = means[1] - means[0]
    return np.asarray(both[np.isfinite(both)])


def sizes_of(first: FitData, second: FitData, inputs: tuple[str, ...]) -> tuple[int, NDArray[np.int64]]:
    """How many sizes there are, and which each run is of: values of an input less than 1 % apart are one value."""
    marks = []
    for name in inputs:
        values = np.log(np.concatenate([first.columns[name], second.columns[name]]))
        order = np.argsort(values)
        steps = np.diff(values[order], prepend=values[order[:1]]) > math.log1p(_SAME)
        mark = np.empty(values.size, dtype=np.int64)
        mark[order] = np.cumsum(steps)
        marks.append(mark)
    found, numbers = np.unique(np.stack(marks), axis=1, return_inverse=True)
    return found.shape[1], np.asarray(numbers).ravel()


def _p_value(changes: Array) -> float:
    if changes.size <= _ALL_SIGNS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=changes.size)))
    else:
        drawn = np.random.default_rng(0).integers(0, 2, (_FLIPS - 1, changes.size)) * 2.0 - 1.0
        signs = np.vstack([np.ones(changes.size), drawn])
    sums = np.abs(signs @ changes)
    return float(np.mean(sums >= abs(changes.sum()) * (1 - 1e-12)))
