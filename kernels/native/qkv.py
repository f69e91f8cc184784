"""Norm, projection to queries, keys and values, and rotary positions; see ``csrc/ops/qkv.cpp``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, constant, packed_bytes, refuse_device
from isoflop.kernels.native.heads import join_projection, split_projection
from isoflop.kernels.rotary import turns
from isoflop.kernels.signatures import check, check_norm_kind, head_width


class Projected(NamedTuple):
    """Queries (K, B, H, T, C), keys and values (K, B, G, T, C), beside each other in rows, and the statistics
    (K, B, T) of the norm.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    mean: Tensor | None
    rstd: Tensor


class Products(NamedTuple):
    """Gradients of the normalised rows (K, B, T, D), of weight and bias."""

    dn: Tensor
    dweight: Tensor
    dbias: Tensor | None


def forward(
    x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None = None, *,
    kind: str, n_head: int, n_kv_head: int, base: float | None = None, eps: float = 1e-5, out: Projected | None = None,
) -> Projected:  # fmt: skip
    """Queries, keys and values of x (K, B, T, D): norm with gain and shift (K, D), weight (K, (H + 2 G) C, D), bias.

    ``base`` None turns nothing. ``out`` are the results of an earlier call, filled again. Raises KernelError for
    tensors that ``signatures.check`` refuses or that are not float32 on the host, an unknown norm, heads that do not
    divide the rows of ``weight``, an odd width of a head that is to turn, and an ``out`` of another form.
    """
    check_norm_kind(kind)
    sizes = check("norm_qkv", x=x, gain=gain, shift=shift, weight=weight, bias=bias)
    models, batch, seq, width = (sizes[axis] for axis in "KBTD")
    d_head = head_width(sizes["O"], n_head, n_kv_head, base)
    refuse_device("norm_qkv", x)
    statistic = ((models, batch, seq), torch.float32)
    rows, mean, rstd = buffers(
        "norm_qkv", x.device, None if out is None else (join_projection(*out[:3]), *out[3:]),
        rows=((models, batch, seq, sizes["O"]), x.dtype), mean=statistic if kind == "layer" else None, rstd=statistic,
    )  # fmt: skip
    call(
        "norm_qkv", [x, gain, shift, weight, bias, *_tables(models, seq, d_head, base), rows, mean, rstd],
        [batch, seq, width, n_head, n_kv_head, d_head], [eps], kept=packed_bytes(width, sizes["O"]),
    )  # fmt: skip
    return Projected(*split_projection(rows, n_head, n_kv_head), mean, rstd)


def product_gradients(
    dq: Tensor, dk: Tensor, dv: Tensor, x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor,
    mean: Tensor | None, rstd: Tensor, dtotal: Tensor | None = None, *,
    has_bias: bool, base: float | None = None, out: Products | None = None,
) -> Products:  # fmt: skip
    """From dq (K, B, H, T, C), dk, dv (K, B, G, T, C) and what :func:`forward` took and gave.

    Gradients lie beside each other in rows, as ``attention_backward`` gives them. Those of x, gain and shift follow
    from ``dn`` by the norm's backward pass. Raises KernelError as :func:`forward` does.
    """
    sizes = check(
        "norm_qkv_backward", ("dq", "dk", "dv"), dq=dq, dk=dk, dv=dv, x=x, gain=gain, shift=shift, weight=weight,
        mean=mean, rstd=rstd, dtotal=dtotal,
    )  # fmt: skip
    refuse_device("norm_qkv", dq)
    models, batch, seq, width, heads, groups, outputs = (sizes[axis] for axis in "KBTDHGO")
    d_head = head_width(outputs, heads, groups, base)
    if d_head != sizes["C"]:
        raise KernelError(f"norm_qkv: heads of the gradients are {sizes['C']} wide, of weight {d_head}")
    made = Products(*buffers(
        "norm_qkv", x.device, out, dn=(tuple(x.shape), x.dtype), dweight=(tuple(weight.shape), x.dtype),
        dbias=((models, outputs), x.dtype) if has_bias else None,
    ))  # fmt: skip
    call(
        "norm_qkv_backward",
        [join_projection(dq, dk, dv), x, gain, shift, weight, mean, rstd, *_tables(models, seq, d_head, base), *made],
        [batch, seq, width, heads, groups, d_head], kept=packed_bytes(outputs, width),
    )  # fmt: skip
    return made


def _tables(models: int, seq: int, d_head: int, base: float | None) -> list[Tensor | None]:
    """Cosines and sines (K, T, C/2), one table for all models."""
    tables = turns(seq, d_head, base, torch.device("cpu"))
    return [None if each is None else constant(each.expand(models, *each.shape)) for each in tables]
