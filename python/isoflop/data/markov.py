"""A Markov source of any order whose words are Zipf's: exact entropies for every length of context.

The next token after a context of ``order`` tokens is drawn, by equal chances, from one of order + 1 distributions: of
the last 0, 1, ... order tokens. Each is Zipf's law p ~ 1/rank^alpha over the vocabulary, ranked in an order of its own.
So every further token of context says something, up to the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isoflop.data.stream import Tokens, token_type
from isoflop.errors import CorpusError

Array = NDArray[np.float64]

_LARGEST_TABLE = 2**24


@dataclass(frozen=True)
class ZipfMarkov:
    """``synthetic:zipf-markov``; ``n_vocab ** (order + 1)`` probabilities, at most 2**24."""

    n_vocab: int = 16
    order: int = 2
    alpha: float = 1.5
    tokens: int = 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_vocab < 2 or self.order < 1 or self.alpha < 0 or self.tokens < 2 or self.seed < 0:
            raise CorpusError(
                f"{self} is no such source", hint="n_vocab 2, order 1, alpha 0, tokens 2, seed 0, or more"
            )
        if self.n_vocab ** (self.order + 1) > _LARGEST_TABLE:
            raise CorpusError(
                f"n_vocab = {self.n_vocab} and order = {self.order} make a table of more than 2**24 numbers"
            )

    @cached_property
    def probabilities(self) -> Array:
        """(n_vocab ** order, n_vocab): of the next token, by context; the last token of a context varies fastest."""
        random = np.random.default_rng(self.seed)
        zipf = np.arange(1.0, self.n_vocab + 1) ** -self.alpha
        zipf /= zipf.sum()
        table = np.zeros((self.n_vocab**self.order, self.n_vocab))
        for known in range(self.order + 1):
            rows = random.permuted(np.tile(zipf, (self.n_vocab**known, 1)), axis=1)
            table += np.tile(rows, (self.n_vocab ** (self.order - known), 1))
        return table / (self.order + 1)

    @cached_property
    def stationary(self) -> Array:
        """(n_vocab ** order,): how often each context stands, in a text without end."""
        share: Array = np.full(len(self.probabilities), 1 / len(self.probabilities))
        change, before = 2.0, np.inf  # two distributions are never further apart
        while 0 < change < before:  # it shrinks, until it is rounding: in ``order`` steps, not in each of them
            following = share
            for _ in range(self.order):
                following = (following[:, None] * self.probabilities).reshape(self.n_vocab, -1).sum(0)
            change, before = float(np.abs(following - share).sum()), change
            share = following
        share /= share.sum()
        return share

    @property
    def entropy_rate(self) -> float:
        """Sum over contexts of their share times the entropy of the next token."""
        return float(self.entropies(self.order)[-1])

    def entropies(self, n: int) -> Array:
        """(n + 1,): entropy of a token after 0, 1, ... n known tokens; constant from the order on."""
        joint = self.stationary[:, None] * self.probabilities
        conditional = []
        for known in range(self.order + 1):
            pairs = joint.reshape(-1, self.n_vocab**known, self.n_vocab).sum(0)
            conditional.append(_entropy(pairs) - _entropy(pairs.sum(1)))
        return np.array(conditional)[np.minimum(np.arange(n + 1), self.order)]

    def sample(self) -> Tokens:
        """``tokens`` tokens of one chain, begun as if it had always run."""
        from isoflop.data.walk import walk

        random = np.random.default_rng([self.seed, 1])
        begin = int(np.searchsorted(np.cumsum(self.stationary), random.random()))
        steps = walk(
            np.cumsum(self.probabilities, axis=1), min(begin, len(self.stationary) - 1), random.random(self.tokens)
        )
        return steps.astype(token_type(self.n_vocab))


def _entropy(p: Array) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum())
