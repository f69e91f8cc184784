"""Norm, projection and rotary positions of wide rows of K models: the projection by torch's own products.

    forward    n = norm(x) gain + shift;   p = n W^T + b;   q, k, v = p by heads, turned
    backward   dp = dq, dk, dv turned back, by rows;   dW = dp^T n,   db = sum over rows of dp,   dn = dp W

FLOPs are those of ``qkv``. The norm of M rows of D and the move of O = (H + 2 G) C columns between rows and heads are
passes of their own: s M (2 D + 2 O) bytes more than in one kernel, a direction, at s bytes an element, which arithmetic
outweighs past ``library_past`` of the table of ``qkv``.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import linear_library, norm
from isoflop.kernels.configurations import Configuration, chip_of, configuration
from isoflop.kernels.qkv_tiles import (
    angles,
    half,
    head_column,
    head_row,
    left_columns,
    normed,
)
from isoflop.kernels.rotary import turns


@triton.jit
def _heads(
    P, PART, COS, SIN, M, T, outputs, first, width,
    BACK: tl.constexpr, C: tl.constexpr, HALF: tl.constexpr, ROWS: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS) cdiv(``width``, 2 PAIRS), K). Columns of P (K, M, ``outputs``) from ``first`` on to PART.

    PART is (K, B, heads, T, C) with heads C = ``width``; BACK: from PART to P. COS, SIN (T, C/2), or None: no turn.
    """
    model, tiles = tl.program_id(1).to(tl.int64), tl.cdiv(width, 2 * PAIRS)
    r = (tl.program_id(0) // tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    left = left_columns(tl.program_id(0) % tiles, HALF, PAIRS)[None, :]
    right, live = left + HALF, r < M
    begin, t = head_row(model, M, r, T, width, C)
    of_left, of_right = live & (left < width), live & (right < width)
    packed = P + (model * M + r) * outputs + first
    apart_left, apart_right = PART + begin + head_column(left, T, C), PART + begin + head_column(right, T, C)
    a = tl.load(apart_left if BACK else packed + left, mask=of_left, other=0.0).to(tl.float32)
    b = tl.load(apart_right if BACK else packed + right, mask=of_right, other=0.0).to(tl.float32)
    if COS is not None:
        cos, sin = angles(COS, SIN, t, left, of_left, C, HALF)
        sin = -sin if BACK else sin
        a, b = a * cos - b * sin, a * sin + b * cos
    tl.store(packed + left if BACK else apart_left, a.to(P.dtype.element_ty), mask=of_left)
    tl.store(packed + right if BACK else apart_right, b.to(P.dtype.element_ty), mask=of_right)


@triton.jit
def _normalise(X, GAIN, SHIFT, MEAN, RSTD, N, M, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Grid (cdiv(M, ROWS) cdiv(D, COLUMNS), K): the normalised rows N (K, M, D) again, from their statistics."""
    model, tiles = tl.program_id(1).to(tl.int64), tl.cdiv(D, COLUMNS)
    r = (tl.program_id(0) // tiles).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    columns = (tl.program_id(0) % tiles) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    live, at = r < M, (model * M + r) * D + columns
    mean = tl.zeros((ROWS, 1), tl.float32)
    if MEAN is not None:
        mean += tl.load(MEAN + model * M + r, mask=live, other=0.0)
    rstd = tl.load(RSTD + model * M + r, mask=live, other=0.0)
    n = normed(X, GAIN, SHIFT, at, model * D + columns, live, columns < D, mean, rstd)
    tl.store(N + at, n, mask=live & (columns < D))


def forward(
    x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor | None, q: Tensor, k: Tensor,
    v: Tensor, mean: Tensor | None, rstd: Tensor, normed: Tensor, packed: Tensor, base: float | None, eps: float,
) -> None:  # fmt: skip
    """As ``qkv.forward``, into its results, which have n and p among them."""
    rows = x.flatten(1, 2)
    kind, statistics = ("rms", None) if mean is None else ("layer", mean.flatten(1))
    norm.forward(rows, gain, shift, kind=kind, eps=eps, out=(normed, rows, statistics, rstd.flatten(1)))
    linear_library.forward(normed, weight, bias, None, packed)
    _between_rows_and_heads(packed, q, k, v, base, back=False)


def backward(
    dq: Tensor, dk: Tensor, dv: Tensor, x: Tensor, gain: Tensor, shift: Tensor | None, weight: Tensor,
    mean: Tensor | None, rstd: Tensor, dn: Tensor, dweight: Tensor, dbias: Tensor | None, dpacked: Tensor,
    base: float | None,
) -> None:  # fmt: skip
    """As ``qkv_backward.product_gradients``, into its results; n is computed again, in the place of dn."""
    (models, batch, seq, width), n, tile = x.shape, dn.flatten(1, 2), _tile(x)
    _between_rows_and_heads(dpacked, dq, dk, dv, base, back=True)
    columns = 2 * tile["pairs"]
    _normalise[triton.cdiv(batch * seq, tile["rows"]) * triton.cdiv(width, columns), models](
        x, gain, shift, mean, rstd, n, batch * seq, width, ROWS=tile["rows"], COLUMNS=columns, **tile.launch
    )
    linear_library.backward(dpacked, n, weight, n, dweight, dbias)


def _between_rows_and_heads(
    p: Tensor, q: Tensor, k: Tensor, v: Tensor, base: float | None, *, back: bool
) -> None:  # fmt: skip
    models, _, _, seq, d_head = q.shape
    (rows, outputs), tile, first = p.shape[1:], _tile(p), 0
    angles_of = turns(seq, d_head, base, p.device)
    for part, table in ((q, angles_of), (k, angles_of), (v, (None, None))):
        width = part.shape[2] * d_head
        _heads[triton.cdiv(rows, tile["rows"]) * triton.cdiv(width, 2 * tile["pairs"]), models](
            p, part, *table, rows, seq, outputs, first, width, BACK=back, C=d_head,
            HALF=half(d_head, base, tile["pairs"]), ROWS=tile["rows"], PAIRS=tile["pairs"], **tile.launch,
        )  # fmt: skip
        first += width


def _tile(x: Tensor) -> Configuration:
    return configuration("qkv", width=x.shape[-1], dtype=x.dtype, chip=chip_of(x.device))
