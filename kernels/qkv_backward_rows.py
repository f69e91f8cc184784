"""The gradient of the rows that were projected to queries, keys and values: a part of ``qkv_backward``.

    dn = dp W,   dp = dq, dk, dv turned back, by rows

FLOPs of M rows, D wide to O: 2 M D O. Minimum bytes at s bytes an element: s (M O + O D + M D): dq, dk, dv and W read,
dn written. Arithmetic intensity at O = 3 D, M >> D: 3 D/(2 s) FLOPs a byte.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.products import add_product
from isoflop.kernels.qkv_tiles import half, left_columns, turned_back


@triton.jit
def _add_part(
    total, DP, W, COS, SIN, model, r, column, M, T, D, width, turns: tl.constexpr,
    C: tl.constexpr, HALF: tl.constexpr, COLUMNS: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    """``total`` plus dp W over the columns of one tensor; W points at its first row."""
    columns = column + tl.arange(0, COLUMNS)[None, :]
    for tile in range(tl.cdiv(width, 2 * PAIRS)):
        left = left_columns(tile, HALF, PAIRS)
        a, b = turned_back(DP, COS, SIN, model, r, left[None, :], M, T, width, turns, C, HALF)
        left = left[:, None]
        w = tl.load(W + left * D + columns, mask=(left < width) & (columns < D), other=0.0)
        total = add_product(a.to(w.dtype), w, total)
        w = tl.load(W + (left + HALF) * D + columns, mask=(left + HALF < width) & (columns < D), other=0.0)
        total = add_product(b.to(w.dtype), w, total)
    return total


@triton.jit
def _qkv_rows(
    DQ, DK, DV, W, COS, SIN, DN, M, T, D, heads, groups,
    C: tl.constexpr, HALF: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS) cdiv(D, COLUMNS), K): the gradient DN (K, M, D) of the normalised rows."""
    model, tiles = tl.program_id(1).to(tl.int64), tl.cdiv(D, COLUMNS)
    row, column = (tl.program_id(0) // tiles).to(tl.int64) * ROWS, (tl.program_id(0) % tiles) * COLUMNS
    r, columns = row + tl.arange(0, ROWS)[:, None], column + tl.arange(0, COLUMNS)[None, :]
    W += model * (heads + 2 * groups) * C * D
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    width = heads * C
    total = _add_part(total, DQ, W, COS, SIN, model, r, column, M, T, D, width, True, C, HALF, COLUMNS, PAIRS)
    W += width.to(tl.int64) * D
    width = groups * C
    total = _add_part(total, DK, W, COS, SIN, model, r, column, M, T, D, width, True, C, HALF, COLUMNS, PAIRS)
    W += width.to(tl.int64) * D
    total = _add_part(total, DV, W, COS, SIN, model, r, column, M, T, D, width, False, C, HALF, COLUMNS, PAIRS)
    at = (model * M + r) * D + columns
    tl.store(DN + at, total.to(DN.dtype.element_ty), mask=(r < M) & (columns < D))


def rows_gradient(
    dq: Tensor, dk: Tensor, dv: Tensor, weight: Tensor, turns: tuple[Tensor | None, Tensor | None], dn: Tensor,
    base: float | None,
) -> None:  # fmt: skip
    """``dn`` (K, B, T, D) from dq (K, B, H, T, C), dk, dv (K, B, G, T, C), the weight and the table of turns."""
    (models, batch, heads, seq, d_head), groups, width = dq.shape, dk.shape[2], dn.shape[3]
    tile = configuration("qkv_rows", width=width, dtype=dn.dtype, chip=chip_of(dn.device))
    rows = batch * seq
    _qkv_rows[(triton.cdiv(rows, tile["rows"]) * triton.cdiv(width, tile["columns"]), models)](
        dq, dk, dv, weight, *turns, dn, rows, seq, width, heads, groups,
        C=d_head, HALF=half(d_head, base, tile["pairs"]), **tile.constants, **tile.launch,
    )  # fmt: skip
