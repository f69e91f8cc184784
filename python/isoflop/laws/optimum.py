"""The compute-optimal N and D: the minimum of a law in N and D under C = 6 N D.

In closed form for laws whose N and D stand in two terms f = A/N**g + B/D**h inside an outer function: with D = C/(6 N),
df/dN = 0 gives N* = (g A/(h B))**(1/(g+h)) (C/6)**(h/(g+h)) and D* = C/(6 N*) (Hoffmann 2022, eq 4). Kaplan's L(N, D)
is the same with A = N_c**g, g = alpha_N/alpha_D, B = D_c and h = 1: an outer power does not move the minimum.
Any other law is searched along ln N: over a wide grid, then by golden sections around its lowest point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.catalogue import LAWS
from isoflop.laws.law import Law
from isoflop.laws.lowest import lowest

Array = NDArray[np.float64]

FLOP_PER_PARAM_TOKEN = 6.0

_STEP = 1e-2
"""In ln C, of the central difference that gives the exponents of a searched optimum."""


@dataclass(frozen=True)
class Optimum:
    """Compute-optimal allocations, one row a draw of the parameters and one column a budget.

    Attributes:
        n_params, n_tokens, loss: shape (draws, budgets).
        a, b: exponents of N* and D* in C, at the first budget where they change with it, shape (draws,).
    """

    n_params: Array
    n_tokens: Array
    loss: Array
    a: Array
    b: Array


@dataclass(frozen=True)
class Terms:
    """ln A, g, ln B and h of the two terms A/N**g and B/D**h, each an array over draws.

    ``at_loss`` is their sum where the law gives a loss (draws, ...); not finite below what it can give.
    """

    log_a: Array
    g: Array
    log_b: Array
    h: Array
    at_loss: Callable[[Array], Array]


CLOSED: dict[str, Callable[[dict[str, Array]], Terms]] = {
    "chinchilla": lambda p: Terms(
        np.log(p["A"]), p["alpha"], np.log(p["B"]), p["beta"], lambda loss: loss - _like(p["E"], loss)
    ),
    "chinchilla-tied": lambda p: Terms(
        np.log(p["A"]), p["alpha"], np.log(p["B"]), p["alpha"], lambda loss: loss - _like(p["E"], loss)
    ),
    "kaplan": lambda p: Terms(
        p["alpha_N"] / p["alpha_D"] * np.log(p["N_c"]),
        p["alpha_N"] / p["alpha_D"],
        np.log(p["D_c"]),
        np.ones_like(p["alpha_D"]),
        lambda loss: loss ** (1 / _like(p["alpha_D"], loss)),
    ),
    "skaling": lambda p: Terms(
        np.zeros_like(p["alpha"]),
        p["alpha"],
        np.log(p["R"]),
        p["beta"],
        lambda loss: ((loss - _like(p["E"], loss)) / _like(p["A"], loss)) ** (1 / _like(p["k"], loss)),
    ),
}
"""Laws with two terms, by name."""


def terms_of(law: Law, draws: Array) -> Terms | None:
    """The two terms of a shipped law, at draws of its parameters; None for any other law."""
    made = CLOSED.get(law.name)
    if made is None or law != LAWS[law.name]:
        return None
    return made(dict(zip(law.names, draws.T, strict=True)))


def _like(values: Array, other: Array) -> Array:
    """(draws,) beside an array (draws, ...)."""
    return values.reshape(-1, *(1,) * (other.ndim - 1))


SIZES = ("N", "D")
"""What a compute budget is shared out among."""


def has_optimum(law: Law, inputs: Sequence[str] = SIZES, output: str = "L") -> bool:
    """Whether the law gives this ``output``, of these ``inputs`` and of nothing else: L of N and D is traded."""
    return set(law.inputs) == set(inputs) and law.output == output


def require_optimum(law: Law, inputs: Sequence[str] = SIZES, output: str = "L") -> None:
    """Refuse a law that is not of these ``inputs`` and this ``output``.

    Raises:
        PlanError: it does not answer the question; the hint names the laws that do.
    """
    if has_optimum(law, inputs, output):
        return
    known = ", ".join(sorted(name for name, other in LAWS.items() if has_optimum(other, inputs, output)))
    trades = set(SIZES) <= set(inputs) and not set(SIZES) <= set(law.inputs)
    lacks = "it cannot trade N against D" if trades else f"needed: {output} of {', '.join(inputs)}"
    raise PlanError(
        f"{law.name} ({law.formula}) sees only {', '.join(law.inputs)}: {lacks}",
        hint=f"laws that do: {known}",
    )


def optimum(law: Law, draws: Array, computes: Array) -> Optimum:
    """The optimum for every draw of natural parameters (draws, len(law.names)) and every budget in FLOPs (budgets,).

    Raises:
        PlanError: the law falls towards ever larger or ever smaller N at some budget.
    """
    budgets = np.log(computes / FLOP_PER_PARAM_TOKEN)
    if (terms := terms_of(law, draws)) is not None:
        log_n, a = _closed(terms, budgets)
    else:
        log_n = _search(law, draws, budgets)
        around = _search(law, draws, budgets[:1] + np.array([-_STEP, _STEP]))
        a = (around[:, 1] - around[:, 0]) / (2 * _STEP)
    log_d = budgets - log_n
    return Optimum(np.exp(log_n), np.exp(log_d), losses(law, draws, log_n, log_d), a, 1 - a)


def _closed(terms: Terms, budgets: Array) -> tuple[Array, Array]:
    """ln N* (draws, budgets) and its slope in ln C (draws,)."""
    total = terms.g + terms.h
    a = terms.h / total
    at_one = (np.log(terms.g / terms.h) + terms.log_a - terms.log_b) / total
    return at_one[:, None] + a[:, None] * budgets, a


def losses(law: Law, draws: Array, log_n: Array, log_d: Array) -> Array:
    """Loss at ln N and ln D, (draws, ...)."""
    at = {"N": np.exp(log_n), "D": np.exp(log_d)}
    columns = draws.T.reshape(len(law.names), len(draws), *(1,) * (log_n.ndim - 1))
    with np.errstate(over="ignore"):  # far from the optimum a power may overflow; it is then no minimum
        return np.asarray(law.code.evaluate(list(columns), [at[name] for name in law.inputs]), dtype=np.float64)


def _search(law: Law, draws: Array, budgets: Array) -> Array:
    """ln N* (draws, budgets), between one parameter and one token."""
    shape = (len(draws), len(budgets))

    def loss(log_n: Array) -> Array:
        return losses(law, draws, log_n, budgets - log_n)

    log_n, inside = lowest(loss, np.zeros(shape), np.broadcast_to(budgets, shape))
    if not inside.all():
        raise PlanError(
            f"{law.name} has no optimum at some budget: the loss falls all the way to one parameter or to one token",
            hint="check the constants, or ask for a larger budget",
        )
    return log_n
