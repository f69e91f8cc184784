"""Which windows of a corpus a run trains on, step by step, and on which it is judged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoflop.data import Corpus, nested_subset, windows
from isoflop.errors import CorpusError
from isoflop.train.spec import TrainSpec

# Every run of a corpus is judged on the same held-out tokens.
_EVAL_SEED = 0

Windows = NDArray[np.uint16 | np.uint32]


class WindowOrder:
    """The windows of a run's subset, (n_ctx + 1) tokens each, every epoch in a new order drawn from the run's seed.

    Raises:
        CorpusError: the spec was resolved for another corpus, or the corpus has tokens beyond its vocabulary or too
            few of them.
    """

    def __init__(self, spec: TrainSpec, corpus: Corpus) -> None:
        refuse_other(spec, corpus)
        tokens = nested_subset(corpus.train, spec.unique_tokens + 1, seed=spec.data_seed)
        self.subset = windows(tokens, spec.shape.n_ctx)
        self._random = np.random.default_rng(spec.seed)
        self._order: NDArray[np.int64] = np.empty(0, np.int64)

    def take(self, count: int) -> Windows:
        """The next ``count`` windows (count, n_ctx + 1)."""
        return np.asarray(self.subset[self.skip(count)])

    def skip(self, count: int) -> NDArray[np.int64]:
        """Go past the next ``count`` windows; which ones they were, (count,)."""
        parts = [self._order]
        have = len(self._order)
        while have < count:
            parts.append(self._random.permutation(len(self.subset)))
            have += len(self.subset)
        order = np.concatenate(parts)
        self._order = order[count:]
        return order[:count]


def held_out_windows(spec: TrainSpec, corpus: Corpus) -> Windows:
    """The windows (n, n_ctx + 1) of ``corpus`` on which the run is judged: its ``eval_tokens``, or all there are.

    Raises:
        CorpusError: the corpus has tokens beyond the vocabulary of the run, or too few held out.
    """
    refuse_vocabulary(spec, corpus)
    n_ctx = spec.shape.n_ctx
    available = (len(corpus.held_out.tokens) - 1) // n_ctx * n_ctx
    wanted = min(spec.eval_tokens, max(available, n_ctx))
    return windows(nested_subset(corpus.held_out, wanted + 1, seed=_EVAL_SEED), n_ctx)


def trained_windows(spec: TrainSpec, corpus: Corpus) -> Windows:
    """As many windows of what the run trains on, the first of its subset: to see beside the held-out ones."""
    tokens = nested_subset(corpus.train, spec.unique_tokens + 1, seed=spec.data_seed)
    cut = windows(tokens, spec.shape.n_ctx)
    return cut[: max(1, spec.eval_tokens // spec.shape.n_ctx)]


def refuse_other(spec: TrainSpec, corpus: Corpus) -> None:
    """Raise CorpusError where ``corpus`` is not the one that ``spec`` was resolved for, or is beyond its vocabulary."""
    if spec.corpus != corpus.fingerprint:
        raise CorpusError(
            f"the spec was resolved for corpus {spec.corpus}, not for {corpus.source!r} = {corpus.fingerprint}"
        )
    refuse_vocabulary(spec, corpus)


def refuse_vocabulary(spec: TrainSpec, corpus: Corpus) -> None:
    """Raise CorpusError where ``corpus`` has tokens that the model of ``spec`` has none for."""
    if corpus.n_vocab > spec.shape.n_vocab:
        raise CorpusError(
            f"n_vocab = {spec.shape.n_vocab} is less than the {corpus.n_vocab} tokens of {corpus.source!r}"
        )
