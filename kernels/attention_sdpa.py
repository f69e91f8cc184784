"""Attention of K models by ``torch.nn.functional.scaled_dot_product_attention``, models and batches as one batch.

The backward pass runs the forward pass again and differentiates it: 14 C FLOPs a visible pair, as the kernels execute.
What torch works in it allocates itself, from a captured graph's own pool where there is one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import reference


def forward(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool, window: int | None, scale: float | Tensor | None
) -> Tensor:  # fmt: skip
    """As ``attention.forward``, y alone; KernelError for scales of the models' own."""
    if isinstance(scale, Tensor):
        raise KernelError("attention: 'sdpa' has one scale for all models", hint="backend='triton'")
    y = reference.attention(*(each.flatten(0, 1) for each in (q, k, v)), causal=causal, window=window, scale=scale)
    return y.contiguous().view(q.shape)


def backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, window: int | None, scale: float | Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v."""
    leaves = [each.detach().requires_grad_() for each in (q, k, v)]
    with torch.enable_grad():
        y = forward(*leaves, causal=causal, window=window, scale=scale)
    dq, dk, dv = (grad.contiguous() for grad in torch.autograd.grad(y, leaves, dy))
    return dq, dk, dv
