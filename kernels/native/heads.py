"""Heads beside each other and apart; see ``csrc/ops/heads.cpp``."""

from __future__ import annotations

from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device


def join_heads(y: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Rows (K, B T, H C) of heads (K, B, H, T, C), written to ``out`` where given."""
    refuse_device("join_heads", y)
    models, batch, heads, seq, width = y.shape
    size = (models, batch * seq, heads * width), y.dtype
    joined: Tensor = buffers("join_heads", y.device, None if out is None else (out,), joined=size)[0]
    call("join_heads", [y, joined], [batch, heads, seq, width])
    return joined


def split_heads(rows: Tensor, *, batch: int, heads: int, out: Tensor | None = None) -> Tensor:
    """Heads (K, B, H, T, C) of rows (K, B T, H C), written to ``out`` where given."""
    refuse_device("split_heads", rows)
    seq, width = rows.shape[1] // batch, rows.shape[2] // heads
    size = (rows.shape[0], batch, heads, seq, width), rows.dtype
    split: Tensor = buffers("split_heads", rows.device, None if out is None else (out,), split=size)[0]
    call("split_heads", [rows, split], [batch, heads, seq, width])
    return split
