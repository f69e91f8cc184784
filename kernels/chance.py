"""What is dropped by chance, as :func:`isoflop.kernels.reference.dropout` says it: device code.

A key of the model, its updates and the op is mixed with the number of an element: nothing is kept of what was dropped,
and both passes, any tiles and any number of models find the same.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def kept(RATE, SEED, STEP, START, op, first, number):
    """What elements are multiplied by, 1 / (1 - rate) or 0, whose numbers in the model are ``first`` + ``number``.

    The model is that of the program of a grid (any, K). RATE (K,) float64; SEED, STEP and START (K,) int64, START the
    number of the model's first element, or None.
    """
    model = tl.program_id(1)
    key = _mixed_key(tl.load(SEED + model).to(tl.uint64))
    key = _mixed_key(_mixed_key(key ^ tl.load(STEP + model).to(tl.uint64)) ^ op)
    start = key + first.to(tl.uint64)
    if START is not None:
        start += tl.load(START + model).to(tl.uint64)
    h = number.to(tl.uint32) + start.to(tl.uint32)
    h = _mixed(_mixed(h) ^ (key >> 32).to(tl.uint32)) >> 8
    rate = tl.load(RATE + model).to(tl.float32)
    return tl.where(h.to(tl.float32) * 5.9604644775390625e-08 >= rate, 1.0 / (1.0 - rate), 0.0)  # times 2^-24


@triton.jit
def _mixed_key(z):
    """SplitMix64 (Steele, Lea and Flood 2014, figure 16)."""
    z += 0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    return z ^ (z >> 31)


@triton.jit
def _mixed(h):
    """The finaliser of MurmurHash3."""
    h = (h ^ (h >> 16)) * 0x85EBCA6B
    h = (h ^ (h >> 13)) * 0xC2B2AE35
    return h ^ (h >> 16)
