"""Attention of K models by ``torch.nn.functional.scaled_dot_product_attention``, models and batches as one batch.

The backward pass runs the forward pass again and differentiates it: 14 C FLOPs a visible pair, as the kernels execute.
What torch works in it allocates itself, from a captured graph's own pool where there is one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.kernels import reference


def forward(q: Tensor, k: Tensor, v: Tensor, *, causal: bool, window: int | None, scale: float | None) -> Tensor:
    """As ``attention.forward``, y alone."""
    y = reference.attention(*(each.flatten(0, 1) for each in (q, k, v)), causal=causal, window=window, scale=scale)
    return y.contiguous().view(q.shape)


def backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, window: int | None, scale: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v."""
    leaves = [each.detach().requires_grad_() for each in (q, k, v)]
    with torch.enable_grad():
        y = forward(*leaves, causal=causal, window=window, scale=scale)
    dq, dk, dv = (grad.contiguous() for grad in torch.autograd.grad(y, leaves, dy))
    return dq, dk, dv
