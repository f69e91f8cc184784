"""The norm of whole rows that a program holds in registers: device code for kernels that fuse it.

    n = (x - mean) rstd  (layer),   x rstd  (rms),   x  (none);      u = n gain + bias
    dx = rstd (w - mean(w) - n mean(w n)),   w = du gain             (rms: without mean(w);  none: w)

FLOPs an element, forward with gain and bias and backward with the sums of both gradients: 7 and 13 (layer), 5 and 10
(rms), 0 and 0 (none). Columns from D on are nought in and out.
"""

from __future__ import annotations

import triton
import triton.language as tl

FLOPS = {"layer": (7, 13), "rms": (5, 10), "none": (0, 0)}  # an element: forward, backward


@triton.jit
def read(X, at, mask):
    """A tile as float32, nought where masked."""
    return tl.load(X + at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def read_first(X, at, mask):
    """``read`` of a tile that is read again later rather than held: to the compiler another load, kept in cache."""
    return tl.load(X + at, mask=mask, other=0.0, eviction_policy="evict_last").to(tl.float32)


@triton.jit
def normed(x, inside, D, eps, NORM: tl.constexpr):
    """(n, rstd) of the rows of ``x`` (ROWS, WIDTH), whose columns ``inside`` are D; rstd is (ROWS, 1)."""
    if NORM == "none":
        return x, tl.full((x.shape[0], 1), 1.0, tl.float32)
    if NORM == "layer":
        x = tl.where(inside, x - tl.sum(x, 1)[:, None] / D, 0.0)
    rstd = 1.0 / tl.sqrt_rn(tl.sum(x * x, 1)[:, None] / D + eps)
    return x * rstd, rstd


@triton.jit
def scaled(n, G, B, columns, inside):
    """n gain + bias, where they are."""
    if G is not None:
        n = n * read(G, columns, inside)
    if B is not None:
        n = n + read(B, columns, inside)
    return n


@triton.jit
def normed_gradient(w, n, rstd, inside, D, NORM: tl.constexpr):
    """dx from ``w`` = du gain."""
    if NORM == "none":
        return w
    dx = w - n * (tl.sum(w * n, 1)[:, None] / D)
    if NORM == "layer":
        dx = tl.where(inside, dx - tl.sum(w, 1)[:, None] / D, 0.0)
    return dx * rstd
