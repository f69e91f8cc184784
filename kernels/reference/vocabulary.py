"""From tokens to rows, and from rows to losses of tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.kernels.reference.layers import linear


def embed(tokens: Tensor, token_table: Tensor, position_table: Tensor | None = None) -> Tensor:
    """Token embedding plus learned position: (batch, seq) int64 -> (batch, seq, d_model)."""
    x = F.embedding(tokens, token_table)
    return x if position_table is None else x + position_table[: tokens.shape[-1]]


def linear_cross_entropy(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None = None, *,
    reduction: str = "mean", z_loss: float = 0.0, ignore_index: int = -100,
) -> Tensor:  # fmt: skip
    """Cross-entropy in nats of the logits x W^T: (batch, seq, d_model), (n_vocab, d_model), (batch, seq) int64.

    ``reduction="none"`` gives the (batch, seq) losses, weights (1) times -log p(target) + z_loss log(sum of exp)^2, 0
    where the target is ``ignore_index``; ``"mean"`` their sum over that of the weights of the positions not ignored.
    Logits are taken in float32 at least.
    """
    of_rows = logits(x, weight)
    losses = F.cross_entropy(of_rows.flatten(0, -2), targets.flatten(), reduction="none", ignore_index=ignore_index)
    losses = losses.view(targets.shape)
    if z_loss:
        losses = losses + z_loss * of_rows.logsumexp(-1).square()
    counted = (targets != ignore_index).to(losses.dtype)
    weights = counted if weights is None else counted * weights
    losses = weights * losses
    return losses.sum() / weights.sum() if reduction == "mean" else losses


def argmax_hits(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Whether the target is the argmax of the logits x W^T, the first of equal ones: bool, of the shape of targets."""
    return logits(x, weight).argmax(-1) == targets


def logits(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T, in float32 at least."""
    y = linear(x, weight)
    return y.to(torch.promote_types(y.dtype, torch.float32))
