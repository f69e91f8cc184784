"""Launches, FLOPs and bytes of every level by arithmetic: the elements that programs ask for, and the fewest there are.

``least`` has each tensor of each launch once: what memory must move if nothing stays in a cache from one launch to the
next and everything does within one. ``asked`` is what the programs of a launch load and store, mostly from caches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import triton

from levels import fused, tiles

NORM = 7  # FLOPs an element of a layer norm with gain and bias


@dataclass(frozen=True)
class Launch:
    """Of one launch: elements as above, ``asked`` None where torch's library has its own tiles, and FLOPs.

    FLOPs are those of products and norms; biases, activations and sums have none.
    """

    least: int
    asked: int | None
    flops: int
    triton: bool = False


Tile = Mapping[str, int]


def elementwise(read: int, written: int, flops: int = 0) -> Launch:
    """An operation of torch that goes over its tensors once."""
    return Launch(read + written, read + written, flops)


def library(rows: int, inner: int, columns: int) -> Launch:
    """A product of torch's with a bias."""
    least = rows * inner + columns * inner + columns + rows * columns
    return Launch(least, None, 2 * rows * inner * columns)


def naive(rows: int, inner: int, columns: int) -> Launch:
    """A product whose every number is made of two rows."""
    least = rows * inner + columns * inner + rows * columns
    return Launch(least, rows * columns * (2 * inner + 1), 2 * rows * inner * columns, triton=True)


def tiled(rows: int, inner: int, columns: int, *, bias: bool = False, residual: bool = False) -> Launch:
    """A product in tiles, with what its epilogue reads."""
    down, across = triton.cdiv(rows, tiles.ROWS), triton.cdiv(columns, tiles.COLUMNS)
    result = rows * columns * (2 if residual else 1)
    least = rows * inner + columns * inner + bias * columns + result
    asked = rows * inner * across + columns * inner * down + bias * columns * down + result
    return Launch(least, asked, 2 * rows * inner * columns, triton=True)


def normed(rows: int, inner: int, columns: int) -> Launch:
    """A product of normed rows, normed once for each tile of columns."""
    down, across = triton.cdiv(rows, tiles.ROWS), triton.cdiv(columns, tiles.COLUMNS)
    least = rows * inner + 2 * inner + columns * inner + columns + rows * columns
    asked = rows * inner * across + 2 * inner * down * across + columns * (inner + 1) * down + rows * columns
    return Launch(least, asked, (2 * columns + NORM * across) * rows * inner, triton=True)


def whole(models: int, rows: int, width: int, deep: int, rows_of_a_program: int) -> Launch:
    """The MLP of ``models`` in one launch."""
    weights, programs = 2 * width * deep + deep + 3 * width, triton.cdiv(rows, rows_of_a_program)
    least, asked = (2 * rows * width + weights * each for each in (1, programs))
    flops = (4 * deep + NORM) * rows * width
    return Launch(models * least, models * asked, models * flops, triton=True)


def plain(m: int, d: int, f: int) -> list[Launch]:
    """Norm, product, activation, product, sum."""
    norm, gelu, residual = elementwise(m * d + 2 * d, m * d, NORM * m * d), elementwise(m * f, m * f), 2 * m * d
    return [norm, library(m, d, f), gelu, library(m, f, d), elementwise(residual, m * d)]


def with_products(product: Callable[[int, int, int], Launch], m: int, d: int, f: int) -> list[Launch]:
    """The same with biases of their own launches, behind products of ours."""
    norm, _, gelu, _, residual = plain(m, d, f)
    biases = [elementwise(m * each + each, m * each) for each in (f, d)]
    return [norm, product(m, d, f), biases[0], gelu, product(m, f, d), biases[1], residual]


def launches(level: int, models: int, m: int, d: int, f: int, tile: Tile) -> list[Launch]:
    """Those of one call of ``level`` for M rows, D wide, F hidden, of each model; ``tile`` is a row of the table."""
    out = tiled(m, f, d, bias=True, residual=True)
    of_one = {
        1: lambda: plain(m, d, f),
        2: lambda: with_products(naive, m, d, f),
        3: lambda: with_products(tiled, m, d, f),
        4: lambda: [plain(m, d, f)[0], tiled(m, d, f, bias=True), out],
        5: lambda: [normed(m, d, f), out],
        6: lambda: [whole(1, m, d, f, fused.ROWS)],
    }
    if level in of_one:
        return models * of_one[level]()
    return [whole(models, m, d, f, fused.ROWS if level == 7 else tile["rows"])]
