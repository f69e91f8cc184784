"""Heads beside each other and apart: between attention (K, B, H, T, C) and linear layers (K, B T, H C).

Minimum bytes of a turn: 2 s K B T H C at s bytes an element; no FLOPs. torch's own strided copy does it.
"""

from __future__ import annotations

from torch import Tensor

from isoflop.kernels.buffers import buffers


def join_heads(y: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Rows (K, B T, H C) of heads (K, B, H, T, C), written to ``out`` where given."""
    models, batch, heads, seq, width = y.shape
    size = (models, batch * seq, heads * width), y.dtype
    joined: Tensor = buffers("join_heads", y.device, None if out is None else (out,), joined=size)[0]
    joined.view(models, batch, seq, heads, width).copy_(y.transpose(2, 3))
    return joined


def split_heads(rows: Tensor, *, batch: int, heads: int, out: Tensor | None = None) -> Tensor:
    """Heads (K, B, H, T, C) of rows (K, B T, H C), written to ``out`` where given."""
    apart = rows.view(rows.shape[0], batch, rows.shape[1] // batch, heads, -1).transpose(2, 3)
    size = tuple(apart.shape), rows.dtype
    split: Tensor = buffers("split_heads", rows.device, None if out is None else (out,), split=size)[0]
    return split.copy_(apart)
