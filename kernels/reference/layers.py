"""A transformer's block and what it consists of: norms, products, rotary positions, attention, MLP."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from isoflop.kernels.signatures import check_mask


def norm(x: Tensor, gain: Tensor, bias: Tensor | None, *, kind: str, eps: float = 1e-5) -> Tensor:
    """``kind="layer"``: (x - mean)/sqrt(var + eps); ``kind="rms"``: x/sqrt(mean(x^2) + eps); times gain, plus bias."""
    normed = _NORMS[kind](x, gain.shape, gain, eps=eps)
    return normed if bias is None else normed + bias


def add_norm(
    x: Tensor, residual: Tensor, gain: Tensor, bias: Tensor | None, *, kind: str, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """(norm of the sum, the sum) of ``x`` and the residual stream."""
    total = x + residual
    return norm(total, gain, bias, kind=kind, eps=eps), total


_norm = norm  # where a setting is called norm
_NORMS: dict[str, Callable[..., Tensor]] = {"layer": F.layer_norm, "rms": F.rms_norm}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
    """x W^T + b + residual: (..., d_in) -> (..., d_out)."""
    y = F.linear(x, weight, bias)
    return y if residual is None else y + residual


def scale(x: Tensor, *, factor: float | Tensor) -> Tensor:
    """x times one number of the model."""
    return x * torch.as_tensor(factor, dtype=x.dtype, device=x.device)


def rope(x: Tensor, *, base: float = 10_000.0) -> Tensor:
    """Rotary positions on (batch, heads, seq, d_head): pairs (i, i + d_head/2) turn by position * base^(-2i/d_head)."""
    seq, half = x.shape[-2], x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, dtype=torch.float32, device=x.device) / half)
    angle = torch.arange(seq, dtype=torch.float32, device=x.device)[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


def norm_qkv(
    x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None, *,
    kind: str, n_head: int, n_kv_head: int, base: float | None = None, eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Queries, keys and values (batch, heads, seq, d_head) of norm(x): rows of ``weight`` by head, queries first.

    Queries and keys have rotary positions where ``base`` says so.
    """
    packed = linear(norm(x, gain, shift, kind=kind, eps=eps), weight, bias)
    heads = packed.view(*x.shape[:-1], n_head + 2 * n_kv_head, -1).transpose(1, 2)
    q, k, v = torch.split(heads, [n_head, n_kv_head, n_kv_head], dim=1)
    return (q, k, v) if base is None else (rope(q, base=base), rope(k, base=base), v)


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True, window: int | None = None, scale: float | None = None
) -> Tensor:
    """softmax(scale q k^T) v, causal or over all positions; ``scale`` is 1/sqrt(d_head) unless given.

    k and v may have fewer heads than q (each serves a group of q heads). With a window, a query sees the last
    ``window`` positions, itself included. Raises KernelError for a window below 1 or without ``causal``.
    """
    check_mask(causal, window)
    mask = None
    if window is not None:
        at = torch.arange(q.shape[-2], device=q.device)
        apart = at[:, None] - at
        mask = (apart >= 0) & (apart < window)
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal and mask is None, scale=scale, enable_gqa=grouped
    )


def activation(x: Tensor, *, kind: str) -> Tensor:
    """``gelu`` (exact, erf; ``gelu_tanh`` as GPT-2), ``relu2`` (relu squared), ``swiglu`` (silu of half times half)."""
    return _ACTIVATIONS[kind](x)


def _swiglu(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu2": lambda x: F.relu(x).square(),
    "swiglu": _swiglu,
}


def mlp(
    x: Tensor,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    gain: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    kind: str,
    norm: str = "none",
    eps: float = 1e-5,
    residual: bool = False,
) -> Tensor:
    """W_out act(W_in u + b_in) + b_out, plus x where ``residual``; u is the ``norm`` of x, x itself with "none".

    For ``swiglu`` W_in is (2 d_ff, d_model), gate rows first.
    """
    u = x if gain is None else _norm(x, gain, bias, kind=norm, eps=eps)
    y = linear(activation(linear(u, w_in, b_in), kind=kind), w_out, b_out)
    return x + y if residual else y


def block(
    x: Tensor,
    gain1: Tensor,
    bias1: Tensor | None,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    gain2: Tensor,
    bias2: Tensor | None,
    w_in: Tensor,
    b_in: Tensor | None,
    w_out: Tensor,
    b_out: Tensor | None,
    *,
    n_head: int,
    n_kv_head: int,
    kind: str,
    norm: str,
    rope_base: float | None = None,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """(x1 + mlp(norm(x1)), x1 = x + W_proj attention(norm(x))): (batch, seq, d_model); rows of w_qkv: q, k, then v."""
    heads = [n_head, n_kv_head, n_kv_head]
    packed = linear(_norm(x, gain1, bias1, kind=norm, eps=eps), w_qkv, b_qkv)
    q, k, v = torch.split(packed.view(*x.shape[:2], sum(heads), -1).transpose(1, 2), heads, dim=1)
    if rope_base is not None:
        q, k = rope(q, base=rope_base), rope(k, base=rope_base)
    x = x + linear(attention(q, k, v).transpose(1, 2).flatten(2), w_proj, b_proj)
    return mlp(x, w_in, b_in, w_out, b_out, gain2, bias2, kind=kind, norm=norm, eps=eps, residual=True), x
