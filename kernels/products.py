"""Sums of products of matrices over many tiles: device code of every kernel that goes over a long inner axis.

    acc + a b,   float32 however a and b are stored

On matrix units, which take 16 bits, the tile is added to the sums as it is multiplied. Plain multipliers, which take
float32, would add every term to the sums one by one: over n terms the error of so long a chain grows with sqrt(n). The
terms of one tile are summed apart, and their sum is added: sqrt(n / tile) + sqrt(tile), as in libraries of products.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def add_product(a, b, acc):
    """``acc`` (M, N) float32 and the product of ``a`` (M, S) and ``b`` (S, N)."""
    if a.dtype == tl.float32:
        nought = tl.where(acc != acc, acc, 0.0)  # a constant would let the compiler begin the chain with acc after all
        return acc + tl.dot(a, b, nought, input_precision="ieee")
    return tl.dot(a, b, acc, input_precision="ieee")
