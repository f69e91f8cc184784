"""Compute-optimal N, D and L of a fit with their intervals: at one budget, or along many."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.derived import intervals
from isoflop.fitting.uncertainty import Derived
from isoflop.laws.optimum import optimum, require_optimum

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

CURVES = ("N", "D", "tokens_per_param", "L")
"""What changes with the budget."""


def allocate(fit: Fit, compute: float, level: float | None, kind: str | None) -> dict[str, Derived]:
    """Compute-optimal N, D, D/N, L and the exponents a and b.

    Raises:
        FitError: ``compute`` is no positive and finite number.
        PlanError: the law does not trade N against D, or has no optimum there.
    """
    require_optimum(fit.law)
    try:
        flops = float(compute)
    except (TypeError, ValueError):
        flops = math.nan
    if not 0 < flops < math.inf:
        raise FitError(f"compute must be FLOPs, positive and finite, got {compute!r}", hint="fit.allocate(5.76e23)")

    def rows(draws: Array) -> Array:
        best = optimum(fit.law, draws, np.array([flops]))
        return np.concatenate([*_curves(best.n_params, best.n_tokens, best.loss), best.a[:, None], best.b[:, None]], 1)

    return dict(zip((*CURVES, "a", "b"), intervals(fit, rows, level, kind), strict=True))


def along(
    fit: Fit, computes: Array, level: float | None, kind: str | None, n_draws: int | None = None
) -> dict[str, list[Derived]]:
    """N, D, D/N and L at every budget, as :func:`allocate` gives them at one.

    Raises:
        PlanError: the law does not trade N against D, or has no optimum at some budget.
    """
    require_optimum(fit.law)

    def rows(draws: Array) -> Array:
        best = optimum(fit.law, draws, computes)
        return np.concatenate(_curves(best.n_params, best.n_tokens, best.loss), axis=1)

    found, size = intervals(fit, rows, level, kind, n_draws), len(computes)
    return {name: found[i * size : (i + 1) * size] for i, name in enumerate(CURVES)}


def _curves(n: Array, d: Array, loss: Array) -> list[Array]:
    return [n, d, d / n, loss]
