"""``isoflop::norm_qkv``: norm, projection to queries, keys and values, and rotary positions."""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.kernels import norm, qkv, qkv_backward
from isoflop.kernels.operators.boundary import Operator, Results, absent, present


def _norm_qkv(
    x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None,
    kind: str, n_head: int, n_kv_head: int, base: float | None, eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    made = qkv.forward(x, gain, shift, weight, bias, kind=kind, n_head=n_head, n_kv_head=n_kv_head, base=base, eps=eps)
    return made.q, made.k, made.v, absent(made.rstd) if made.mean is None else made.mean, made.rstd


def _norm_qkv_backward(
    dq: Tensor, dk: Tensor, dv: Tensor, x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor,
    bias: Tensor | None, mean: Tensor, rstd: Tensor, base: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    made = qkv_backward.backward(
        dq, dk, dv, x, gain, shift, weight, present(mean), rstd, has_bias=bias is not None, base=base
    )
    dshift, dbias = (absent(x) if each is None else each for each in (made.dshift, made.dbias))
    return made.dx, made.dgain, dshift, made.dweight, dbias


def _fake(
    x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None,
    kind: str, n_head: int, n_kv_head: int, base: float | None, eps: float,
) -> Results:  # fmt: skip
    models, batch, seq, _ = x.shape
    d_head = weight.shape[1] // (n_head + 2 * n_kv_head)
    q, k, v = (x.new_empty(models, batch, heads, seq, d_head) for heads in (n_head, n_kv_head, n_kv_head))
    rstd = x.new_empty(models, batch, seq, dtype=torch.float32)
    return q, k, v, torch.empty_like(rstd) if kind == "layer" else absent(rstd), rstd


def _flops(
    x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None,
    kind: str, n_head: int, n_kv_head: int, base: float | None, eps: float,
) -> tuple[int, int]:  # fmt: skip
    rows, outputs = x[..., 0].numel(), weight.shape[1]
    turned = 3 * outputs * (n_head + n_kv_head) // (n_head + 2 * n_kv_head) if base is not None else 0
    normed = x.numel() * (norm.FLOPS[kind][0] - 1 - (shift is None))
    return qkv.flops(rows, x.shape[-1], outputs)[0], normed + rows * (turned + outputs * (bias is not None))


def _flops_backward(
    dq: Tensor, dk: Tensor, dv: Tensor, x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor,
    bias: Tensor | None, mean: Tensor, rstd: Tensor, base: float | None,
) -> tuple[int, int]:  # fmt: skip
    rows, outputs = x[..., 0].numel(), weight.shape[1]
    turned = 3 * (dq.numel() + dk.numel()) if base is not None else 0
    each = norm.FLOPS["rms" if present(mean) is None else "layer"][1]
    normed = x.numel() * (each - 1 - (shift is None))
    return qkv.flops(rows, x.shape[-1], outputs)[1], normed + turned + rows * outputs * (bias is not None)


_NORM_QKV = Operator(
    "norm_qkv", _norm_qkv, _norm_qkv_backward, fake=_fake, results=("q", "k", "v", "mean", "rstd"),
    gradients={each: each for each in ("x", "gain", "shift", "weight", "bias")}, costs=(_flops, _flops_backward),
)  # fmt: skip


def norm_qkv(
    x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None = None, *,
    kind: str, n_head: int, n_kv_head: int, base: float | None = None, eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Queries (K, B, H, T, C), keys and values (K, B, G, T, C) of x (K, B, T, D), differentiable.

    Gain and shift are (K, D), weight (K, (H + 2 G) C, D), bias (K, (H + 2 G) C); ``base`` None turns nothing. Raises
    KernelError as :func:`isoflop.kernels.qkv.forward` does.
    """
    q, k, v, _, _ = _NORM_QKV(x, gain, shift, weight, bias, kind, n_head, n_kv_head, base, eps)
    return q, k, v
