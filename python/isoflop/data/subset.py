"""Which tokens a run of D tokens sees: fixed, nested, seeded subsets of the training documents, and how often.

Documents are put in an order drawn from ``seed``, a single one is entered at a place drawn from it and goes round; a
subset of D tokens is the first D of that stream. So a smaller subset is part of every larger one with the same seed, as
Kaplan et al. 2020 (section 4) need for L(N, D).
"""

from __future__ import annotations

import numpy as np

from isoflop.data.stream import Stream, Tokens
from isoflop.errors import CorpusError, NotEnoughTokens


def nested_subset(stream: Stream, n_tokens: int, *, seed: int) -> Tokens:
    """The first ``n_tokens`` tokens, (n_tokens,) of the stream's type, of the documents in the order of ``seed``.

    Raises:
        CorpusError: the stream holds fewer tokens.
    """
    if n_tokens > len(stream.tokens):
        raise CorpusError(f"{n_tokens:,} tokens asked of a stream that holds {len(stream.tokens):,}")
    if stream.n_documents == 1:
        start = int(np.random.default_rng(seed).integers(len(stream.tokens)))
        head = stream.tokens[start : start + n_tokens]
        return head if len(head) == n_tokens else np.concatenate([head, stream.tokens[: n_tokens - len(head)]])
    taken, parts = 0, []
    for index in np.random.default_rng(seed).permutation(stream.n_documents):
        document = stream.document(int(index))[: n_tokens - taken]
        parts.append(document)
        taken += len(document)
        if taken == n_tokens:
            break
    return np.concatenate(parts)


def unique_tokens(
    stream: Stream, n_tokens: int, *, n_ctx: int, at_most: int = 0, allow_repeats: bool = False, source: str = ""
) -> int:
    """How many different tokens of ``stream`` a run of ``n_tokens`` is drawn from: of its whole contexts of ``n_ctx``.

    Args:
        at_most: draw from no more than these; 0 is no such limit.
        allow_repeats: take what there is where the stream holds fewer.
        source: the corpus, for the error.

    Raises:
        NotEnoughTokens: the stream holds fewer, and repeats are not allowed.
    """
    available = (len(stream.tokens) - 1) // n_ctx * n_ctx
    wanted = at_most or n_tokens
    if wanted > available and not allow_repeats:
        times = epochs(wanted, max(1, available))
        raise NotEnoughTokens(
            f"{wanted:,} tokens asked of corpus {source!r}, which has {available:,} to train on: {times:.2f} epochs",
            hint="lower tokens or budgets, give more text, or set allow_repeats = true in [train]",
            epochs=times,
        )
    return min(wanted, available, n_tokens)


def epochs(n_tokens: int, n_unique: int) -> float:
    """How often a run of D = ``n_tokens`` goes through its U = ``n_unique`` tokens: D/U of laws of repeated data."""
    return n_tokens / n_unique


def windows(tokens: Tokens, n_ctx: int) -> Tokens:
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
