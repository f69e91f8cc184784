"""The compute-optimal frontier: the plan of every budget of a list, as columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.optimum import optimum
from isoflop.laws.presets import Allocation, Preset
from isoflop.planning.basis import get_basis
from isoflop.planning.compute import parse_compute
from isoflop.planning.plan import plan

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

KNOTS = 65
"""Budgets at which intervals of a longer frontier are taken."""


def frontier(
    law: str | Fit | Preset | Allocation, computes: Iterable[str | float] | Array, *, level: float = 0.95,
    n_draws: int | None = None,
) -> dict[str, Array]:  # fmt: skip
    """Optimal N, D and L of every budget.

    Args:
        law: a fit of a law in N and D, or the name of a published set.
        computes: budgets, as :func:`plan` takes them.
        level: of the intervals.
        n_draws: that the intervals rest on; those of the fit's bootstrap unless given.

    Intervals of a fit are those of :meth:`isoflop.Fit.allocate`; of more budgets than :data:`KNOTS` they are splines in
    ln C through so many of them, which errs by about a hundredth of an interval's width.

    Returns:
        Columns C (FLOPs), N, D, L, tokens_per_param, one value a budget; and from a fit also N_low, N_high, D_low,
        D_high, L_low, L_high, tokens_per_param_low and tokens_per_param_high.

    Raises:
        PlanError: an unreadable budget, or a law that cannot trade N against D.
        LawError: no published set of that name.
    """
    if not 0 < level < 1:
        raise PlanError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")
    budgets = _budgets(computes)
    basis = get_basis(law)
    if isinstance(basis, Allocation):
        plans = [plan(float(c), basis) for c in budgets]
        columns = {"N": [p.n_params for p in plans], "D": [p.n_tokens for p in plans], "L": [p.loss for p in plans]}
        columns["tokens_per_param"] = [p.tokens_per_param for p in plans]
        return {"C": budgets, **{name: np.array(values) for name, values in columns.items()}}
    best = optimum(basis.law, basis.params, budgets)
    curve = {"C": budgets, "N": best.n_params[0], "D": best.n_tokens[0], "L": best.loss[0]}
    curve["tokens_per_param"] = curve["D"] / curve["N"]
    if basis.fit is None or not basis.fit.bootstrap().draws.size:
        return curve
    for name, ends in _intervals(basis.fit, budgets, level, n_draws).items():
        curve[f"{name}_low"], curve[f"{name}_high"] = ends.T
    return curve


def _budgets(computes: Iterable[str | float] | Array) -> Array:
    """FLOPs; of an array every value is looked at at once."""
    if not isinstance(computes, np.ndarray):
        return np.array([parse_compute(c) for c in computes], dtype=np.float64)
    bad = ~(np.isfinite(computes) & (computes > 0))
    if bad.any():
        parse_compute(float(computes[bad][0]))
    return computes.astype(np.float64)


def _intervals(fit: Fit, budgets: Array, level: float, n_draws: int | None) -> dict[str, Array]:
    """Low and high (budgets, 2) of each curve."""
    from isoflop.fitting.allocation import along

    asked = np.unique(budgets)
    at = asked if asked.size <= KNOTS else np.geomspace(asked[0], asked[-1], KNOTS)
    found = along(fit, at, level, None, n_draws)
    ends = {name: np.array([each.interval for each in every]).reshape(-1, 2) for name, every in found.items()}
    if at is asked:
        return {name: values[np.searchsorted(at, budgets)] for name, values in ends.items()}
    from scipy.interpolate import CubicSpline

    return {name: np.exp(CubicSpline(np.log(at), np.log(values))(np.log(budgets))) for name, values in ends.items()}
