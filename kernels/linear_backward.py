"""Gradients of a linear layer of K models.

    dx = dy W,   dW = dy^T x,   db = sum over rows of dy;   the gradient of the residual is dy itself

FLOPs of the products of M rows, I wide to O: 4 M I O. Minimum bytes at s bytes an element, dy, x and W read and their
like written: s (2 M I + 2 O I + M O) and s O for db. Arithmetic intensity of M rows of D to D, M >> D: 4 D/(3 s) FLOPs
a byte.

dx is the forward kernel's work. dW sums over all rows: where its tiles are too few to fill a GPU, the rows are shared
out among programs, whose partial sums are added in a fixed order. The gradient of a weight that lies turned in memory,
(I, O), is dW^T = x^T dy, which lies as it does.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import linear_library
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import Configuration, chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.linear import is_wide, rows_by_weight
from isoflop.kernels.partial import add_partials
from isoflop.kernels.products import add_product
from isoflop.kernels.signatures import check

PROGRAMS = 128  # of a model that share out the sum over rows: enough to fill a GPU with one model
STEPS = 8  # of each at least: a partial sum then costs a quarter of the bytes that went into it


@triton.jit
def _linear_weight(
    DY, X, DW, DB, M, N, D, span, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr
):  # fmt: skip
    """Grid (cdiv(N, ROWS) cdiv(D, COLUMNS), S, K): DY (K, M, N), X (K, M, D) to DW (K, S, N, D) and DB (K, S, N).

    Each of S programs sums over ``span`` rows, a multiple of DEPTH; DB may be None.
    """
    model, share, tiles = tl.program_id(2).to(tl.int64), tl.program_id(1), tl.cdiv(D, COLUMNS)
    row, column = (tl.program_id(0) // tiles) * ROWS, (tl.program_id(0) % tiles) * COLUMNS
    rows, columns, depth = tl.arange(0, ROWS)[None, :], tl.arange(0, COLUMNS)[None, :], tl.arange(0, DEPTH)[:, None]
    total, bias = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((1, ROWS), tl.float32)
    start = share.to(tl.int64) * span
    DY += (model * M + start) * N + row
    X += (model * M + start) * D + column
    for m in range(start, tl.minimum(start + span, M), DEPTH):
        live = m + depth < M
        dy = tl.load(DY + depth * N + rows, mask=live & (row + rows < N), other=0.0)
        x = tl.load(X + depth * D + columns, mask=live & (column + columns < D), other=0.0)
        total = add_product(tl.trans(dy), x, total)
        if DB is not None:
            bias += tl.sum(dy.to(tl.float32), 0)[None, :]
        DY += DEPTH * N
        X += DEPTH * D
    out = model * tl.num_programs(1) + share
    down = row + tl.trans(rows)
    at = (out * N + row) * D + column + tl.trans(rows) * D + columns
    tl.store(DW + at, total.to(DW.dtype.element_ty), mask=(down < N) & (column + columns < D))
    if DB is not None:
        if column == 0:
            tl.store(DB + out * N + row + rows, bias.to(DB.dtype.element_ty), mask=row + rows < N)


class Gradients(NamedTuple):
    """Of x, weight and bias; the partial sums behind the last two, where there are any, are room for the next call."""

    dx: Tensor
    dweight: Tensor
    dbias: Tensor | None
    weight_sums: Tensor | None
    bias_sums: Tensor | None


def backward(dy: Tensor, x: Tensor, weight: Tensor, *, has_bias: bool, out: Gradients | None = None) -> Gradients:
    """Gradients from ``dy`` (K, M, O), x (K, M, I) and weight (K, O, I), in the gradients ``out`` of an earlier call.

    Raises KernelError as :func:`linear.forward` does.
    """
    sizes = check("linear_backward", dy=dy, x=x, weight=weight)
    admit("linear_backward", "dy", dy)
    models, rows, inner, width = (sizes[axis] for axis in "KMIO")
    wide, turned = is_wide("linear_backward", inner, width), not weight.is_contiguous()
    left, right = (x, dy) if turned else (dy, x)
    down, across = left.shape[2], right.shape[2]
    tile = configuration("linear_weight", width=max(inner, width), dtype=dy.dtype, chip=chip_of(dy.device))
    tiles = triton.cdiv(down, tile["rows"]) * triton.cdiv(across, tile["columns"])
    shares, span = shared_out(rows, tiles, tile)
    sums = None if wide or shares == 1 else ((models, shares, down, across), torch.float32)
    made = Gradients(*buffers(
        "linear", dy.device, out if out is None or not turned else out._replace(dweight=out.dweight.mT),
        dx=(tuple(x.shape), x.dtype), dweight=((models, down, across), weight.dtype),
        dbias=((models, width), weight.dtype) if has_bias else None,
        weight_sums=sums, bias_sums=(sums[0][:3], torch.float32) if sums and has_bias and not turned else None,
    ))  # fmt: skip
    if wide:
        linear_library.backward(dy, x, weight, *made[:3])
    else:
        rows_by_weight(dy, weight, None, None, made.dx, back=True)
        of_weight, of_bias = made[1:3] if sums is None else made[3:]
        _linear_weight[tiles, shares, models](
            left, right, of_weight, None if turned else of_bias, rows, down, across, span,
            **tile.constants, **tile.launch,
        )  # fmt: skip
        parts = made.weight_sums, dy if turned else made.bias_sums
        for partial, total in zip(parts, made[1:3], strict=True):
            if partial is not None and total is not None:
                add_partials(partial, total)
    return made._replace(dweight=made.dweight.mT) if turned else made


def shared_out(rows: int, tiles: int, tile: Configuration) -> tuple[int, int]:
    """Programs that share out a sum over ``rows``, and the rows of each, where a model's result has ``tiles`` tiles."""
    steps = triton.cdiv(rows, tile["depth"])
    each = max(STEPS, triton.cdiv(steps, triton.cdiv(PROGRAMS, tiles)))
    return triton.cdiv(steps, each), each * tile["depth"]
