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

_AT_ONCE = 4000
"""Budgets, each with all draws, that are held at once."""

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


def along(fit: Fit, computes: Array, level: float | None, kind: str | None) -> dict[str, list[Derived]]:
    """N, D, D/N and L at every budget, as :func:`allocate` gives them at one.

    Raises:
        PlanError: the law does not trade N against D, or has no optimum at some budget.
    """
    require_optimum(fit.law)
    found: dict[str, list[Derived]] = {name: [] for name in CURVES}
    for first in range(0, len(computes), _AT_ONCE):
        budgets = computes[first : first + _AT_ONCE]

        def rows(draws: Array, budgets: Array = budgets) -> Array:
            best = optimum(fit.law, draws, budgets)
            return np.concatenate(_curves(best.n_params, best.n_tokens, best.loss), axis=1)

        of_all = intervals(fit, rows, level, kind)
        for i, name in enumerate(CURVES):
            found[name] += of_all[i * len(budgets) : (i + 1) * len(budgets)]
    return found


def _curves(n: Array, d: Array, loss: Array) -> list[Array]:
    return [n, d, d / n, loss]
