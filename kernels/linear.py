"""A linear layer of K models, with bias and the residual add behind it; backward is ``linear_backward``.

    y = x W^T + b + residual

FLOPs of the products of M rows, I wide to O: 2 M I O. Minimum bytes at s bytes an element: s (M I + O I + M O), with
bias s O and with residual s M O more. Arithmetic intensity of M rows of D to D, M >> D: D/s FLOPs a byte, so that on an
H100 bandwidth decides below D of about 600.

A program computes one tile of the result over the whole of the inner dimension. A weight that lies turned in memory,
(I, O), is read as it lies. Wider than ``library_past`` of the table, arithmetic decides, and torch's own products run;
``last_dispatch`` tells.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import linear_library
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration, library_past
from isoflop.kernels.dispatch import record
from isoflop.kernels.launch import admit
from isoflop.kernels.products import add_product
from isoflop.kernels.signatures import check


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
        total = add_product(x, w, total)
        X += DEPTH
        W += DEPTH * N if BACK else DEPTH
    if B is not None:
        total += tl.load(B + model * N + column + columns, mask=inside, other=0.0).to(tl.float32)
    out = (model * M + row) * N + column
    if R is not None:
        total += tl.load(R + out + rows * N + columns, mask=live & inside, other=0.0).to(tl.float32)
    tl.store(Y + out + rows * N + columns, total.to(Y.dtype.element_ty), mask=live & inside)


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
    if is_wide("linear", inner, width):
        linear_library.forward(x, weight, bias, residual, y)
    else:
        rows_by_weight(x, weight, bias, residual, y, back=False)
    return y


def flops(rows: int, inner: int, width: int) -> tuple[int, int]:
    """Of the products of one model, forward and backward."""
    return 2 * rows * inner * width, 4 * rows * inner * width


def least_bytes(rows: int, inner: int, width: int, size: int, *, bias: bool, residual: bool) -> tuple[int, int]:
    """That one model reads and writes at ``size`` bytes an element, forward and backward."""
    forward = rows * inner + width * inner + (1 + residual) * rows * width + bias * width
    return size * forward, size * (2 * rows * inner + 2 * width * inner + rows * width + bias * width)


def is_wide(op: str, inner: int, width: int) -> bool:
    """Whether torch's products run ``op``, of which a note is made."""
    wide = max(inner, width) > library_past("linear")
    if wide:
        record(op, "library")
    return wide


def rows_by_weight(
    x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, y: Tensor, *, back: bool
) -> None:
    """x times the weight, where ``back`` times the weight from the other side, with bias and residual, to ``y``."""
    (models, rows, width), inner = y.shape, x.shape[2]
    if not weight.is_contiguous():
        weight, back = weight.mT, not back
    tile = configuration("linear", width=max(inner, width), dtype=x.dtype, chip=chip_of(x.device))
    grid = (triton.cdiv(rows, tile["rows"]) * triton.cdiv(width, tile["columns"]), models)
    _linear_rows[grid](x, weight, bias, residual, y, rows, width, inner, BACK=back, **tile.constants, **tile.launch)
