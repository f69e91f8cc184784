"""Singular values of matrices of K models brought near 1 by a polynomial: Newton-Schulz (Jordan et al. 2024).

    x = u / (|u|_F + 1e-7)
    x = a x + (b A + c A A) x,   A = x x^T         five times, a = 3.4445, b = -4.7750, c = 2.0315

Every singular value comes near 1, not to it: between about 0.7 and 1.2. Of a matrix (O, I) with O > I, A is x^T x, on
the right of x: the shorter side, R, is that of A, the longer, C, is summed over. A and A A are symmetric: tiles below
the diagonal are not computed but written from those above.

FLOPs of one iteration: 2 R^2 C + (1 + 1/T)(R^2 C + R^3) with T tiles along R. Minimum bytes at s an element, x, A
and the polynomial each read and written once: s (2 R C + 4 R^2) an iteration. Arithmetic intensity of a square matrix
at two bytes and many tiles: R/3: products decide above R of about 900 on an H100, below it launches, which K models
share.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import Configuration, chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.partial import add_partials
from isoflop.kernels.products import add_product
from isoflop.kernels.reference import MUON
from isoflop.kernels.signatures import DTYPES, check


@triton.jit
def _orthogonal_square(U, PARTIAL, N, BLOCK: tl.constexpr):
    """Grid (cdiv(N, BLOCK), K): sums of squares of a block of U (K, N), float32, to PARTIAL (K, blocks, 1)."""
    model, at = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    u = tl.load(U + model * N + at, mask=at < N, other=0.0)
    tl.store(PARTIAL + model * tl.num_programs(0) + tl.program_id(0), tl.sum(u * u, 0))


@triton.jit
def _orthogonal_scale(U, SQUARE, X, N, EPS: tl.constexpr, BLOCK: tl.constexpr):
    """Grid (cdiv(N, BLOCK), K): U (K, N) over its norm, of which SQUARE (K, 1) is the square, to X."""
    model, at = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    live, at = at < N, model * N + at
    x = tl.load(U + at, mask=live, other=0.0) / (tl.sqrt_rn(tl.load(SQUARE + model)) + EPS)
    tl.store(X + at, x.to(X.dtype.element_ty), mask=live)


@triton.jit
def _orthogonal_product(
    A, B, C, OUT, M, N, D, by_row, by_depth, depth_by, column_by, SCALE: tl.constexpr, KEEP: tl.constexpr,
    SYMMETRIC: tl.constexpr, ROWS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS) cdiv(N, ROWS), K): OUT (K, M, N) = SCALE A B + KEEP C; C (K, M, N) or None.

    A (M, D) has strides (by_row, by_depth) and M D elements a model, B (D, N) strides (depth_by, column_by).
    """
    model, tiles = tl.program_id(1).to(tl.int64), tl.cdiv(N, ROWS)
    row, column = tl.program_id(0) // tiles * ROWS, tl.program_id(0) % tiles * ROWS
    if column >= row or not SYMMETRIC:
        rows, columns = row + tl.arange(0, ROWS)[:, None], column + tl.arange(0, ROWS)[None, :]
        a, b = A + model * M * D + rows.to(tl.int64) * by_row, B + model * N * D + columns.to(tl.int64) * column_by
        total = tl.zeros((ROWS, ROWS), tl.float32)
        for d in range(0, D, DEPTH):
            deep = d + tl.arange(0, DEPTH).to(tl.int64)
            left = tl.load(a + deep[None, :] * by_depth, mask=(rows < M) & (deep < D)[None, :], other=0.0)
            right = tl.load(b + deep[:, None] * depth_by, mask=(deep < D)[:, None] & (columns < N), other=0.0)
            total = add_product(left, right, total)
        total *= SCALE
        inside = (rows < M) & (columns < N)
        at = model * M * N + rows.to(tl.int64) * N + columns
        if C is not None:
            total += KEEP * tl.load(C + at, mask=inside, other=0.0).to(tl.float32)
        total = total.to(OUT.dtype.element_ty)
        tl.store(OUT + at, total, mask=inside)
        if SYMMETRIC:
            if column > row:
                at = model * M * N + tl.trans(columns).to(tl.int64) * N + tl.trans(rows)
                tl.store(OUT + at, tl.trans(total), mask=tl.trans(inside))


class Room(NamedTuple):
    """What :func:`orthogonalise` fills: ``x`` (K, O, I), its result, and what it works in."""

    x: Tensor
    other: Tensor
    gram: Tensor
    polynomial: Tensor
    square: Tensor
    partial: Tensor


def orthogonalise(
    u: Tensor, *, steps: int = 5, dtype: torch.dtype = torch.bfloat16, out: Room | None = None
) -> Room:  # fmt: skip
    """``u`` (K, O, I) float32, each matrix with its singular values brought near 1, in ``dtype``.

    ``out``, the room of an earlier call, is filled again. Raises KernelError, before any launch, for a tensor that
    ``signatures.check`` refuses, a dtype that kernels do not read, or ``steps`` below 1.
    """
    models, height, width = (check("orthogonalise", u=u)[axis] for axis in "KOI")
    if dtype not in DTYPES or steps < 1:
        raise KernelError(
            f"orthogonalise: steps is {steps}, of {dtype}; steps are 1 or more, of float32, float16 or bfloat16"
        )
    admit("orthogonalise", "u", u)
    short, elements, tile = min(height, width), height * width, block_tile(u)
    blocks, square = triton.cdiv(elements, tile["block"]), ((models, short, short), dtype)
    room = Room(*buffers(
        "orthogonalise", u.device, out, x=(tuple(u.shape), dtype), other=(tuple(u.shape), dtype), gram=square,
        polynomial=square, square=((models, 1), torch.float32), partial=((models, blocks, 1), torch.float32),
    ))  # fmt: skip
    # The iterations go to and fro: an even number of them begins where it ends.
    x, other = (room.x, room.other) if steps % 2 == 0 else (room.other, room.x)
    form = tile.constants | tile.launch
    _orthogonal_square[(blocks, models)](u, room.partial, elements, **form)
    add_partials(room.partial, room.square)
    _orthogonal_scale[(blocks, models)](u, room.square, x, elements, EPS=MUON["eps"], **form)
    tall, row, turned, among = height > width, (width, 1), (1, width), (short, 1)
    by_left, by_right = (turned, row) if tall else (row, turned)
    gram, polynomial = room.gram, room.polynomial
    for _ in range(steps):
        _product(x, x, None, gram, max(height, width), by_left, by_right, 1.0, 0.0)
        _product(gram, gram, gram, polynomial, short, among, among, MUON["c"], MUON["b"])
        left, right = (x, polynomial) if tall else (polynomial, x)
        _product(left, right, x, other, short, among, row, 1.0, MUON["a"])
        x, other = other, x
    return room


def _product(
    left: Tensor, right: Tensor, onto: Tensor | None, out: Tensor, deep: int, by_left: tuple[int, int],
    by_right: tuple[int, int], scale: float, keep: float,
) -> None:  # fmt: skip
    models, height, width = out.shape
    tile = configuration("muon", width=max(height, width), dtype=out.dtype, chip=chip_of(out.device))
    grid = triton.cdiv(height, tile["rows"]) * triton.cdiv(width, tile["rows"]), models
    _orthogonal_product[grid](
        left, right, onto, out, height, width, deep, *by_left, *by_right, SCALE=scale, KEEP=keep,
        SYMMETRIC=left is right, **tile.constants, **tile.launch,
    )  # fmt: skip


def block_tile(u: Tensor) -> Configuration:
    """Elements of one program that streams over them: those of the other optimizer."""
    return configuration("adamw", width=u[0].numel(), dtype=u.dtype, chip=chip_of(u.device))


def flops(height: int, width: int, *, tiles: float = 1, steps: int = 5) -> float:
    """Of the products of one matrix, where its shorter side has ``tiles`` tiles."""
    short, long = sorted((height, width))
    return steps * (2 * short**2 * long + (1 + 1 / tiles) * (short**2 * long + short**3))


def least_bytes(height: int, width: int, size: int, *, steps: int = 5) -> int:
    """Of one matrix at ``size`` an element: the first x written, then each product's results written and read once."""
    return size * (height * width * (1 + 2 * steps) + 4 * steps * min(height, width) ** 2)
