"""The gradient of the queries of attention, by blocks of queries that stay while keys pass by: device code.

    ds_ij = p_ij (dy_i v_j - delta_i),   delta_i = dy_i y_i,   dq_i = scale sum_j ds_ij k_j

Its products are half of those that ``attention_backward`` executes: 6 C FLOPs a visible pair.
"""

from __future__ import annotations

import triton
import triton.language as tl

from isoflop.kernels.attention import LOG2E
from isoflop.kernels.attention_mask import edge_block, keys_seen, visible
from isoflop.kernels.attention_tiles import block_of_queries, kept_weights, load_tile, store_tile
from isoflop.kernels.each import of_model
from isoflop.kernels.products import add_product


@triton.jit
def _add_dq(
    dq, q, dy, K, V, lse, delta, rows, n, T, window, scale, RATE, SEED, STEP, START, op, heads, head,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, COLUMNS: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """What the block of keys from n adds to dq / scale."""
    k = load_tile(K, n, T, MASKED, COLUMNS, C, WIDTH)
    v = load_tile(V, n, T, MASKED, COLUMNS, C, WIDTH)
    s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale - lse[:, None]
    if MASKED:
        s = tl.where(visible(rows[:, None], (n + tl.arange(0, COLUMNS))[None, :], T, window, CAUSAL), s, -float("inf"))
    dp = tl.dot(dy, tl.trans(v), input_precision="ieee")
    if RATE is not None:
        columns = n + tl.arange(0, COLUMNS)
        dp *= kept_weights(RATE, SEED, STEP, START, op, heads, head, T, rows[:, None], columns[None, :])
    ds = tl.exp2(s * LOG2E) * (dp - delta[:, None])
    return add_product(ds.to(k.dtype), k, dq)


@triton.jit
def _attention_dq(
    DY, Q, K, V, Y, LSE, DQ, DELTA, heads, group, T, window, scale, SCALES, RATE, SEED, STEP, START, op,
    CAUSAL: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(T, ROWS) heads, K), the longest rows first; shapes as in ``_attention_fwd``, DELTA as LSE."""
    row, head = block_of_queries(heads, T, ROWS)
    scale = of_model(scale, SCALES, tl.program_id(1))
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
        dq = _add_dq(
            dq, q, dy, K, V, lse, delta, rows, n, T, window, scale, RATE, SEED, STEP, START, op, heads, head,
            False, CAUSAL, COLUMNS, C, WIDTH,
        )  # fmt: skip
    for i in range((whole - first) // COLUMNS + tl.cdiv(end - stop, COLUMNS)):
        n = edge_block(i, first, whole, stop, COLUMNS)
        dq = _add_dq(
            dq, q, dy, K, V, lse, delta, rows, n, T, window, scale, RATE, SEED, STEP, START, op, heads, head,
            True, CAUSAL, COLUMNS, C, WIDTH,
        )  # fmt: skip
    store_tile(DQ + head * T * C, dq * scale, row, T, ROWS, C, WIDTH)
