"""Operations as records of the graph: (kind, dtype of the inputs, dtype of the output, dimensions...).

``isoflop._core.KINDS`` names the dimensions of every kind. A dtype is torch's or its name. Imports no torch.
"""

from __future__ import annotations

from typing import Any

Op = tuple[Any, ...]
"""One operation, as the functions of this module make it."""


def matmul(m: int, k: int, n: int, *, batch: int = 1, dtype: Any = "float32", out_dtype: Any = None) -> Op:
    """(batch, m, k) times (batch, k, n): 2 batch m k n FLOPs."""
    return ("matmul", dtype, out_dtype or dtype, batch, m, k, n)


def attention(
    batch: int,
    heads: int,
    queries: int,
    keys: int,
    d_head: int,
    *,
    kv_heads: int | None = None,
    kept: int | None = None,
    d_value: int | None = None,
    dtype: Any = "float32",
) -> Op:
    """Fused attention, 2 (d_head + d_value) FLOPs of products a pair; ``kept`` pairs of all sequences and heads."""
    kept = batch * heads * queries * keys if kept is None else kept
    return ("attention", dtype, dtype, batch, heads, kv_heads or heads, queries, keys, kept, d_head, d_value or d_head)


def elementwise(elements: int, flops_per_element: int = 1, *, read: int = 0, written: int = 0) -> Op:
    """``elements`` times ``flops_per_element`` FLOPs that are no matrix product; bytes read and written."""
    return ("elementwise", "float32", "float32", elements, flops_per_element, read, written)


def custom(flops: int, *, elements: int = 0, read: int = 0, written: int = 0) -> Op:
    """An operation whose FLOPs are counted with the matrix products."""
    return ("custom", "float32", "float32", flops, elements, read, written)
