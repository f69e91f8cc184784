"""The compute-optimal N and D in closed form: the minimum of a two-term law under C = 6 N D.

With f = A/N**g + B/D**h inside the law and D = C/(6 N), df/dN = 0 gives (Hoffmann 2022, eq 4)
N* = (g A/(h B))**(1/(g+h)) (C/6)**(h/(g+h)) and D* = C/(6 N*). Kaplan's L(N, D) is the same with
A = N_c**g, g = alpha_N/alpha_D, B = D_c and h = 1: an outer power does not move the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.catalogue import LAWS
from isoflop.laws.law import Law

Array = NDArray[np.float64]

FLOP_PER_PARAM_TOKEN = 6.0


@dataclass(frozen=True)
class Optimum:
    """Compute-optimal allocations, one row a draw of the parameters and one column a budget.

    Attributes:
        n_params, n_tokens, loss: shape (draws, budgets).
        a, b: exponents of N* and D* in C, shape (draws,).
    """

    n_params: Array
    n_tokens: Array
    loss: Array
    a: Array
    b: Array


def has_optimum(law: Law) -> bool:
    """Whether the law trades N against D: one term in each."""
    return sorted(term.input for term in law.form.terms) == ["D", "N"]


def require_optimum(law: Law) -> None:
    """Refuse a law that does not see both N and D.

    Raises:
        PlanError: no compute-optimal allocation; the hint names the laws that have one.
    """
    if not has_optimum(law):
        known = ", ".join(sorted(name for name, other in LAWS.items() if has_optimum(other)))
        raise PlanError(
            f"{law.name} ({law.formula}) sees only {', '.join(law.inputs)}: it cannot trade N against D",
            hint=f"laws with a compute optimum: {known}",
        )


def optimum(law: Law, draws: Array, computes: Array) -> Optimum:
    """Closed form for every draw of natural parameters (draws, len(law.names)) and every budget in FLOPs (budgets,)."""
    vectors = np.array([law.form.to_vector(dict(zip(law.names, row, strict=True))) for row in draws.tolist()])
    at = {term.input: 2 + 2 * k for k, term in enumerate(law.form.terms)}
    outer = vectors[:, :1]
    c_n, g_n, c_d, g_d = (vectors[:, i, None] / outer for i in (at["N"], at["N"] + 1, at["D"], at["D"] + 1))
    log_budget = np.log(computes / FLOP_PER_PARAM_TOKEN)
    a = g_d / (g_n + g_d)
    log_n = (np.log(g_n / g_d) + c_n - c_d) / (g_n + g_d) + a * log_budget
    log_d = log_budget - log_n
    inner = vectors[:, 1, None] + np.exp(c_n - g_n * log_n) + np.exp(c_d - g_d * log_d)
    return Optimum(np.exp(log_n), np.exp(log_d), inner**outer, a[:, 0], 1 - a[:, 0])
