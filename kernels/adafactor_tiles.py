"""What the launches of Adafactor do: to tiles of matrices, to lines of their moments, to each matrix.

Programs find their tile in TILES (tiles, 3): the matrix, and the tile's first row and column; and the matrix in
MATRICES (matrices, FIELDS), int64, whose fields are those of :class:`Matrix`. GRADS, PARAMS, MASTER (tensors,) and
MOMENTS (2, tensors), of R and then of C, are addresses. CLIPPED (K,) float32 multiplies gradients. Formulas and names
are those of ``adafactor``.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl

from isoflop.kernels.addresses import address

EPS = tl.constexpr(1e-30)
TENSOR, NUMBER, STACK, HIGH, WIDE = (tl.constexpr(field) for field in range(5))
FACTORED, ROW_SUMS, COLUMN_SUMS, ACROSS, DOWN, FIRST_TILE = (tl.constexpr(field) for field in range(5, 11))
FIELDS = tl.constexpr(11)


class Matrix(NamedTuple):
    """Where a matrix of each model lies: the ``number``-th of a ``stack`` in a tensor; ``factored``: it has R and C.

    It is ``across`` tiles wide and ``down`` high, from the ``first_tile`` on; sums of q by tile begin at ``row_sums``
    (across, high) and ``column_sums`` (down, wide).
    """

    tensor: int
    number: int
    stack: int
    high: int
    wide: int
    factored: bool
    row_sums: int
    column_sums: int
    across: int
    down: int
    first_tile: int


@triton.jit
def _tile(TILES, MATRICES, ALIGN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Fields of the matrix, its number among all, rows, columns, elements of the tensor and which of them there are.

    Of a program of a grid (tiles, K).
    """
    TILE = TILES + 3 * tl.program_id(0)
    OF = MATRICES + tl.load(TILE) * FIELDS
    rows = tl.load(TILE + 1) + tl.arange(0, ROWS)[:, None]
    columns = tl.multiple_of(tl.load(TILE + 2), COLUMNS) + tl.arange(0, COLUMNS)[None, :]
    matrix = tl.program_id(1).to(tl.int64) * tl.load(OF + STACK) + tl.load(OF + NUMBER)
    high, wide = tl.load(OF + HIGH), tl.multiple_of(tl.load(OF + WIDE), ALIGN)
    at, live = (matrix * high + rows) * wide + columns, (rows < high) & (columns < wide)
    return OF, matrix, rows, columns, at, live


@triton.jit
def _gradient(GRADS, CLIPPED, OF, at, live, GRAD: tl.constexpr):
    g = tl.load(address(GRADS, tl.load(OF + TENSOR), GRAD) + at, mask=live, other=0.0).to(tl.float32)
    return g * tl.load(CLIPPED + tl.program_id(1))


@triton.jit
def _change(
    GRADS, CLIPPED, MOMENTS, MEANS, OF, rows, columns, at, live, matrix, tensors, matrices, place, GRAD: tl.constexpr
):  # fmt: skip
    """u of a tile; MOMENTS (2, tensors) addresses of R and C, MEANS (K, matrices) of R."""
    high, wide = tl.load(OF + HIGH), tl.load(OF + WIDE)
    tensor, factored = tl.load(OF + TENSOR), tl.load(OF + FACTORED)
    of_rows = address(MOMENTS, tensor, tl.float32) + matrix * high + rows
    of_columns = address(MOMENTS, tensors + tensor, tl.float32) + matrix * wide + columns
    r = tl.load(of_rows, mask=rows < high * factored, other=1.0)
    mean = tl.where(factored > 0, tl.load(MEANS + tl.program_id(1) * matrices + place), 1.0)
    # Divided first: the product of two small moments is 0 in float32.
    v = r / mean * tl.load(of_columns, mask=columns < wide, other=1.0)
    return _gradient(GRADS, CLIPPED, OF, at, live, GRAD) / tl.sqrt_rn(v)


@triton.jit
def _adafactor_sums(
    GRADS, CLIPPED, TILES, MATRICES, SUMS, sums, GRAD: tl.constexpr, ALIGN: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """Grid (tiles, K): q of a tile, summed by row and by column, to SUMS (K, sums)."""
    OF, _, rows, columns, at, live = _tile(TILES, MATRICES, ALIGN, ROWS, COLUMNS)
    high, wide = tl.load(OF + HIGH), tl.load(OF + WIDE)
    g = _gradient(GRADS, CLIPPED, OF, at, live, GRAD)
    q = tl.where(live, g * g + EPS, 0.0)
    SUMS += tl.program_id(1).to(tl.int64) * sums
    by_row = SUMS + tl.load(OF + ROW_SUMS) + tl.min(columns, 1)[:, None] // COLUMNS * high + rows
    by_column = SUMS + tl.load(OF + COLUMN_SUMS) + tl.min(rows, 0)[None, :] // ROWS * wide + columns
    tl.store(by_row, tl.sum(q, 1)[:, None], mask=rows < high)
    tl.store(by_column, tl.sum(q, 0)[None, :], mask=columns < wide)


@triton.jit
def _adafactor_moments(
    SUMS, LINES, MATRICES, MOMENTS, STEP, sums, tensors, PARTS: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """Grid (blocks, K). LINES (blocks, 3): matrix, 0 of its rows or 1 of its columns, and the first of those moved."""
    model, at = tl.program_id(1).to(tl.int64), LINES + 3 * tl.program_id(0)
    OF, axis = MATRICES + tl.load(at) * FIELDS, tl.load(at + 1)
    lines = tl.load(at + 2) + tl.arange(0, COLUMNS)[None, :]
    count, over, parts = tl.load(OF + HIGH + axis), tl.load(OF + WIDE - axis), tl.load(OF + ACROSS + axis)
    live, total = lines < count, tl.zeros((1, COLUMNS), tl.float32)
    SUMS += model * sums + tl.load(OF + ROW_SUMS + axis)
    for p in range(0, parts, PARTS):
        part = p + tl.arange(0, PARTS)[:, None]
        total += tl.sum(tl.load(SUMS + part * count + lines, mask=live & (part < parts), other=0.0), 0)[None, :]
    share = tl.exp(-0.8 * tl.log(tl.load(STEP + model).to(tl.float64))).to(tl.float32)
    moments = address(MOMENTS, axis * tensors + tl.load(OF + TENSOR), tl.float32)
    moments += (model * tl.load(OF + STACK) + tl.load(OF + NUMBER)) * count + lines
    old = tl.load(moments, mask=live, other=0.0)
    tl.store(moments, old + share * (total / over.to(tl.float32) - old), mask=live)


@triton.jit
def _adafactor_means(MATRICES, MOMENTS, MEANS, BLOCK: tl.constexpr):
    """Grid (matrices, K): the mean of R to MEANS (K, matrices), of those that have one."""
    model, place = tl.program_id(1).to(tl.int64), tl.program_id(0)
    OF = MATRICES + place * FIELDS
    if tl.load(OF + FACTORED) > 0:
        high, total = tl.load(OF + HIGH), tl.zeros((BLOCK,), tl.float32)
        moments = (
            address(MOMENTS, tl.load(OF + TENSOR), tl.float32)
            + (model * tl.load(OF + STACK) + tl.load(OF + NUMBER)) * high
        )
        for row in range(0, high, BLOCK):
            rows = row + tl.arange(0, BLOCK)
            total += tl.load(moments + rows, mask=rows < high, other=0.0)
        tl.store(MEANS + model * tl.num_programs(0) + place, tl.sum(total, 0) / high.to(tl.float32))


@triton.jit
def _adafactor_squares(
    GRADS, CLIPPED, TILES, MATRICES, MOMENTS, MEANS, SQUARES, tensors, matrices, GRAD: tl.constexpr,
    ALIGN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Grid (tiles, K): the sum of u^2 of a tile to SQUARES (K, tiles)."""
    OF, matrix, rows, columns, at, live = _tile(TILES, MATRICES, ALIGN, ROWS, COLUMNS)
    place = tl.load(TILES + 3 * tl.program_id(0))
    u = _change(
        GRADS, CLIPPED, MOMENTS, MEANS, OF, rows, columns, at, live, matrix, tensors, matrices, place, GRAD
    )  # fmt: skip
    out = tl.program_id(1).to(tl.int64) * tl.num_programs(0) + tl.program_id(0)
    tl.store(SQUARES + out, tl.sum(tl.sum(u * u, 1), 0))


@triton.jit
def _adafactor_sizes(MATRICES, SQUARES, RATE, FACTORS, SIZES, tiles, BLOCK: tl.constexpr):
    """Grid (matrices, K): lr over max(1, rms(u)) to SIZES (K, matrices). RATE (K,) float64, FACTORS (tensors, 2, K).

    SQUARES (K, tiles).
    """
    model, models = tl.program_id(1).to(tl.int64), tl.num_programs(1)
    OF = MATRICES + tl.program_id(0) * FIELDS
    high, wide, count = tl.load(OF + HIGH), tl.load(OF + WIDE), tl.load(OF + ACROSS) * tl.load(OF + DOWN)
    total = tl.zeros((BLOCK,), tl.float32)
    SQUARES += model * tiles + tl.load(OF + FIRST_TILE)
    for tile in range(0, count, BLOCK):
        lanes = tile + tl.arange(0, BLOCK)
        total += tl.load(SQUARES + lanes, mask=lanes < count, other=0.0)
    rms = tl.sqrt_rn(tl.sum(total, 0) / (high * wide).to(tl.float32))
    rate = (tl.load(RATE + model) * tl.load(FACTORS + 2 * tl.load(OF + TENSOR) * models + model)).to(tl.float32)
    tl.store(SIZES + model * tl.num_programs(0) + tl.program_id(0), rate / tl.maximum(rms, 1.0))


@triton.jit
def _adafactor_update(
    PARAMS, MASTER, GRADS, CLIPPED, TILES, MATRICES, MOMENTS, MEANS, SIZES, RATE, DECAY, FACTORS, tensors, matrices,
    PARAM: tl.constexpr, GRAD: tl.constexpr, ALIGN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Grid (tiles, K): a tile of PARAMS, or of MASTER of which these are then a rounded copy. DECAY (K,) float64."""
    OF, matrix, rows, columns, at, live = _tile(TILES, MATRICES, ALIGN, ROWS, COLUMNS)
    place = tl.load(TILES + 3 * tl.program_id(0))
    u = _change(
        GRADS, CLIPPED, MOMENTS, MEANS, OF, rows, columns, at, live, matrix, tensors, matrices, place, GRAD
    )  # fmt: skip
    model, models, tensor = tl.program_id(1).to(tl.int64), tl.num_programs(1), tl.load(OF + TENSOR)
    factors = FACTORS + 2 * tensor * models + model
    shrink = tl.load(RATE + model) * tl.load(DECAY + model) * tl.load(factors) * tl.load(factors + models)
    params = address(PARAMS, tensor, PARAM) + at
    held = params if MASTER is None else address(MASTER, tensor, tl.float32) + at
    p = tl.load(held, mask=live, other=0.0).to(tl.float32)
    p = p * (1.0 - shrink).to(tl.float32) - tl.load(SIZES + model * matrices + place) * u
    if MASTER is not None:
        tl.store(held, p, mask=live)
    tl.store(params, p.to(PARAM), mask=live)
