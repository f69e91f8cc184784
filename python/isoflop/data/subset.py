"""Which tokens a run of D tokens sees: fixed, nested, seeded subsets of the training documents.

Documents are put in an order drawn from ``seed``, a single one is entered at a place drawn from it and goes round; a
subset of D tokens is the first D of that stream. So a smaller
subset is part of every larger one with the same seed, as Kaplan et al. 2020 (section 4) need for L(N, D).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoflop.data.corpus import Stream, Tokens
from isoflop.errors import CorpusError


def nested_subset(stream: Stream, n_tokens: int, *, seed: int) -> Tokens:
    """The first ``n_tokens`` tokens, (n_tokens,) uint16, of the documents in the order of ``seed``.

    Raises:
        CorpusError: the stream holds fewer tokens.
    """
    if n_tokens > len(stream.tokens):
        raise CorpusError(f"{n_tokens:,} tokens asked of a stream that holds {len(stream.tokens):,}")
    if stream.n_documents == 1:
        start = int(np.random.default_rng(seed).integers(len(stream.tokens)))
        head = stream.tokens[start : start + n_tokens]
        return np.concatenate([head, stream.tokens[: n_tokens - len(head)]])
    taken, parts = 0, []
    for index in np.random.default_rng(seed).permutation(stream.n_documents):
        document = stream.document(int(index))[: n_tokens - taken]
        parts.append(document)
        taken += len(document)
        if taken == n_tokens:
            break
    return np.concatenate(parts)


def windows(tokens: Tokens, n_ctx: int) -> NDArray[np.uint16]:
    """Cut a stream into (n_windows, n_ctx + 1) windows: inputs are [:, :-1], targets [:, 1:]; each target occurs once.

    Raises:
        CorpusError: the stream is shorter than one context and the token after it.
    """
    count = (len(tokens) - 1) // n_ctx
    if count < 1:
        raise CorpusError(
            f"{len(tokens):,} tokens are fewer than one context of {n_ctx} and its next token",
            hint="give more text or a shorter n_ctx",
        )
    return np.lib.stride_tricks.sliding_window_view(tokens[: count * n_ctx + 1], n_ctx + 1)[::n_ctx]
