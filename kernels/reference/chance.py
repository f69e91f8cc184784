"""Elements dropped by chance, the same ones in every implementation."""

from __future__ import annotations

import torch
from torch import Tensor

_WORD, _LONG = 2**32 - 1, 2**64 - 1


def dropout(x: Tensor, seed: int | Tensor, step: int | Tensor, rate: float | Tensor, *, op: int) -> Tensor:
    """x / (1 - rate), or 0 where u < rate; u, of an element, is uniform in [0, 1) and a multiple of 2^-24.

    u is a hash of the ``seed`` and ``step`` of the model, the number ``op`` of the op in it, and the number of the
    element: SplitMix64 (Steele, Lea and Flood 2014, figure 16) of the first three, the finaliser of MurmurHash3 for
    each half of what comes of them and the last, its upper 24 bits.
    """
    key = _mixed_key(_mixed_key(_mixed_key(int(seed) & _LONG) ^ int(step)) ^ op)
    number = torch.arange(x.numel(), device=x.device)
    chance = _mixed(_mixed((number + (key & _WORD)) & _WORD) ^ (key >> 32)) >> 8
    rounded = torch.as_tensor(rate, dtype=torch.float32, device=x.device)
    keep = chance.view(x.shape) * 2.0**-24 >= rounded
    return torch.where(keep, x * (1.0 / (1.0 - rounded)).to(x.dtype), torch.zeros_like(x))


def _mixed_key(z: int) -> int:
    z = (z + 0x9E3779B97F4A7C15) & _LONG
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _LONG
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _LONG
    return z ^ (z >> 31)


def _mixed(h: Tensor) -> Tensor:
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _WORD
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _WORD
    return h ^ (h >> 16)
