"""Norm, projection to queries, keys and values, and rotary positions of K models: backward.

    dp = dq, dk, dv turned back, by rows        dW = dp^T n,   db = sum over rows of dp
    dn = dp W                                   (``qkv_backward_rows``)
    dx, dgain, dshift from dn                   (``norm_backward``)

FLOPs of the products of M rows, D wide to O: 4 M D O. Minimum bytes at s bytes an element, the norm's own aside:
s (2 M D + M O + 2 O D) and the vectors: x, dq, dk, dv and W are read, dn and dW written; the turned gradient dp and the
normalised row n are computed anew in each kernel, never stored. Arithmetic intensity at O = 3 D, M >> D: 12 D/(5 s).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import norm_backward, qkv_library
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.linear_backward import shared_out
from isoflop.kernels.partial import add_partials
from isoflop.kernels.products import add_product
from isoflop.kernels.qkv import is_wide
from isoflop.kernels.qkv_backward_rows import rows_gradient
from isoflop.kernels.qkv_tiles import half, left_columns, normed, part_of, tiles_of, turned_back
from isoflop.kernels.rotary import turns
from isoflop.kernels.signatures import check, head_width


@triton.jit
def _qkv_weight(
    DQ, DK, DV, X, GAIN, SHIFT, MEAN, RSTD, COS, SIN, DW, DB, M, T, D, heads, groups, span,
    C: tl.constexpr, HALF: tl.constexpr, PAIRS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid (tiles cdiv(D, COLUMNS), S, K): DW (K, S, O, D) and DB (K, S, O), or None, over ``span`` rows a program."""
    model, share, tiles = tl.program_id(2).to(tl.int64), tl.program_id(1), tl.cdiv(D, COLUMNS)
    DP, tile, width, first, turns = part_of(tl.program_id(0) // tiles, DQ, DK, DV, heads, groups, C, PAIRS)
    left = left_columns(tile, HALF, PAIRS)[None, :]
    columns = (tl.program_id(0) % tiles) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    lefts, rights = tl.zeros((PAIRS, COLUMNS), tl.float32), tl.zeros((PAIRS, COLUMNS), tl.float32)
    left_bias, right_bias = tl.zeros((1, PAIRS), tl.float32), tl.zeros((1, PAIRS), tl.float32)
    start = share.to(tl.int64) * span
    for m in range(start, tl.minimum(start + span, M), DEPTH):
        r = m + tl.arange(0, DEPTH)[:, None]
        live = r < M
        mean = tl.zeros((DEPTH, 1), tl.float32)
        if MEAN is not None:
            mean += tl.load(MEAN + model * M + r, mask=live, other=0.0)
        rstd = tl.load(RSTD + model * M + r, mask=live, other=0.0)
        n = normed(X, GAIN, SHIFT, (model * M + r) * D + columns, model * D + columns, live, columns < D, mean, rstd)
        a, b = turned_back(DP, COS, SIN, model, r, left, M, T, width, turns, C, HALF)
        lefts = add_product(tl.trans(a.to(n.dtype)), n, lefts)
        rights = add_product(tl.trans(b.to(n.dtype)), n, rights)
        left_bias += tl.sum(a, 0)[None, :]
        right_bias += tl.sum(b, 0)[None, :]
    right, outputs = left + HALF, (heads + 2 * groups) * C
    out = (model * tl.num_programs(1) + share) * outputs + first
    if DB is not None:
        if tl.program_id(0) % tiles == 0:
            tl.store(DB + out + left, left_bias.to(DB.dtype.element_ty), mask=left < width)
            tl.store(DB + out + right, right_bias.to(DB.dtype.element_ty), mask=right < width)
    left, right = tl.trans(left), tl.trans(right)
    DW += out * D
    tl.store(DW + left * D + columns, lefts.to(DW.dtype.element_ty), mask=(left < width) & (columns < D))
    tl.store(DW + right * D + columns, rights.to(DW.dtype.element_ty), mask=(right < width) & (columns < D))


class Products(NamedTuple):
    """Gradients of the normalised rows, weight and bias; partial sums of the last two, where there are any.

    ``dpacked`` (K, B T, O), dp, is room of torch's products, where they run.
    """

    dn: Tensor
    dweight: Tensor
    dbias: Tensor | None
    weight_sums: Tensor | None
    bias_sums: Tensor | None
    dpacked: Tensor | None


class Gradients(NamedTuple):
    """Of x, gain, shift, weight and bias; ``products`` and ``norms`` are room for the next call."""

    dx: Tensor
    dgain: Tensor
    dshift: Tensor | None
    dweight: Tensor
    dbias: Tensor | None
    products: Products
    norms: norm_backward.Gradients


def backward(
    dq: Tensor, dk: Tensor, dv: Tensor, x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor,
    mean: Tensor | None, rstd: Tensor, dtotal: Tensor | None = None, *,
    has_bias: bool, base: float | None = None, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from dq (K, B, H, T, C), dk, dv (K, B, G, T, C) and what :func:`qkv.forward` took and gave.

    ``dtotal`` (K, B, T, D), the gradient that reaches x past the norm, is added to dx. Raises KernelError as it does.
    """
    products = product_gradients(
        dq, dk, dv, x, gain, shift, weight, mean, rstd, dtotal,
        has_bias=has_bias, base=base, out=None if out is None else out.products,
    )  # fmt: skip
    norms = norm_backward.backward(
        products.dn.flatten(1, 2), x.flatten(1, 2), gain, None if mean is None else mean.flatten(1), rstd.flatten(1),
        None if dtotal is None else dtotal.flatten(1, 2),
        has_bias=shift is not None, out=None if out is None else out.norms,
    )  # fmt: skip
    return Gradients(norms.dx.view_as(x), norms.dgain, norms.dbias, *products[1:3], products, norms)


def product_gradients(
    dq: Tensor, dk: Tensor, dv: Tensor, x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor,
    mean: Tensor | None, rstd: Tensor, dtotal: Tensor | None, *,
    has_bias: bool, base: float | None, out: Products | None,
) -> Products:  # fmt: skip
    """The part of :func:`backward` before the norm's."""
    sizes = check(
        "norm_qkv_backward", dq=dq, dk=dk, dv=dv, x=x, gain=gain, shift=shift, weight=weight, mean=mean, rstd=rstd,
        dtotal=dtotal,
    )  # fmt: skip
    admit("norm_qkv_backward", "dq", dq)
    models, seq, width, heads, groups = (sizes[axis] for axis in "KTDHG")
    rows, outputs = sizes["B"] * seq, sizes["O"]
    d_head, chip = head_width(outputs, heads, groups, base), chip_of(x.device)
    if d_head != sizes["C"]:
        raise KernelError(f"norm_qkv: heads of the gradients are {sizes['C']} wide, of weight {d_head}")
    tile = configuration("qkv_weight", width=width, dtype=x.dtype, chip=chip)
    tiles = tiles_of(heads, groups, d_head, tile["pairs"]) * triton.cdiv(width, tile["columns"])
    shares, span = shared_out(rows, tiles, tile)
    wide = is_wide("norm_qkv_backward", width, "qkv_weight")
    sums = None if wide or shares == 1 else ((models, shares, outputs, width), torch.float32)
    made = Products(*buffers(
        "norm_qkv", x.device, out, dn=(tuple(x.shape), x.dtype), dweight=(tuple(weight.shape), x.dtype),
        dbias=((models, outputs), x.dtype) if has_bias else None,
        weight_sums=sums, bias_sums=(sums[0][:3], torch.float32) if sums and has_bias else None,
        dpacked=((models, rows, outputs), x.dtype) if wide else None,
    ))  # fmt: skip
    if made.dpacked is not None:
        qkv_library.backward(dq, dk, dv, x, gain, shift, weight, mean, rstd, *made[:3], made.dpacked, base)
        return made
    given, table = (dq, dk, dv), turns(seq, d_head, base, x.device)
    _qkv_weight[(tiles, shares, models)](
        *given, x, gain, shift, mean, rstd, *table, *(made[1:3] if sums is None else made[3:5]),
        rows, seq, width, heads, groups, span,
        C=d_head, HALF=half(d_head, base, tile["pairs"]), **tile.constants, **tile.launch,
    )  # fmt: skip
    for partial, total in zip(made[3:5], made[1:3], strict=True):
        if partial is not None and total is not None:
            add_partials(partial, total)
    rows_gradient(*given, weight, table, made.dn, base)
    return made
