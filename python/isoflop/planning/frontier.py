"""The compute-optimal frontier: the plan of every budget of a list, as columns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.fitting.allocation import along
from isoflop.fitting.fitted import Fit
from isoflop.laws.optimum import optimum
from isoflop.laws.presets import Allocation, Preset
from isoflop.planning.basis import get_basis
from isoflop.planning.compute import parse_compute
from isoflop.planning.plan import plan

Array = NDArray[np.float64]


def frontier(
    law: str | Fit | Preset | Allocation, computes: Iterable[str | float], *, level: float = 0.95
) -> dict[str, Array]:
    """Optimal N, D and L of every budget.

    Args:
        law: a fit of a law in N and D, or the name of a published set.
        computes: budgets, as :func:`plan` takes them.
        level: of the intervals.

    Intervals of a fit are those of :meth:`isoflop.Fit.allocate`.

    Returns:
        Columns C (FLOPs), N, D, L, tokens_per_param, one value a budget; and from a fit also N_low, N_high, D_low,
        D_high, L_low, L_high, tokens_per_param_low and tokens_per_param_high.

    Raises:
        PlanError: an unreadable budget, or a law that cannot trade N against D.
        LawError: no published set of that name.
    """
    if not 0 < level < 1:
        raise PlanError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")
    budgets = np.array([parse_compute(c) for c in computes], dtype=np.float64)
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
    for name, quantities in along(basis.fit, budgets, level, None).items():
        ends = np.array([quantity.interval for quantity in quantities]).reshape(-1, 2)
        curve[f"{name}_low"], curve[f"{name}_high"] = ends.T
    return curve
