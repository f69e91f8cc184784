"""Tiles of attention: rows read and written, and which pairs of a query and a key a mask leaves: device code.

Causal, query i sees the keys up to i, with a window the last w of those; else it sees all. Blocks of keys that a block
of queries sees fall into [first, end); those in [whole, stop) are seen by all of its queries and need no mask. The same
holds of blocks of queries for a block of keys.
"""

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


@triton.jit
def visible(rows, columns, T, window, CAUSAL: tl.constexpr):
    """Whether query ``rows`` see key ``columns``; under a causal mask, of rows before T alone."""
    seen = columns <= rows if CAUSAL else columns < T
    if window is not None:
        seen = seen & (rows - columns < window)
    return seen


@triton.jit
def keys_seen(row, T, window, CAUSAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of ROWS queries from ``row``: [first, end) of the keys that any of them sees, [whole, stop) of those in blocks
    that all of them see. All but ``end`` are multiples of COLUMNS."""
    first, whole, stop, end = 0, 0, T // COLUMNS * COLUMNS, T
    if CAUSAL:
        stop, end = (row + 1) // COLUMNS * COLUMNS, tl.minimum(row + ROWS, T)
    if window is not None:
        first = tl.maximum(row - window + 1, 0) // COLUMNS * COLUMNS
        whole = tl.minimum(tl.cdiv(tl.maximum(row + ROWS - window, 0), COLUMNS) * COLUMNS, stop)
    return first, whole, stop, end


@triton.jit
def queries_that_see(column, T, window, CAUSAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of COLUMNS keys from ``column``: [first, end) of the queries that see any of them, [whole, stop) of those in
    blocks that see all of them. All but ``end`` are multiples of ROWS."""
    first, whole, stop, end = 0, 0, T // ROWS * ROWS, T
    if CAUSAL:
        first, whole = column // ROWS * ROWS, tl.cdiv(column + COLUMNS - 1, ROWS) * ROWS
    if window is not None:
        stop = tl.minimum(stop, (column + window) // ROWS * ROWS)
        end = tl.minimum(column + COLUMNS - 1 + window, T)
    return first, tl.minimum(whole, stop), stop, end


@triton.jit
def edge_block(i, first, whole, stop, BLOCK: tl.constexpr):
    """Start of the i-th block of [first, ...) outside [whole, stop)."""
    at = first + i * BLOCK
    return at + tl.where(at >= whole, stop - whole, 0)
