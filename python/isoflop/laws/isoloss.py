"""Models of one loss: the tokens that bring N parameters there, and the cheapest N where models are served too.

In closed form for laws of two terms f = A/N**g + B/D**h inside an outer function: D = (B/(f(L) - A/N**g))**(1/h). Any
other law is searched along ln D, on which its loss falls.

A model that serves V tokens costs 6 N D to train and 2 N V to serve (Sardana 2024, arXiv 2401.00448, eq 3). Along a
curve of equal loss the total is least where V = 3 D (eps_N/eps_D - 1), eps being the elasticities of the loss: so any
N and D are the best for some V, read off the law alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoflop.laws.law import Law
from isoflop.laws.lowest import lowest
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, Terms, losses, terms_of

Array = NDArray[np.float64]

FLOP_PER_PARAM_SERVED = 2.0

_HALVINGS = 80
_MOST = np.log(1e40)
"""ln D past which a loss counts as out of reach."""
_STEP = 1e-5


def log_tokens(law: Law, draws: Array, log_n: Array, loss: Array) -> Array:
    """ln D at which the law gives ``loss`` (draws, ...) at ln N (draws, ...); infinite where no D does."""
    terms = terms_of(law, draws)
    found = _searched(law, draws, log_n, loss) if terms is None else _closed(terms, log_n, loss)
    return np.where(found <= _MOST, found, np.inf)


def _closed(terms: Terms, log_n: Array, loss: Array) -> Array:
    log_a, g, log_b, h = (
        each.reshape(-1, *(1,) * (log_n.ndim - 1)) for each in (terms.log_a, terms.g, terms.log_b, terms.h)
    )
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        left = terms.at_loss(loss) - np.exp(log_a - g * log_n)
        return np.where(left > 0, (log_b - np.log(np.where(left > 0, left, 1.0))) / h, np.inf)


def _searched(law: Law, draws: Array, log_n: Array, loss: Array) -> Array:
    low, high = np.zeros(log_n.shape), np.full(log_n.shape, _MOST)
    reached = losses(law, draws, log_n, high) <= loss
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = losses(law, draws, log_n, middle) > loss
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(reached, high, np.inf)


def cheapest(law: Law, draws: Array, loss: Array, served: Array) -> tuple[Array, Array]:
    """ln N and ln D (draws, cases) of the least 6 N D + 2 N V that give ``loss`` (draws, cases), V = ``served``.

    ``served`` (draws, cases) are tokens weighed as dear as those of training; NaN where no model gives the loss.
    """
    ratio = FLOP_PER_PARAM_SERVED / FLOP_PER_PARAM_TOKEN

    def cost(log_n: Array) -> Array:
        with np.errstate(over="ignore"):
            return log_n + np.log(np.exp(log_tokens(law, draws, log_n, loss)) + ratio * served)

    log_n, inside = lowest(cost, np.zeros(loss.shape), np.full(loss.shape, _MOST))
    log_d = log_tokens(law, draws, log_n, loss)
    good = inside & np.isfinite(log_d)
    return np.where(good, log_n, np.nan), np.where(good, log_d, np.nan)


def best_for(law: Law, draws: Array, log_n: Array, log_d: Array) -> Array:
    """Tokens served (draws, ...) for which N and D are the cheapest of their loss; below 0 where they never are."""
    of_n = losses(law, draws, log_n + _STEP, log_d) - losses(law, draws, log_n - _STEP, log_d)
    of_d = losses(law, draws, log_n, log_d + _STEP) - losses(law, draws, log_n, log_d - _STEP)
    return 3 * np.exp(log_d) * (of_n / of_d - 1)
