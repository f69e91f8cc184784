"""Which pairs of a query and a key a mask leaves, and which blocks of them are to be read: device code, and a count.

Causal, query i sees the keys up to i, with a window the last w of those; else it sees all. Blocks of keys that a block
of queries sees fall into [first, end); those in [whole, stop) are seen by all of its queries and need no mask. The same
holds of blocks of queries for a block of keys.
"""

from __future__ import annotations

import triton
import triton.language as tl


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


def pairs(seq: int, *, causal: bool = True, window: int | None = None) -> int:
    """Visible pairs of a head over ``seq`` positions: seq^2, or the sum of min(i + 1, window) over i < seq."""
    if not causal:
        return seq * seq
    width = min(window or seq, seq)
    return width * (width + 1) // 2 + (seq - width) * width
