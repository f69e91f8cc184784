"""A linear layer of K models by torch's batched products: where arithmetic decides, its libraries are the faster.

Products of 16-bit tensors are summed as torch is set to sum them, and K models at once need not equal each alone bit by
bit, as they do in the kernels. Nothing is allocated but what the libraries hold.
"""

from __future__ import annotations

import torch
from torch import Tensor


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, y: Tensor) -> None:
    """As ``linear.forward``, into ``y``, which may be ``residual``."""
    turned = weight.transpose(1, 2)
    if residual is not None:
        torch.baddbmm(residual, x, turned, out=y)
        if bias is not None:
            y.add_(bias[:, None])
    elif bias is not None:
        torch.baddbmm(bias[:, None], x, turned, out=y)
    else:
        torch.bmm(x, turned, out=y)


def backward(dy: Tensor, x: Tensor, weight: Tensor, dx: Tensor, dweight: Tensor, dbias: Tensor | None) -> None:
    """As ``linear_backward``, into the last three: ``dweight`` as the weight lies, ``dx`` last, which may be ``x``."""
    left, right = (dy, x) if weight.is_contiguous() else (x, dy)
    torch.bmm(left.transpose(1, 2), right, out=dweight)
    torch.bmm(dy, weight, out=dx)
    if dbias is not None:
        torch.sum(dy, 1, out=dbias)
