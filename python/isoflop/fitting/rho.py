"""What an objective makes of one residual: rho, and its slope psi."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rho(r: Array, delta: float, sides: tuple[float, float] = (1.0, 1.0), corner: float = 0.0) -> Array:
    """r^2/2 up to |r| = delta and delta (|r| - delta/2) beyond; for delta = 0 |r| times the weight of its side.

    Args:
        r: residuals, any shape.
        delta: where rho turns linear.
        sides: weights of residuals above and below zero, for delta = 0.
        corner: rounds |r| to the root of r^2 + corner^2, for delta = 0.
    """
    if delta == 0.0:
        up, down = sides
        return np.asarray((up + down) / 2 * np.hypot(r, corner) + (up - down) / 2 * r)
    size = np.abs(r)
    if np.isinf(delta):
        return np.asarray(r**2 / 2)
    return np.asarray(np.where(size <= delta, r**2 / 2, delta * (size - delta / 2)))


def psi(r: Array, delta: float, sides: tuple[float, float] = (1.0, 1.0), corner: float = 0.0) -> Array:
    """The slope of :func:`rho`; of |r| at zero that from below."""
    if delta > 0.0:
        return np.asarray(np.clip(r, -delta, delta))
    up, down = sides
    if corner > 0.0:
        return np.asarray((up + down) / 2 * r / np.hypot(r, corner) + (up - down) / 2)
    return np.asarray(np.where(r > 0, up, -down))
