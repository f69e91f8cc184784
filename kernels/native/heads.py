"""Heads (K, B, H, T, C) that lie beside each other in rows (K, B T, H C): the same memory, seen as either.

Ops of heads take them where they lie, so that nothing is moved between attention and linear layers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.errors import KernelError


def split_heads(rows: Tensor, *, batch: int, heads: int) -> Tensor:
    """Heads (K, B, H, T, C) in rows (K, B T, H C)."""
    return rows.view(rows.shape[0], batch, rows.shape[1] // batch, heads, -1).transpose(2, 3)


def join_heads(y: Tensor) -> Tensor:
    """The rows that :func:`split_heads` was given; KernelError for heads that lie otherwise."""
    beside = y.transpose(2, 3)
    if not beside.is_contiguous():
        raise KernelError("join_heads: the heads do not lie beside each other", hint="split_heads gives such")
    return beside.flatten(1, 2).flatten(2)


def split_projection(rows: Tensor, n_head: int, n_kv_head: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (K, B, H, T, C), keys and values (K, B, G, T, C) in rows (K, B, T, (H + 2 G) C)."""
    heads = rows.view(*rows.shape[:3], n_head + 2 * n_kv_head, -1).transpose(2, 3)
    q, k, v = torch.split(heads, [n_head, n_kv_head, n_kv_head], dim=2)
    return q, k, v


def join_projection(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The rows that :func:`split_projection` was given; KernelError for tensors that lie otherwise."""
    (models, batch, n_head, seq, width), groups = q.shape, k.shape[2]
    lie = [(each.stride(), each.untyped_storage().data_ptr(), each.storage_offset()) for each in (q, k, v)]
    strides, storage, start = lie[0]
    behind = [start + heads * width for heads in (0, n_head, n_head + groups)]
    if strides[2] != width or lie != [(strides, storage, offset) for offset in behind]:
        raise KernelError(
            "queries, keys and values do not lie beside each other in rows",
            hint="split_projection gives such, of one tensor",
        )
    outputs = (n_head + 2 * groups) * width
    return q.as_strided((models, batch, seq, outputs), (strides[0], strides[1], strides[3], 1))
