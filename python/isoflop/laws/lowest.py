"""The lowest point of a curve, of many at once: a wide grid, golden sections around its lowest point, two parabolas."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_GRID = 64
_SECTIONS = 52
_GOLDEN = (math.sqrt(5) - 1) / 2
_STEP = 1e-4


def lowest(curve: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Where ``curve`` is lowest between ``low`` and ``high``, all of one shape, and whether that is inside.

    ``curve`` gives a value for every place of an array of that shape; where it is not finite it is not lowest.
    """
    share = np.linspace(0, 1, _GRID)
    values = np.stack([curve(low + part * (high - low)) for part in share])
    begin = np.argmin(np.where(np.isfinite(values), values, np.inf), axis=0)
    inside = (begin > 0) & (begin < _GRID - 1)
    width = (high - low) / (_GRID - 1)
    left, right = (low + np.clip(begin + side, 0, _GRID - 1) * width for side in (-1, 1))
    for _ in range(_SECTIONS):
        nearer, farther = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
        falls = ~(curve(nearer) <= curve(farther))
        left, right = np.where(falls, nearer, left), np.where(falls, right, farther)
    return _parabolas(curve, (left + right) / 2), inside


def _parabolas(curve: Callable[[Array], Array], at: Array) -> Array:
    """Golden sections end where the curve is flat to rounding, about 1e-7 from the lowest point."""
    for _ in range(2):
        below, here, above = (curve(at + step) for step in (-_STEP, 0.0, _STEP))
        with np.errstate(invalid="ignore"):  # of curves that are nowhere finite
            bend = above - 2 * here + below
            move = np.divide(_STEP * (below - above), 2 * bend, out=np.zeros_like(bend), where=bend > 0)
        at = at + np.clip(move, -_STEP, _STEP)
    return at
