"""The gradients of the keys and values of attention, by blocks of keys that stay while queries pass by: device code.

    dv_j = sum_i p_ij dy_i,   dk_j = scale sum_i ds_ij q_i

p and ds are those of ``attention_dq``, whose delta is read. Its products are 8 C FLOPs a visible pair.
"""

from __future__ import annotations

import triton
import triton.language as tl

from isoflop.kernels.attention import LOG2E
from isoflop.kernels.attention_mask import edge_block, queries_that_see, visible
from isoflop.kernels.attention_tiles import kept_weights, load_tile, store_tile
from isoflop.kernels.each import of_model
from isoflop.kernels.products import add_product


@triton.jit
def _add_dk_dv(
    dk, dv, k, v, Q, DY, LSE, DELTA, columns, m, T, window, scale, RATE, SEED, STEP, START, op, heads, head,
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
    dp = tl.dot(v, tl.trans(dy), input_precision="ieee")
    stays = p
    if RATE is not None:
        of_weights = kept_weights(RATE, SEED, STEP, START, op, heads, head, T, rows[None, :], columns[:, None])
        stays, dp = p * of_weights, dp * of_weights
    dv = add_product(stays.to(dy.dtype), dy, dv)
    ds = p * (dp - delta[None, :])
    return add_product(ds.to(q.dtype), q, dk), dv


@triton.jit
def _attention_dkdv(
    DY, Q, K, V, LSE, DELTA, DK, DV, heads, group, T, window, scale, SCALES, RATE, SEED, STEP, START, op,
    CAUSAL: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(T, COLUMNS) heads // group, K), the longest columns first; shapes as in ``_attention_dq``."""
    program, shared = tl.program_id(0), heads // group
    scale = of_model(scale, SCALES, tl.program_id(1))
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
                dk, dv, k, v, q, dy, lse, delta, columns, m, T, window, scale, RATE, SEED, STEP, START, op, heads, head,
                False, CAUSAL, ROWS, C, WIDTH,
            )  # fmt: skip
        for i in range((whole - first) // ROWS + tl.cdiv(end - stop, ROWS)):
            m = edge_block(i, first, whole, stop, ROWS)
            dk, dv = _add_dk_dv(
                dk, dv, k, v, q, dy, lse, delta, columns, m, T, window, scale, RATE, SEED, STEP, START, op, heads, head,
                True, CAUSAL, ROWS, C, WIDTH,
            )  # fmt: skip
    store_tile(DK + kv * T * C, dk * scale, column, T, COLUMNS, C, WIDTH)
    store_tile(DV + kv * T * C, dv, column, T, COLUMNS, C, WIDTH)
