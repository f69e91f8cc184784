"""Models of one loss: the D that brings an N there, or the N a D, and the cheapest N where models are served too.

In closed form for laws of two terms f = A/N**g + B/D**h inside an outer function: D = (B/(f(L) - A/N**g))**(1/h). Any
other law is searched along ln D, or ln N, on which its loss falls.

A model that serves V tokens costs 6 N D to train and 2 N V to serve (Sardana 2024, arXiv 2401.00448, eq 3). Along a
curve of equal loss the total is least where V = 3 D (eps_N/eps_D - 1), eps being the elasticities of the loss: so any
N and D are the best for some V, read off the law alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isoflop.laws.law import Law
from isoflop.laws.lowest import lowest
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, Terms, losses, terms_of

Array = NDArray[np.float64]

FLOP_PER_PARAM_SERVED = 2.0

_HALVINGS = 80
_MOST = np.log(1e40)
"""ln D or ln N past which a loss counts as out of reach."""
_STEP = 1e-5


def log_tokens(law: Law, draws: Array, log_n: Array, loss: Array) -> Array:
    """ln D at which the law gives ``loss`` (draws, ...) at ln N (draws, ...); infinite where no D does."""
    if (terms := terms_of(law, draws)) is None:
        return _searched(lambda log_d: losses(law, draws, log_n, log_d), loss)
    return _closed(terms.at_loss(loss), (terms.log_a, terms.g), log_n, (terms.log_b, terms.h))


def log_params(law: Law, draws: Array, log_d: Array, loss: Array) -> Array:
    """ln N at which the law gives ``loss`` (draws, ...) at ln D (draws, ...); infinite where no N does."""
    if (terms := terms_of(law, draws)) is None:
        return _searched(lambda log_n: losses(law, draws, log_n, log_d), loss)
    return _closed(terms.at_loss(loss), (terms.log_b, terms.h), log_d, (terms.log_a, terms.g))


def _closed(total: Array, known: tuple[Array, Array], log_x: Array, other: tuple[Array, Array]) -> Array:
    """Where the ``other`` of two terms, each its scale's logarithm and its exponent, makes up the ``total``."""
    log_a, g, log_b, h = (each.reshape(-1, *(1,) * (log_x.ndim - 1)) for each in (*known, *other))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        left = total - np.exp(log_a - g * log_x)
        found = np.where(left > 0, (log_b - np.log(np.where(left > 0, left, 1.0))) / h, np.inf)
    return np.where(found <= _MOST, found, np.inf)


def _searched(falling: Callable[[Array], Array], loss: Array) -> Array:
    """Where a loss that falls with the logarithm of its variable is ``loss``."""
    low, high = np.zeros(loss.shape), np.full(loss.shape, _MOST)
    reached = falling(high) <= loss
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = falling(middle) > loss
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(reached, high, np.inf)


def cheapest(law: Law, draws: Array, loss: Array, served: Array) -> tuple[Array, Array]:
    """ln N and ln D (draws, cases) of the least 6 N D + 2 N V that give ``loss`` (draws, cases), V = ``served``.

    ``served`` (draws, cases) are tokens weighed as dear as those of training; NaN where no model gives the loss.
    """
    if (terms := terms_of(law, draws)) is not None:
        log_n, log_d = _by_share(terms, terms.at_loss(loss), served)
        good = (log_n > 0) & (log_n < _MOST) & (log_d <= _MOST)
        return np.where(good, log_n, np.nan), np.where(good, log_d, np.nan)
    ratio = FLOP_PER_PARAM_SERVED / FLOP_PER_PARAM_TOKEN

    def cost(log_n: Array) -> Array:
        with np.errstate(over="ignore"):
            return log_n + np.log(np.exp(log_tokens(law, draws, log_n, loss)) + ratio * served)

    log_n, inside = lowest(cost, np.zeros(loss.shape), np.full(loss.shape, _MOST))
    log_d = log_tokens(law, draws, log_n, loss)
    good = inside & np.isfinite(log_d)
    return np.where(good, log_n, np.nan), np.where(good, log_d, np.nan)


def _by_share(terms: Terms, total: Array, served: Array) -> tuple[Array, Array]:
    """ln N and ln D where V = 3 D (eps_N/eps_D - 1), the terms making up the ``total`` (draws, cases).

    Sought is the share of N's term, as x = ln(share/(1 - share)): eps_N/eps_D = g/h e**x and D rise with it. Where V is
    far above D, D is found as well as N; along ln N it would not be, for there D rises without end.
    """
    log_a, g, log_b, h = (each.reshape(-1, 1) for each in (terms.log_a, terms.g, terms.log_b, terms.h))

    def sizes(x: Array) -> tuple[Array, Array]:
        return (log_a + np.logaddexp(0, -x) - log_total) / g, (log_b + np.logaddexp(0, x) - log_total) / h

    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        log_total = np.log(np.where(total > 0, total, np.nan))
        low = np.broadcast_to(np.log(h / g), total.shape)
        high = np.full(total.shape, _MOST)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            best = 3 * np.exp(sizes(middle)[1]) * (g / h * np.exp(middle) - 1) >= served
            low, high = np.where(best, low, middle), np.where(best, middle, high)
        return sizes(low)


def best_for(law: Law, draws: Array, log_n: Array, log_d: Array) -> Array:
    """Tokens served (draws, ...) for which N and D are the cheapest of their loss; below 0 where they never are."""
    of_n = losses(law, draws, log_n + _STEP, log_d) - losses(law, draws, log_n - _STEP, log_d)
    of_d = losses(law, draws, log_n, log_d + _STEP) - losses(law, draws, log_n, log_d - _STEP)
    return 3 * np.exp(log_d) * (of_n / of_d - 1)
