"""Tiles of the projection to queries, keys and values: rows normalised as they are read, columns by pairs and heads.

The columns of q, k and v lie side by side in W, each tensor by heads of C, but apart in memory: (K, B, heads, T, C). A
tile has pairs of columns, so that both halves of a pair that turns meet in it. Angles come from a table in float32, as
in the definition; the sine of a GPU is not good for thousands of radians.
"""

from __future__ import annotations

import triton
import triton.language as tl

from isoflop.kernels.row_norm import read


@triton.jit
def part_of(tile, Q, K, V, heads, groups, C: tl.constexpr, PAIRS: tl.constexpr):
    """Of which tensor a tile is: it, the tile in it, its columns, its first row of W, and 1 where its pairs turn."""
    queries, keys = tl.cdiv(heads * C, 2 * PAIRS), tl.cdiv(groups * C, 2 * PAIRS)
    OUT, width, first, turns = Q, heads * C, heads * 0, 1
    if tile >= queries:
        OUT, width, first, tile = K, groups * C, heads * C, tile - queries
        if tile >= keys:
            OUT, first, tile, turns = V, (heads + groups) * C, tile - keys, 0
    return OUT, tile, width, first, turns


@triton.jit
def left_columns(tile, HALF: tl.constexpr, PAIRS: tl.constexpr):
    """The left column of each pair of a tile; its right one lies HALF further."""
    pairs = tile * PAIRS + tl.arange(0, PAIRS)
    return pairs // HALF * (2 * HALF) + pairs % HALF


@triton.jit
def head_row(model, M, r, T, width, C: tl.constexpr):
    """Where row ``r`` of a (K, B, heads, T, C) tensor with heads C = ``width`` begins, and its position in T."""
    t = r % T
    return (model * M + r - t) * width + t * C, t


@triton.jit
def head_column(column, T, C: tl.constexpr):
    """How far from there a column of the projection lies."""
    return column // C * (T * C) + column % C


@triton.jit
def angles(COS, SIN, t, column, live, C: tl.constexpr, HALF: tl.constexpr):
    """Cosine and sine at positions ``t`` of the pairs with these left columns; COS and SIN are (T, HALF)."""
    at = t * HALF + column % C
    return read(COS, at, live), read(SIN, at, live)


@triton.jit
def normed(X, GAIN, SHIFT, at, columns, live, inside, mean, rstd):
    """The normalised tile at ``at``, in the dtype of X; nought where masked."""
    x = tl.load(X + at, mask=live & inside, other=0.0).to(tl.float32)
    n = (x - mean) * rstd * read(GAIN, columns, inside)
    if SHIFT is not None:
        n += read(SHIFT, columns, inside)
    return tl.where(live & inside, n, 0.0).to(X.dtype.element_ty)


@triton.jit
def turned_back(
    DP, COS, SIN, model, r, left, M, T, width, turns, C: tl.constexpr, HALF: tl.constexpr
):  # fmt: skip
    """Both halves, float32, of rows ``r`` and pairs ``left`` of the gradient of one tensor, before its turn."""
    begin, t = head_row(model, M, r, T, width, C)
    right, live = left + HALF, r < M
    a = tl.load(DP + begin + head_column(left, T, C), mask=live & (left < width), other=0.0).to(tl.float32)
    b = tl.load(DP + begin + head_column(right, T, C), mask=live & (right < width), other=0.0).to(tl.float32)
    if COS is not None:
        if turns:
            cos, sin = angles(COS, SIN, t, left, live & (left < width), C, HALF)
            a, b = a * cos + b * sin, b * cos - a * sin
    return a, b


def tiles_of(n_head: int, n_kv_head: int, d_head: int, pairs: int) -> int:
    """Tiles of ``pairs`` pairs of columns in queries, keys and values: each tensor starts with one of its own."""
    queries, keys = (triton.cdiv(heads * d_head, 2 * pairs) for heads in (n_head, n_kv_head))
    return int(queries + 2 * keys)


def half(d_head: int, base: float | None, pairs: int) -> int:
    """How far the columns of a pair lie from one another: half a head where they turn, else half a tile."""
    return pairs if base is None else d_head // 2
