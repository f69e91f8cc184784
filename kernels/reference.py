"""The op set as plain torch: the definition that every faster implementation is compared with.

Shapes: ``x`` is (..., d); weights are (d_out, d_in) as in ``torch.nn.Linear``; attention takes (batch, heads, seq,
d_head). All functions are differentiable by autograd, keep the dtype of ``x`` (losses aside), and allocate what they
return.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def embed(tokens: Tensor, token_table: Tensor, position_table: Tensor | None = None) -> Tensor:
    """Token embedding plus learned position: (batch, seq) int64 -> (batch, seq, d_model)."""
    x = F.embedding(tokens, token_table)
    return x if position_table is None else x + position_table[: tokens.shape[-1]]


def norm(x: Tensor, gain: Tensor, bias: Tensor | None, *, kind: str, eps: float = 1e-5) -> Tensor:
    """``kind="layer"``: (x - mean)/sqrt(var + eps); ``kind="rms"``: x/sqrt(mean(x^2) + eps); times gain, plus bias."""
    normed = _NORMS[kind](x, gain.shape, gain, eps=eps)
    return normed if bias is None else normed + bias


_NORMS: dict[str, Callable[..., Tensor]] = {"layer": F.layer_norm, "rms": F.rms_norm}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b: (..., d_in) -> (..., d_out)."""
    return F.linear(x, weight, bias)


def rope(x: Tensor, *, base: float = 10_000.0) -> Tensor:
    """Rotary positions on (batch, heads, seq, d_head): pairs (i, i + d_head/2) turn by position * base^(-2i/d_head)."""
    seq, half = x.shape[-2], x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, dtype=torch.float32, device=x.device) / half)
    angle = torch.arange(seq, dtype=torch.float32, device=x.device)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal softmax(q k^T / sqrt(d_head)) v; k and v may have fewer heads than q (each serves a group of q heads)."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])


def activation(x: Tensor, *, kind: str) -> Tensor:
    """``gelu`` (exact, erf), ``relu2`` (relu squared), ``swiglu`` (silu of the first half times the second)."""
    return _ACTIVATIONS[kind](x)


def _swiglu(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "relu2": lambda x: F.relu(x).square(),
    "swiglu": _swiglu,
}


def mlp(x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, *, kind: str) -> Tensor:
    """W_out act(W_in x + b_in) + b_out; for ``swiglu`` W_in is (2 d_ff, d_model), gate rows first."""
    return linear(activation(linear(x, w_in, b_in), kind=kind), w_out, b_out)


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats of the logits x W^T: (batch, seq, d_model), (n_vocab, d_model), (batch, seq) int64.

    ``reduction="mean"`` gives a scalar, ``"none"`` the (batch, seq) losses. Logits are taken in float32 at least.
    """
    logits = linear(x, weight)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction=reduction)
    return losses if reduction == "mean" else losses.view(targets.shape)
