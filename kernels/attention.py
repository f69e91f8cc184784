"""Attention of the heads of K models, scores never in memory: what is masked, and the forward pass.

    s_ij = scale q_i k_j                    over the keys j that query i sees
    l_i = log sum_j exp(s_ij)               the log-sum-exp, kept for the backward pass
    y_i = sum_j exp(s_ij - l_i) v_j

Query i sees every key (full), keys up to itself (causal), or the last w of those, itself included (a window). Query
head h of H reads key head h G // H. Blocks of keys pass by a block of queries that stays, with the running maximum of
Milakov and Gimelshein (2018), as in FlashAttention (Dao et al., 2022, algorithm 1). Blocks that no query sees are never
read, blocks that all see are not masked. The maximum is taken off before the change to base 2, in which exponentials
are computed: scaled to base 2 themselves, large scores would be rounded once more than they need to be.

FLOPs: 4 C a visible pair of a head (two products) forward, 10 C (five) backward. Minimum bytes at s bytes an element, a
batch and model: (2 H + 2 G) T C s + 4 H T forward (read q, k, v; write y, l), (4 H + 4 G) T C s + 4 H T backward (read
dy, q, y, l, k, v; write dq, dk, dv). Causal intensity with G = H at two bytes: T / 4 and 5 T / 16 FLOPs a byte:
bandwidth decides below some 1200 positions on an H100.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError, nearest
from isoflop.kernels import attention_sdpa
from isoflop.kernels.attention_mask import edge_block, keys_seen, pairs, visible
from isoflop.kernels.attention_tiles import block_of_queries, kept_weights, load_tile, store_tile
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.dispatch import record
from isoflop.kernels.each import of_model, one_or_each
from isoflop.kernels.launch import admit
from isoflop.kernels.products import add_product
from isoflop.kernels.signatures import Chance, check, check_heads, check_mask

FLOPS = (4, 10)  # a visible pair and channel of a head: forward, backward
BACKENDS = ("triton", "sdpa")
WIDEST = 256  # channels of a head
LOG2E = tl.constexpr(1.4426950408889634)
BELOW = tl.constexpr(-1e38)  # where a running maximum starts: finite, so that a block no row sees leaves no NaN


@triton.jit
def _attend(
    acc, peak, total, q, K, V, rows, n, T, window, scale, RATE, SEED, STEP, START, op, heads, head,
    MASKED: tl.constexpr, CAUSAL: tl.constexpr, COLUMNS: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One block of keys from n: the weighted sum, the running maximum and the sum of weights after it."""
    k = load_tile(K, n, T, MASKED, COLUMNS, C, WIDTH)
    s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    if MASKED:
        s = tl.where(visible(rows[:, None], (n + tl.arange(0, COLUMNS))[None, :], T, window, CAUSAL), s, -float("inf"))
    higher = tl.maximum(peak, tl.max(s, 1))
    p = tl.exp2((s - higher[:, None]) * LOG2E)
    fade = tl.exp2((peak - higher) * LOG2E)
    mass = tl.sum(p, 1)
    if RATE is not None:
        columns = n + tl.arange(0, COLUMNS)
        p *= kept_weights(RATE, SEED, STEP, START, op, heads, head, T, rows[:, None], columns[None, :])
    v = load_tile(V, n, T, MASKED, COLUMNS, C, WIDTH)
    acc = add_product(p.to(v.dtype), v, acc * fade[:, None])
    return acc, higher, total * fade + mass


@triton.jit
def _attention_fwd(
    Q, K, V, Y, LSE, heads, group, T, window, scale, SCALES, RATE, SEED, STEP, START, op,
    CAUSAL: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(T, ROWS) heads, K), heads = B H, the longest rows first. Q, Y (K, heads, T, C); LSE (K, heads, T)
    float32; K, V (K, heads // group, T, C); window an integer or None; SCALES (K,) float64 or None;
    RATE, SEED, STEP and START as in ``chance.kept``, or None."""
    row, head = block_of_queries(heads, T, ROWS)
    scale = of_model(scale, SCALES, tl.program_id(1))
    K += head // group * T * C
    V += head // group * T * C
    rows = row + tl.arange(0, ROWS)
    q = load_tile(Q + head * T * C, row, T, True, ROWS, C, WIDTH)
    acc = tl.zeros((ROWS, WIDTH), tl.float32)
    peak, total = tl.full((ROWS,), BELOW, tl.float32), tl.zeros((ROWS,), tl.float32)
    first, whole, stop, end = keys_seen(row, T, window, CAUSAL, ROWS, COLUMNS)
    for n in range(whole, stop, COLUMNS):
        acc, peak, total = _attend(
            acc, peak, total, q, K, V, rows, n, T, window, scale, RATE, SEED, STEP, START, op, heads, head,
            False, CAUSAL, COLUMNS, C, WIDTH,
        )  # fmt: skip
    for i in range((whole - first) // COLUMNS + tl.cdiv(end - stop, COLUMNS)):
        n = edge_block(i, first, whole, stop, COLUMNS)
        acc, peak, total = _attend(
            acc, peak, total, q, K, V, rows, n, T, window, scale, RATE, SEED, STEP, START, op, heads, head,
            True, CAUSAL, COLUMNS, C, WIDTH,
        )  # fmt: skip
    total = tl.where(rows < T, total, 1.0)
    tl.store(LSE + head * T + rows, peak + tl.log(total), mask=rows < T)
    store_tile(Y + head * T * C, acc / total[:, None], row, T, ROWS, C, WIDTH)


def forward(
    q: Tensor, k: Tensor, v: Tensor, *,
    causal: bool = True, window: int | None = None, scale: float | Tensor | None = None,
    chance: Chance | None = None, backend: str | None = None, out: tuple[Tensor, Tensor | None] | None = None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Attention of q (K, B, H, T, C) over k, v (K, B, G, T, C), H a multiple of G.

    ``scale`` is 1/sqrt(C) unless given, one number or (K,) float64, of models that have their own, in Triton alone;
    so is ``chance``, by which weights are dropped that are numbered as in (B, H, T, T).
    ``backend``: "triton", "sdpa" (``torch.nn.functional.scaled_dot_product_attention``), or None: SDPA for heads wider
    than ``sdpa_past`` in the configuration table, unless there is a window; ``dispatch.last_dispatch`` tells which ran.

    Returns y (K, B, H, T, C) and the log-sum-exp of the scores (K, B, H, T), float32, None after SDPA; ``out``, the
    results of an earlier call, is filled again. Raises KernelError, before any launch, for tensors that
    ``signatures.check`` refuses or that are on no GPU, an ``out`` of another form, H no multiple of G, a window below 1
    or without ``causal``, and heads wider than 256 in Triton.
    """
    sizes = check("attention", q=q, k=k, v=v)
    check_mask(causal, window)
    check_heads(sizes)
    chosen = configuration("attention", width=min(sizes["C"], WIDEST), dtype=q.dtype, chip=chip_of(q.device))
    if backend is None:
        library = (
            sizes["C"] > chosen["sdpa_past"] and window is None and not isinstance(scale, Tensor) and chance is None
        )
        backend = "sdpa" if library else "triton"
    if backend not in BACKENDS:
        raise KernelError(f"there is no backend {backend!r} of attention", hint=nearest(backend, BACKENDS))
    form = tuple(q.shape), q.dtype
    if backend == "sdpa":
        if chance is not None:
            raise KernelError("attention: 'sdpa' drops no weights", hint="backend='triton'")
        record("attention", "sdpa")
        y, lse = buffers("attention", q.device, out, y=form, lse=None)
        return y.copy_(attention_sdpa.forward(q, k, v, causal=causal, window=window, scale=scale)), lse
    if sizes["C"] > WIDEST:
        raise KernelError(f"attention: heads of {sizes['C']} channels; {WIDEST} at most", hint="backend='sdpa'")
    admit("attention", "q", q)
    y, lse = buffers("attention", q.device, out, y=form, lse=(form[0][:-1], torch.float32))
    heads, seq = sizes["B"] * sizes["H"], sizes["T"]
    _attention_fwd[(triton.cdiv(seq, chosen["rows"]) * heads, sizes["K"])](
        q, k, v, y, lse, heads, sizes["H"] // sizes["G"], **settings(sizes, causal, window, scale, chance, q),
        ROWS=chosen["rows"], COLUMNS=chosen["columns"], **chosen.launch,
    )  # fmt: skip
    return y, lse


def settings(
    sizes: dict[str, int], causal: bool, window: int | None, scale: float | Tensor | None, chance: Chance | None,
    q: Tensor,
) -> dict[str, object]:  # fmt: skip
    """What every kernel of attention is told of a call: a window that hides nothing is none."""
    seq, width = sizes["T"], sizes["C"]
    of_all, of_each = one_or_each("attention: scale", width**-0.5 if scale is None else scale, q)
    return {
        "T": seq,
        "window": None if window is None or window >= seq else window,
        "scale": of_all,
        "SCALES": of_each,
        **dict(zip(("RATE", "SEED", "STEP", "START", "op"), (None,) * 5 if chance is None else chance, strict=True)),
        "CAUSAL": causal,
        "C": width,
        "WIDTH": max(16, triton.next_power_of_2(width)),
    }


def flops(sizes: dict[str, int], *, causal: bool = True, window: int | None = None) -> tuple[int, int]:
    """FLOPs of the products, forward and backward, over visible pairs alone; ``sizes`` by axis: K, B, H, G, T, C."""
    pair = sizes["K"] * sizes["B"] * sizes["H"] * sizes["C"] * pairs(sizes["T"], causal=causal, window=window)
    return FLOPS[0] * pair, FLOPS[1] * pair


def minimum_bytes(sizes: dict[str, int], itemsize: int) -> tuple[int, int]:
    """Bytes read and written, every tensor once, forward and backward; ``itemsize`` bytes an element of q."""
    rows = sizes["K"] * sizes["B"] * sizes["T"]
    queries, keys = rows * sizes["H"], rows * sizes["G"]
    row = sizes["C"] * itemsize
    return (2 * queries + 2 * keys) * row + 4 * queries, (4 * queries + 4 * keys) * row + 4 * queries
