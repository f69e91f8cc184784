"""Level 1. Plain torch, one model: the definition. Every line is a launch, and its result goes through memory."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from levels.task import EPS, Weights


def mlp(x: Tensor, w: Weights) -> Tensor:
    """The MLP of the rows x (M, D) of one model."""
    u = F.layer_norm(x, w.gain.shape, w.gain, w.bias, EPS)
    z = F.linear(u, w.w_in, w.b_in)
    a = F.gelu(z)
    t = F.linear(a, w.w_out, w.b_out)
    return x + t
