"""The Santa Fe process (Dębowski 2011): facts met as often as Zipf says, whose scaling laws in N and D are known.

A sentence speaks of one of ``base ** digits`` subjects: the digits of its number, then the fact about it, one of
``n_facts`` drawn once and for all. Subjects are drawn by themselves, the i-th with p_i ~ i^-(1 + alpha); digits at
different places and facts are different tokens, so that one token tells where in a sentence it stands. Subjects cannot
be foreseen, facts can be known: the entropy rate is that of the subjects, H(p) / (digits + 1).

A model that has room for the N commonest facts and has read D tokens pays ln(n_facts) for each fact that it has no room
for, or has not met. The first are sum_(i > N) p_i ~ N^-alpha of all, the second sum_i p_i (1 - p_i)^(D / (digits + 1))
~ D^-(alpha / (1 + alpha)) (Hutter 2021, arXiv 2102.04074; Michaud 2023, arXiv 2303.13506): laws E + A/N^alpha, of
enough data, and E + B/D^beta, of enough room, with E, alpha and beta known, as long as N and D / (digits + 1) are well
below the number of subjects. Of both at once the loss is less than their sum: a fact may lack room and data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.data.stream import Tokens, token_type
from isoflop.errors import CorpusError

Array = NDArray[np.float64]

_LARGEST_TABLE = 2**24


@dataclass(frozen=True)
class SantaFe:
    """``synthetic:santa-fe``; ``digits * base + n_facts`` tokens, ``base ** digits`` subjects, at most 2**24."""

    alpha: float = 1.0
    base: int = 16
    digits: int = 4
    n_facts: int = 16
    tokens: int = 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.alpha <= 0 or self.base < 2 or self.digits < 1 or self.n_facts < 2 or self.tokens < 2 or self.seed < 0:
            raise CorpusError(
                f"{self} is no such source",
                hint="alpha above 0; base 2, digits 1, n_facts 2, tokens 2, seed 0, or more",
            )
        if self.base**self.digits > _LARGEST_TABLE:
            raise CorpusError(f"base = {self.base} and digits = {self.digits} make more than 2**24 subjects")

    @property
    def n_vocab(self) -> int:
        return self.digits * self.base + self.n_facts

    @property
    def sentence(self) -> int:
        """Tokens a sentence."""
        return self.digits + 1

    @property
    def beta(self) -> float:
        """The exponent of D; that of N is ``alpha``."""
        return self.alpha / (1 + self.alpha)

    @cached_property
    def frequencies(self) -> Array:
        """(subjects,): p_i, commonest first."""
        frequency: Array = np.arange(1.0, self.base**self.digits + 1) ** -(1 + self.alpha)
        frequency /= frequency.sum()
        return frequency

    @cached_property
    def facts(self) -> NDArray[np.int64]:
        """(subjects,): the fact about each."""
        facts: NDArray[np.int64] = np.random.default_rng(self.seed).integers(self.n_facts, size=self.base**self.digits)
        return facts

    @property
    def entropy_rate(self) -> float:
        """Entropy of a subject over the tokens of a sentence."""
        return _entropy(self.frequencies) / self.sentence

    def entropies(self, n: int) -> Array:
        """(n + 1,): entropy of a token after 0, 1, ... n known tokens: mean over the places in a sentence."""
        joint = np.zeros((len(self.frequencies), self.n_facts))
        joint[np.arange(len(joint)), self.facts] = self.frequencies
        tables = [(self.frequencies, place) for place in range(self.digits)] + [(joint, self.digits)]
        after = [sum(self._after(p, place, known) for p, place in tables) for known in range(self.sentence)]
        after[0] += self.sentence * np.log(self.sentence)  # without a token before it, its place is not known either
        return np.array(after)[np.minimum(np.arange(n + 1), self.digits)] / self.sentence

    def _after(self, p: Array, place: int, known: int) -> float:
        """Entropy of the token at ``place`` of a sentence after ``known`` tokens, which may begin in the one before."""
        before = min(known, place)
        options = self.n_facts if place == self.digits else self.base
        pairs = p.reshape(self.base ** (place - before), self.base**before, options, -1).sum((0, 3))
        return _entropy(pairs) - _entropy(pairs.sum(1))

    def loss(self, n_known: ArrayLike, n_tokens: ArrayLike) -> Array:
        """Expected loss of the ideal learner with room for the ``n_known`` commonest facts after ``n_tokens`` tokens.

        It knows how often each subject is met. Both arguments broadcast; infinity is no limit.
        """
        room, read = np.broadcast_arrays(np.asarray(n_known, float), np.asarray(n_tokens, float) / self.sentence)
        unknown = []
        for n, sentences in zip(room.ravel().tolist(), read.ravel().tolist(), strict=True):
            known, lost = np.split(self.frequencies, [int(min(n, len(self.frequencies)))])
            unmet = known * np.exp(sentences * np.log1p(-known)) if np.isfinite(sentences) else np.zeros(1)
            unknown.append(lost.sum() + unmet.sum())
        paid: Array = np.reshape(np.array(unknown), room.shape) * np.log(self.n_facts) / self.sentence
        return self.entropy_rate + paid

    def sample(self) -> Tokens:
        """``tokens`` tokens of whole sentences, the last one cut."""
        random = np.random.default_rng([self.seed, 1])
        n_sentences = -(-self.tokens // self.sentence)
        subjects = np.searchsorted(np.cumsum(self.frequencies), random.random(n_sentences), side="right")
        subjects = np.minimum(subjects, len(self.frequencies) - 1)
        tokens = np.empty((n_sentences, self.sentence), token_type(self.n_vocab))
        for place in range(self.digits):
            digit = subjects // self.base ** (self.digits - 1 - place) % self.base
            tokens[:, place] = place * self.base + digit
        tokens[:, -1] = self.digits * self.base + self.facts[subjects]
        return tokens.ravel()[: self.tokens]


def _entropy(p: Array) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum())
