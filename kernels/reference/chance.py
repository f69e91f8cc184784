"""Elements dropped by chance, the same ones in every implementation."""

from __future__ import annotations

import torch
from torch import Tensor

_WORD, _LONG = 2**32 - 1, 2**64 - 1


def dropout(
    x: Tensor, seed: int | Tensor, step: int | Tensor, residual: Tensor | None = None, start: int | Tensor = 0, *,
    rate: float | Tensor, op: int,
) -> Tensor:  # fmt: skip
    """x / (1 - rate), or 0 where u < rate, plus ``residual``; u, of an element, is uniform in [0, 1).

    u is a hash of the ``seed`` and ``step`` of the model, the number ``op`` of the op in it, and the number of the
    element, counted from ``start``: SplitMix64 (Steele, Lea and Flood 2014, figure 16) of the first three, the
    finaliser of MurmurHash3 for each half of what comes of them and the last, its upper 24 bits, times 2^-24.
    """
    key = _mixed_key(_mixed_key(_mixed_key(int(seed) & _LONG) ^ int(step)) ^ op)
    number = torch.arange(x.numel(), dtype=torch.int32, device=x.device) + _signed(int(start) + key)
    chance = _shifted(_mixed(_mixed(number) ^ _signed(key >> 32)), 8)
    rounded = torch.as_tensor(rate, dtype=torch.float32, device=x.device)
    keep = chance.view(x.shape) * 2.0**-24 >= rounded
    y = torch.where(keep, x * (1.0 / (1.0 - rounded)).to(x.dtype), torch.zeros_like(x))
    return y if residual is None else residual + y


def dropped_attention(
    q: Tensor, k: Tensor, v: Tensor, seed: int | Tensor, step: int | Tensor, start: int | Tensor = 0, *,
    rate: float | Tensor, op: int, window: int | None = None, scale: float | None = None,
) -> Tensor:  # fmt: skip
    """Causal :func:`isoflop.kernels.reference.attention` whose weights (batch, heads, seq, seq) go through dropout."""
    seq, group = q.shape[-2], q.shape[1] // k.shape[1]
    apart = torch.arange(seq, device=q.device)[:, None] - torch.arange(seq, device=q.device)
    scores = q @ k.repeat_interleave(group, 1).mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    seen = (apart >= 0) & (apart < (window or seq))
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return dropout(weights, seed, step, start=start, rate=rate, op=op) @ v.repeat_interleave(group, 1)


def _mixed_key(z: int) -> int:
    z = (z + 0x9E3779B97F4A7C15) & _LONG
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _LONG
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _LONG
    return z ^ (z >> 31)


def _mixed(h: Tensor) -> Tensor:
    h = (h ^ _shifted(h, 16)) * _signed(0x85EBCA6B)
    h = (h ^ _shifted(h, 13)) * _signed(0xC2B2AE35)
    return h ^ _shifted(h, 16)


def _shifted(h: Tensor, by: int) -> Tensor:
    """int32 moved right as an unsigned one is: torch has no arithmetic of those."""
    return (h >> by) & (_WORD >> by)


def _signed(word: int) -> int:
    """The int32 of the same lower 32 bits."""
    return ((word & _WORD) ^ 2**31) - 2**31
