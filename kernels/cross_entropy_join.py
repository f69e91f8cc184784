"""Parts of cross-entropy put together: what programs found of one row, and the losses of all rows, in a fixed order.

    top = max over s of top_s,   total = sum over s of total_s exp(top_s - top),   lse = top + log(total)
    loss = weight (lse - own + zeta lse^2),   mean = sum(loss) / sum(weight)

Minimum bytes of M rows in S parts: 12 M S + 12 M read, 8 M + 8 written; bandwidth decides.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels.logits import read_labels

BLOCK, WARPS = 1024, 8  # rows of a program, and its warps


@triton.jit
def _xent_join(
    TOP, SUM, OWN, BEST, T, WEIGHTS, LOSS, LSE, HITS, M, V, S, ignored, zeta, BLOCK: tl.constexpr
):  # fmt: skip
    """Grid (cdiv(M, BLOCK), K): the S parts of each row to LOSS, LSE float32 and HITS bool or None, all (K, M)."""
    model, row = tl.program_id(1).to(tl.int64), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = row < M
    top = tl.full((BLOCK,), float("-inf"), tl.float32)
    total, own, best = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.int32)
    for s in range(S):
        at = (model * S + s) * M + row
        largest = tl.load(TOP + at, mask=live, other=0.0)
        if BEST is not None:
            best = tl.where(largest > top, tl.load(BEST + at, mask=live, other=0), best)
        higher = tl.maximum(top, largest)
        total *= tl.exp(top - higher)
        total += tl.load(SUM + at, mask=live, other=1.0) * tl.exp(largest - higher)
        own += tl.load(OWN + at, mask=live, other=0.0)
        top = higher
    label, weight = read_labels(T, WEIGHTS, model * M + row, live, V, ignored)
    lse = top + tl.log(total)
    loss = tl.where(weight == 0.0, 0.0, weight * (lse - own + zeta * lse * lse))
    tl.store(LOSS + model * M + row, loss, mask=live)
    tl.store(LSE + model * M + row, lse, mask=live)
    if HITS is not None:
        tl.store(HITS + model * M + row, best == label, mask=live)


@triton.jit
def _xent_mean(LOSS, T, WEIGHTS, MEAN, TOTAL, M, V, ignored, BLOCK: tl.constexpr):
    """Grid (K,): the sum of the weights to TOTAL (K,), and of LOSS over it to MEAN (K,); no MEAN where LOSS is None."""
    model, lanes = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    loss, total = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for start in range(0, M, BLOCK):
        row = start + lanes
        _, weight = read_labels(T, WEIGHTS, model * M + row, row < M, V, ignored)
        total += tl.where(weight == weight, weight, 0.0)
        if LOSS is not None:
            loss += tl.load(LOSS + model * M + row, mask=row < M, other=0.0)
    weights = tl.sum(total, 0)
    tl.store(TOTAL + model, weights)
    if LOSS is not None:
        tl.store(MEAN + model, tl.sum(loss, 0) / weights)


class Loss(NamedTuple):
    """What a forward pass gives, float32, and what it is joined from: ``parts`` (3, K, S, M), ``best`` (K, S, M) int32.

    ``mean`` and ``total``, the sum of the weights of the positions not ignored, (K,); ``losses`` and ``lse``, the
    log-sum-exp of the logits, (K, M); ``hits`` (K, M) bool, whether the label is the argmax; ``dx`` (K, M, D) of the
    dtype of x, the gradient of the mean.
    """

    mean: Tensor
    total: Tensor
    losses: Tensor
    lse: Tensor
    hits: Tensor | None
    dx: Tensor | None
    parts: Tensor
    best: Tensor | None


class Gradients(NamedTuple):
    """Gradients by x (K, M, D) and weight (K, V, D), of their dtype, and the float32 parts they are sums of, if any.

    ``q`` is room for a part of the gradient of the logits, where torch's products are used.
    """

    dx: Tensor | None
    dweight: Tensor
    dx_parts: Tensor | None
    dweight_parts: Tensor | None
    q: Tensor | None = None


def join(
    targets: Tensor, weights: Tensor | None, made: Loss, vocabulary: int, ignored: int, z_loss: float
) -> None:  # fmt: skip
    """Losses, log-sum-exps, hits, mean and total of ``made`` from its parts."""
    _, models, splits, rows = made.parts.shape
    _xent_join[(triton.cdiv(rows, BLOCK), models)](
        *made.parts.unbind(), made.best, targets, weights, made.losses, made.lse, made.hits,
        rows, vocabulary, splits, ignored, z_loss, BLOCK=BLOCK, num_warps=WARPS,
    )  # fmt: skip
    _xent_mean[(models,)](
        made.losses, targets, weights, made.mean, made.total, rows, vocabulary, ignored, BLOCK=BLOCK, num_warps=WARPS
    )  # fmt: skip


def add_weights(targets: Tensor, weights: Tensor | None, total: Tensor, vocabulary: int, ignored: int) -> None:
    """``total`` (K,): the sum of the ``weights`` (K, M), 1 where None, of the positions not ignored."""
    models, rows = targets.shape
    _xent_mean[(models,)](None, targets, weights, None, total, rows, vocabulary, ignored, BLOCK=BLOCK, num_warps=WARPS)
