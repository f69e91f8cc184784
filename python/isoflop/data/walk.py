"""A walk through a Markov chain, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def walk(cumulative: NDArray[np.float64], begin: int, chances: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Tokens (n,) for ``chances`` (n,) in [0, 1), by ``cumulative`` probabilities (contexts, vocabulary)."""
    n_contexts, n_vocab = cumulative.shape
    tokens = np.empty(len(chances), np.uint32)
    context = begin
    for step in range(len(chances)):
        low, high = 0, n_vocab - 1  # the first token whose cumulative probability is above the chance
        while low < high:
            middle = (low + high) // 2
            if cumulative[context, middle] > chances[step]:
                high = middle
            else:
                low = middle + 1
        tokens[step] = low
        context = (context * n_vocab + low) % n_contexts
    return tokens
