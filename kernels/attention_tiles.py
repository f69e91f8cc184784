"""Tiles of attention: rows read and written, and the chance of their weights to stay: device code."""

from __future__ import annotations

import triton
import triton.language as tl

from isoflop.kernels.chance import kept


@triton.jit
def block_of_queries(heads, T, ROWS: tl.constexpr):
    """(first row, head) of a program of a grid (cdiv(T, ROWS) heads, K): the longest rows first."""
    program = tl.program_id(0)
    row = (tl.cdiv(T, ROWS) - 1 - program // heads) * ROWS
    return row, tl.program_id(1).to(tl.int64) * heads + program % heads


@triton.jit
def kept_weights(RATE, SEED, STEP, START, op, heads, head, T, rows, columns):
    """What the weights of ``rows`` and ``columns`` of a ``head`` among all heads of K models are multiplied by."""
    of_model = head - tl.program_id(1).to(tl.int64) * heads
    return kept(RATE, SEED, STEP, START, op, of_model * T * T, rows * T + columns)


@triton.jit
def load_tile(X, row, T, MASKED: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr):
    """Rows from ``row`` of X (T, C): (ROWS, WIDTH), zeros past the ends; ``MASKED`` where rows may be past T."""
    rows, columns = tl.arange(0, ROWS)[:, None], tl.arange(0, WIDTH)[None, :]
    start = X + tl.cast(row, tl.int64) * C
    if MASKED:
        live = row + rows < T
        if C < WIDTH:
            live = live & (columns < C)
        tile = tl.load(start + rows * C + columns, mask=live, other=0.0)
    elif C < WIDTH:
        tile = tl.load(start + rows * C + columns, mask=columns < C, other=0.0)
    else:
        tile = tl.load(start + rows * C + columns)
    return tile


@triton.jit
def store_tile(X, tile, row, T, ROWS: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr):
    """A tile (ROWS, WIDTH) to rows from ``row`` of X (T, C), as far as they go."""
    rows, columns = tl.arange(0, ROWS)[:, None], tl.arange(0, WIDTH)[None, :]
    live = row + rows < T
    if C < WIDTH:
        live = live & (columns < C)
    start = X + tl.cast(row, tl.int64) * C
    tl.store(start + rows * C + columns, tile.to(X.dtype.element_ty), mask=live)
