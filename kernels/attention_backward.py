"""Gradients of attention, scores computed again from the log-sum-exp: the same bits every time, without atomics.

    p_ij = exp(s_ij - l_i)                  s_ij, l_i, y_i as in ``attention``
    dv_j = sum_i p_ij dy_i
    ds_ij = p_ij (dy_i v_j - delta_i),      delta_i = dy_i y_i
    dq_i = scale sum_j ds_ij k_j,           dk_j = scale sum_i ds_ij q_i

Two launches. A block of queries adds up its dq over blocks of keys and leaves delta behind; a block of keys adds up its
dk and dv over the query heads that share it and their blocks of queries. So every sum has one owner and one order
(FlashAttention-2, Dao, 2023, section 3.1, without its atomics), and the scores and dy v are computed in both: of the
14 C FLOPs a visible pair that are executed, 10 C are needed and counted. FLOPs and bytes are those of ``attention``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import attention_sdpa
from isoflop.kernels.attention import LOG2E, settings
from isoflop.kernels.attention_tiles import (
    block_of_queries,
    edge_block,
    keys_seen,
    load_tile,
    queries_that_see,
    store_tile,
    visible,
)
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.dispatch import record
from isoflop.kernels.launch import admit
from isoflop.kernels.products import add_product
from isoflop.kernels.signatures import check, check_heads, check_mask


@triton.jit
def _add_dq(
    dq, q, dy, K, V, lse, delta, rows, n, T, window, scale,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, COLUMNS: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """What the block of keys from n adds to dq / scale."""
    k = load_tile(K, n, T, MASKED, COLUMNS, C, WIDTH)
    v = load_tile(V, n, T, MASKED, COLUMNS, C, WIDTH)
    s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale - lse[:, None]
    if MASKED:
        s = tl.where(visible(rows[:, None], (n + tl.arange(0, COLUMNS))[None, :], T, window, CAUSAL), s, -float("inf"))
    ds = tl.exp2(s * LOG2E) * (tl.dot(dy, tl.trans(v), input_precision="ieee") - delta[:, None])
    return add_product(ds.to(k.dtype), k, dq)


@triton.jit
def _attention_dq(
    DY, Q, K, V, Y, LSE, DQ, DELTA, heads, group, T, window, scale,
    CAUSAL: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(T, ROWS) heads, K), the longest rows first; shapes as in ``_attention_fwd``, DELTA as LSE."""
    row, head = block_of_queries(heads, T, ROWS)
    K += head // group * T * C
    V += head // group * T * C
    rows = row + tl.arange(0, ROWS)
    q = load_tile(Q + head * T * C, row, T, True, ROWS, C, WIDTH)
    dy = load_tile(DY + head * T * C, row, T, True, ROWS, C, WIDTH)
    y = load_tile(Y + head * T * C, row, T, True, ROWS, C, WIDTH)
    delta = tl.sum(dy.to(tl.float32) * y.to(tl.float32), 1)
    tl.store(DELTA + head * T + rows, delta, mask=rows < T)
    lse = tl.load(LSE + head * T + rows, mask=rows < T, other=0.0)
    dq = tl.zeros((ROWS, WIDTH), tl.float32)
    first, whole, stop, end = keys_seen(row, T, window, CAUSAL, ROWS, COLUMNS)
    for n in range(whole, stop, COLUMNS):
        dq = _add_dq(dq, q, dy, K, V, lse, delta, rows, n, T, window, scale, False, CAUSAL, COLUMNS, C, WIDTH)
    for i in range((whole - first) // COLUMNS + tl.cdiv(end - stop, COLUMNS)):
        n = edge_block(i, first, whole, stop, COLUMNS)
        dq = _add_dq(dq, q, dy, K, V, lse, delta, rows, n, T, window, scale, True, CAUSAL, COLUMNS, C, WIDTH)
    store_tile(DQ + head * T * C, dq * scale, row, T, ROWS, C, WIDTH)


@triton.jit
def _add_dk_dv(
    dk, dv, k, v, Q, DY, LSE, DELTA, columns, m, T, window, scale,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """What the block of queries from m adds to dk / scale and dv; queries past T are zeros and add nothing."""
    rows = m + tl.arange(0, ROWS)
    q = load_tile(Q, m, T, MASKED, ROWS, C, WIDTH)
    dy = load_tile(DY, m, T, MASKED, ROWS, C, WIDTH)
    if MASKED:
        lse = tl.load(LSE + rows, mask=rows < T, other=0.0)
        delta = tl.load(DELTA + rows, mask=rows < T, other=0.0)
    else:
        lse, delta = tl.load(LSE + rows), tl.load(DELTA + rows)
    s = tl.dot(k, tl.trans(q), input_precision="ieee") * scale - lse[None, :]
    if MASKED:
        s = tl.where(visible(rows[None, :], columns[:, None], T, window, CAUSAL), s, -float("inf"))
    p = tl.exp2(s * LOG2E)
    dv = add_product(p.to(dy.dtype), dy, dv)
    ds = p * (tl.dot(v, tl.trans(dy), input_precision="ieee") - delta[None, :])
    return add_product(ds.to(q.dtype), q, dk), dv


@triton.jit
def _attention_dkdv(
    DY, Q, K, V, LSE, DELTA, DK, DV, heads, group, T, window, scale,
    CAUSAL: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(T, COLUMNS) heads // group, K), the longest columns first; shapes as in ``_attention_dq``."""
    program, shared = tl.program_id(0), heads // group
    column = program // shared * COLUMNS
    kv = tl.program_id(1).to(tl.int64) * shared + program % shared
    columns = column + tl.arange(0, COLUMNS)
    k = load_tile(K + kv * T * C, column, T, True, COLUMNS, C, WIDTH)
    v = load_tile(V + kv * T * C, column, T, True, COLUMNS, C, WIDTH)
    dk, dv = tl.zeros((COLUMNS, WIDTH), tl.float32), tl.zeros((COLUMNS, WIDTH), tl.float32)
    first, whole, stop, end = queries_that_see(column, T, window, CAUSAL, ROWS, COLUMNS)
    for member in range(group):
        head = kv * group + member
        q, dy, lse, delta = Q + head * T * C, DY + head * T * C, LSE + head * T, DELTA + head * T
        for m in range(whole, stop, ROWS):
            dk, dv = _add_dk_dv(
                dk, dv, k, v, q, dy, lse, delta, columns, m, T, window, scale, False, CAUSAL, ROWS, C, WIDTH
            )
        for i in range((whole - first) // ROWS + tl.cdiv(end - stop, ROWS)):
            m = edge_block(i, first, whole, stop, ROWS)
            dk, dv = _add_dk_dv(
                dk, dv, k, v, q, dy, lse, delta, columns, m, T, window, scale, True, CAUSAL, ROWS, C, WIDTH
            )
    store_tile(DK + kv * T * C, dk * scale, column, T, COLUMNS, C, WIDTH)
    store_tile(DV + kv * T * C, dv, column, T, COLUMNS, C, WIDTH)


class Gradients(NamedTuple):
    """Of q, k and v; delta (K, B, H, T), float32, None after SDPA, is room for the next call."""

    dq: Tensor
    dk: Tensor
    dv: Tensor
    delta: Tensor | None


def backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor | None, *,
    causal: bool = True, window: int | None = None, scale: float | None = None, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy``, the inputs of :func:`attention.forward` and its results, in ``out`` of an earlier call.

    ``lse`` is None where the forward pass went to SDPA: so does this one. Raises KernelError as the forward pass does.
    """
    sizes = check("attention_backward", dy=dy, q=q, k=k, v=v, y=y, lse=lse)
    check_mask(causal, window)
    check_heads(sizes)
    if lse is not None:
        admit("attention_backward", "q", q)
    of_query, of_key = (tuple(q.shape), q.dtype), (tuple(k.shape), k.dtype)
    made = Gradients(*buffers(
        "attention_backward", q.device, out, dq=of_query, dk=of_key, dv=of_key,
        delta=None if lse is None else (tuple(lse.shape), torch.float32),
    ))  # fmt: skip
    if lse is None:
        record("attention_backward", "sdpa")
        dq, dk, dv = attention_sdpa.backward(dy, q, k, v, causal=causal, window=window, scale=scale)
        return Gradients(made.dq.copy_(dq), made.dk.copy_(dk), made.dv.copy_(dv), None)
    heads, group, seq = sizes["B"] * sizes["H"], sizes["H"] // sizes["G"], sizes["T"]
    told = settings(sizes, causal, window, scale)
    by_row, by_column = (
        configuration(op, width=sizes["C"], dtype=q.dtype, chip=chip_of(q.device))
        for op in ("attention_dq", "attention_dkdv")
    )
    _attention_dq[(triton.cdiv(seq, by_row["rows"]) * heads, sizes["K"])](
        dy, q, k, v, y, lse, made.dq, made.delta, heads, group, **told, **by_row.constants, **by_row.launch
    )
    _attention_dkdv[(triton.cdiv(seq, by_column["columns"]) * heads // group, sizes["K"])](
        dy, q, k, v, lse, made.delta, made.dk, made.dv, heads, group, **told, **by_column.constants, **by_column.launch
    )
    return made
