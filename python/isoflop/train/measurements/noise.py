"""The gradient noise scale of a run, from squared gradients of half a batch and of a whole one.

McCandlish et al. 2018 (arXiv 1812.06162), appendix A.1: numerator and denominator are averaged over steps, each by
itself, before they are divided.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError

Array = NDArray[np.float64]

HALF, WHOLE = "grad_square_half", "grad_square"


def of_half(squares: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """The mean squared gradients (K, 2) of half a batch and of all of it, from those of a ``parts``-th of it.

    Both are |G|^2 + tr(Sigma)/b in expectation, b being the tokens they are of: a line in 1/b. Those of a model that
    diverges may be endless, and what follows of them no number.
    """
    part, whole = squares.T
    with np.errstate(invalid="ignore"):
        return np.stack([whole + (part - whole) / (parts - 1), whole], axis=1)


def noise_scale(points: Mapping[str, NDArray[np.float64]], *, batch_tokens: int, since: int = 0) -> float:
    """B_simple = tr(Sigma)/|G|^2 in tokens over the points of a run after step ``since``; infinite where |G|^2 drowns.

        |G|^2 = 2 g_whole - g_half,   tr(Sigma) = B (g_half - g_whole)

    with g_whole and g_half the mean squared gradients of B and of B/2 tokens. Points are weighted by the steps they
    are means over.

    Raises:
        FitError: the run did not measure them, or has no point after ``since``.
    """
    if HALF not in points:
        raise FitError("these points have no squared gradients", hint='train with measurements = ["noise"]')
    steps = np.diff(points["step"], prepend=0.0)
    chosen = (points["step"] > since) & np.isfinite(points[HALF]) & np.isfinite(points[WHOLE])
    if not chosen.any():
        raise FitError(f"there are no squared gradients after step {since}")
    half, whole = (float(np.average(points[name][chosen], weights=steps[chosen])) for name in (HALF, WHOLE))
    signal, noise = 2 * whole - half, batch_tokens * (half - whole)
    return noise / signal if signal > 0 else float("inf")
