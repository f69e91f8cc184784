"""Tiles of logits that never leave the chip, and what a label makes of them: for the kernels of cross-entropy.

    z_ij = x_i . w_j,   q_ij = exp(z_ij - lse_i) (1 + 2 zeta lse_i) - [j = t_i]

q is the gradient by z of the loss of position i, lse - z_t + zeta lse^2, where lse = log(sum over j of exp(z_ij)).
"""

from __future__ import annotations

import triton
import triton.language as tl

from isoflop.kernels.products import add_product


@triton.jit
def read_tile(P, lanes, left, column, D, DEPTH: tl.constexpr):
    """DEPTH columns from ``column`` of the rows from P on: zero past the ``left`` rows there are, and past column D."""
    columns = column + tl.arange(0, DEPTH)[None, :]
    return tl.load(P + lanes[:, None] * D + columns, mask=(lanes < left)[:, None] & (columns < D), other=0.0)


@triton.jit
def tile_of_logits(x, w, X, W, rows, cols, height, breadth, piece, D, DEPTH: tl.constexpr, PIECES: tl.constexpr):
    """The logits of a tile of rows and of vocabulary, -inf past its end.

    ``x`` and ``w`` are a piece of both that the program holds; the others, in turn, are read.
    """
    z = tl.dot(x, tl.trans(w), input_precision="ieee")
    for step in range(1, PIECES):
        column = (piece + step) % PIECES * DEPTH
        x_piece = read_tile(X, rows, height, column, D, DEPTH)
        w_piece = read_tile(W, cols, breadth, column, D, DEPTH)
        z = add_product(x_piece, tl.trans(w_piece), z)
    return tl.where((cols < breadth)[None, :], z, float("-inf"))


@triton.jit
def read_labels(T, WEIGHTS, at, live, V, ignored):
    """The label of each row, -1 where it has none, and its weight: 0 where ignored, NaN where no label is that."""
    t = tl.load(T + at, mask=live, other=0)
    weight = tl.full(t.shape, 1.0, tl.float32)
    if WEIGHTS is not None:
        weight = tl.load(WEIGHTS + at, mask=live, other=0.0)
    counted, known = live & (t != ignored), (t >= 0) & (t < V)
    weight = tl.where(counted, tl.where(known, weight, float("nan")), 0.0)
    return tl.where(counted & known, t, -1).to(tl.int32), weight


@triton.jit
def scale_of_mean(DMEAN, TOTAL, model):
    """What all rows of a model are multiplied by, apart from those sums that a narrow type would lose."""
    scale = 1.0
    if TOTAL is not None:
        scale = 1.0 / tl.load(TOTAL + model)
        if DMEAN is not None:
            scale *= tl.load(DMEAN + model)
    return scale


@triton.jit
def weights_of_rows(T, WEIGHTS, DLOSS, at, live, V, ignored):
    """As ``read_labels``, the weight times the gradient by the loss of each row where that is given."""
    label, weight = read_labels(T, WEIGHTS, at, live, V, ignored)
    if DLOSS is not None:
        weight *= tl.load(DLOSS + at, mask=live, other=0.0)
    return label, weight


@triton.jit
def gradient_of_logits(z, lse, label, cols, zeta):
    """q of a tile of logits; ``cols`` are the entries of the vocabulary it is of."""
    q = tl.exp(z - lse[:, None]) * (1.0 + 2.0 * zeta * lse)[:, None]
    return q - tl.where(label[:, None] == cols[None, :], 1.0, 0.0)
