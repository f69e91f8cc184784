"""Angles of rotary positions, which every implementation takes from one table."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=16)
def turns(
    seq: int, d_head: int, base: float | None, device: torch.device
) -> tuple[Tensor, Tensor] | tuple[None, None]:  # fmt: skip
    """Cosines and sines (T, C/2) of position times base^(-2i/C), in float32."""
    if base is None:
        return None, None
    frequency = base ** (-torch.arange(d_head // 2, dtype=torch.float32, device=device) / (d_head // 2))
    angle = torch.arange(seq, dtype=torch.float32, device=device)[:, None] * frequency
    return angle.cos(), angle.sin()
