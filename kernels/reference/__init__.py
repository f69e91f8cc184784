"""The op set as plain torch: the definition that every faster implementation is compared with.

Shapes: ``x`` is (..., d); weights are (d_out, d_in) as in ``torch.nn.Linear``; attention takes (batch, heads, seq,
d_head). All functions are differentiable by autograd, keep the dtype of ``x`` (losses aside), and allocate what they
return. Each is the op of one model; ``on_models(op)`` is the op of K models, every tensor with a leading model axis.
"""

from __future__ import annotations

from isoflop.kernels.reference.chance import dropout, dropped_attention
from isoflop.kernels.reference.gradients import accumulate, noise_scale
from isoflop.kernels.reference.layers import (
    activation,
    add_norm,
    attention,
    block,
    linear,
    mlp,
    norm,
    norm_qkv,
    rope,
    scale,
)
from isoflop.kernels.reference.mixture import moe, moe_route
from isoflop.kernels.reference.models import on_models
from isoflop.kernels.reference.optimizers import MUON, adamw, muon, orthogonalise
from isoflop.kernels.reference.vocabulary import argmax_hits, embed, linear_cross_entropy

__all__ = [
    "MUON",
    "accumulate",
    "activation",
    "adamw",
    "add_norm",
    "argmax_hits",
    "attention",
    "block",
    "dropout",
    "dropped_attention",
    "embed",
    "linear",
    "linear_cross_entropy",
    "mlp",
    "moe",
    "moe_route",
    "muon",
    "noise_scale",
    "norm",
    "norm_qkv",
    "on_models",
    "orthogonalise",
    "rope",
    "scale",
]
