"""A linear layer of K models, with bias and the residual add behind it: forward and backward.

    y = x W^T + b + residual
    dx = dy W,   dW = dy^T x,   db = sum over rows of dy;   the gradient of the residual is dy itself

FLOPs of the products of M rows, I wide to O: 2 M I O forward, 4 M I O backward. Minimum bytes at s bytes an element:
s (M I + O I + M O) forward, with bias s O and with residual s M O more; backward, which reads dy, x and W and writes
their like, s (2 M I + 2 O I + M O) and s O for db. Arithmetic intensity of M rows of D to D, M >> D: D/s and 4 D/(3 s)
FLOPs a byte, so that on an H100 bandwidth decides below D of about 600.

A program computes one tile of a result over the whole of the inner dimension. dW sums over all rows: where its tiles
are too few to fill a GPU, the rows are shared out among programs, whose partial sums are added in a fixed order. A
weight that lies turned in memory, (I, O), is read as it lies, and its gradient is dW^T = x^T dy, which lies as it does.
Wider than ``library_past`` of the table, arithmetic decides, and torch's own products run; ``last_dispatch`` tells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import linear_library
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import Configuration, chip_of, configuration, library_past
from isoflop.kernels.dispatch import record
from isoflop.kernels.launch import admit
from isoflop.kernels.partial import add_partials
from isoflop.kernels.signatures import check

PROGRAMS = 128  # of a model that share out the sum over rows: enough to fill a GPU with one model
STEPS = 8  # of each at least: a partial sum then costs a quarter of the bytes that went into it


@triton.jit
def _linear_rows(
    X, W, B, R, Y, M, N, D, BACK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr
):  # fmt: skip
    """Grid (cdiv(M, ROWS) cdiv(N, COLUMNS), K). X (K, M, D) times W (K, N, D), where BACK (K, D, N), to Y (K, M, N).

    B (K, N) and R (K, M, N) are added, or None.
    """
    model, tiles = tl.program_id(1).to(tl.int64), tl.cdiv(N, COLUMNS)
    row, column = (tl.program_id(0) // tiles).to(tl.int64) * ROWS, (tl.program_id(0) % tiles) * COLUMNS
    rows, columns, depth = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :], tl.arange(0, DEPTH)
    live, inside = row + rows < M, column + columns < N
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    X += (model * M + row) * D
    W += model * N * D + (column if BACK else column.to(tl.int64) * D)
    for d in range(0, D, DEPTH):
        x = tl.load(X + rows * D + depth[None, :], mask=live & (d + depth < D)[None, :], other=0.0)
        at = depth[:, None] * N + columns if BACK else columns * D + depth[:, None]
        w = tl.load(W + at, mask=inside & (d + depth < D)[:, None], other=0.0)
        total = tl.dot(x, w, total, input_precision="ieee")
        X += DEPTH
        W += DEPTH * N if BACK else DEPTH
    if B is not None:
        total += tl.load(B + model * N + column + columns, mask=inside, other=0.0).to(tl.float32)
    out = (model * M + row) * N + column
    if R is not None:
        total += tl.load(R + out + rows * N + columns, mask=live & inside, other=0.0).to(tl.float32)
    tl.store(Y + out + rows * N + columns, total.to(Y.dtype.element_ty), mask=live & inside)


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
        total = tl.dot(tl.trans(dy), x, total, input_precision="ieee")
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


def forward(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """x W^T + b + residual: x (K, M, I), weight (K, O, I), bias (K, O), residual (K, M, O) to (K, M, O).

    The weight may be the transpose of a tensor (K, I, O). ``out`` is filled and returned where given, and may be
    ``residual``. Raises KernelError, before any launch, for tensors that ``signatures.check`` refuses or that are on no
    GPU, and for an ``out`` of another form.
    """
    sizes = check("linear", x=x, weight=weight, bias=bias, residual=residual)
    admit("linear", "x", x)
    models, rows, inner, width = (sizes[axis] for axis in "KMIO")
    given = None if out is None else (out,)
    y: Tensor = buffers("linear", x.device, given, y=((models, rows, width), x.dtype))[0]
    if _is_wide("linear", inner, width):
        linear_library.forward(x, weight, bias, residual, y)
    else:
        _rows_by_weight(x, weight, bias, residual, y, back=False)
    return y


def backward(dy: Tensor, x: Tensor, weight: Tensor, *, has_bias: bool, out: Gradients | None = None) -> Gradients:
    """Gradients from ``dy`` (K, M, O), x (K, M, I) and weight (K, O, I), in the gradients ``out`` of an earlier call.

    Raises KernelError as :func:`forward` does.
    """
    sizes = check("linear_backward", dy=dy, x=x, weight=weight)
    admit("linear_backward", "dy", dy)
    models, rows, inner, width = (sizes[axis] for axis in "KMIO")
    wide, turned = _is_wide("linear_backward", inner, width), not weight.is_contiguous()
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
        _rows_by_weight(dy, weight, None, None, made.dx, back=True)
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


def flops(rows: int, inner: int, width: int) -> tuple[int, int]:
    """Of the products of one model, forward and backward."""
    return 2 * rows * inner * width, 4 * rows * inner * width


def least_bytes(rows: int, inner: int, width: int, size: int, *, bias: bool, residual: bool) -> tuple[int, int]:
    """That one model reads and writes at ``size`` bytes an element, forward and backward."""
    forward = rows * inner + width * inner + (1 + residual) * rows * width + bias * width
    return size * forward, size * (2 * rows * inner + 2 * width * inner + rows * width + bias * width)


def _is_wide(op: str, inner: int, width: int) -> bool:
    """Whether torch's products run ``op``, of which a note is made."""
    wide = max(inner, width) > library_past("linear")
    if wide:
        record(op, "library")
    return wide


def _rows_by_weight(
    x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, y: Tensor, *, back: bool
) -> None:
    (models, rows, width), inner = y.shape, x.shape[2]
    if not weight.is_contiguous():
        weight, back = weight.mT, not back
    tile = configuration("linear", width=max(inner, width), dtype=x.dtype, chip=chip_of(x.device))
    grid = (triton.cdiv(rows, tile["rows"]) * triton.cdiv(width, tile["columns"]), models)
    _linear_rows[grid](x, weight, bias, residual, y, rows, width, inner, BACK=back, **tile.constants, **tile.launch)
