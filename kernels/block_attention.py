"""Attention of one sequence whose normalised rows a program holds, and its gradient: device code of ``block``.

Formulas as in ``block`` and ``block_backward``. One head comes after another: one square of weights is held at a time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from isoflop.kernels.mlp_tiles import project, write_columns
from isoflop.kernels.products import add_product
from isoflop.kernels.row_norm import read


@triton.jit
def turned(q, COS, SIN, T, C, back: tl.constexpr, LENGTH: tl.constexpr, HEAD: tl.constexpr):
    """Rotary positions on q (LENGTH, HEAD), by angles whose COS and SIN are (T, C/2); ``back`` turns the other way."""
    row, column = tl.arange(0, LENGTH)[:, None], tl.arange(0, HEAD)[None, :]
    half = C // 2
    low, live = column < half, (row < T) & (column < C)
    pair = tl.where(low, column, column - half)
    cos, sin = read(COS, row * half + pair, live), read(SIN, row * half + pair, live)
    partner = tl.where(low, column + half, column - half)
    partner = tl.where(column < C, partner, column)
    other = tl.gather(q, tl.broadcast_to(partner, (LENGTH, HEAD)), 1)
    return q * cos + other * tl.where(low != back, -sin, sin)


@triton.jit
def causal_weights(q, k, scale, LENGTH: tl.constexpr):
    """The causal softmax of q k^T, whose ``scale`` turns exponents into powers of two: (LENGTH, LENGTH) float32."""
    row, column = tl.arange(0, LENGTH)[:, None], tl.arange(0, LENGTH)[None, :]
    scores = tl.where(column <= row, tl.dot(q, tl.trans(k), input_precision="ieee") * scale, -float("inf"))
    p = tl.exp2(scores - tl.max(scores, 1)[:, None])
    return p * (1.0 / tl.sum(p, 1))[:, None]


@triton.jit
def head_of(
    u, W_QKV, B_QKV, head, COS, SIN, T, D, C, TURN: tl.constexpr, LENGTH: tl.constexpr, WIDTH: tl.constexpr,
    HEAD: tl.constexpr,
):  # fmt: skip
    """(q, k or v of one head (LENGTH, HEAD) in the dtype of u, its weights (WIDTH, HEAD))."""
    z, w = project(u, W_QKV, B_QKV, head * C, head * C + C, D, WIDTH, HEAD)
    if TURN:
        z = turned(z, COS, SIN, T, C, False, LENGTH, HEAD)
    return z.to(u.dtype), w


@triton.jit
def attend(
    u, y, W_QKV, B_QKV, W_PROJ, COS, SIN, T, D, C, H, G, scale, ROTARY: tl.constexpr, LENGTH: tl.constexpr,
    WIDTH: tl.constexpr, HEAD: tl.constexpr,
):  # fmt: skip
    """y + attention of u W_proj^T, one head after another."""
    wide, deep = tl.arange(0, WIDTH)[None, :], tl.arange(0, HEAD)[:, None]
    for g in range(G):
        k, _ = head_of(u, W_QKV, B_QKV, H + g, COS, SIN, T, D, C, ROTARY, LENGTH, WIDTH, HEAD)
        v, _ = head_of(u, W_QKV, B_QKV, H + G + g, COS, SIN, T, D, C, False, LENGTH, WIDTH, HEAD)
        for head in range(g * (H // G), (g + 1) * (H // G)):
            q, _ = head_of(u, W_QKV, B_QKV, head, COS, SIN, T, D, C, ROTARY, LENGTH, WIDTH, HEAD)
            p = causal_weights(q, k, scale, LENGTH).to(u.dtype)
            o = tl.dot(p, v, input_precision="ieee").to(u.dtype)
            w = tl.load(W_PROJ + wide * (H * C) + head * C + deep, mask=(wide < D) & (deep < C), other=0.0)
            y = add_product(o, w, y)
    return y


@triton.jit
def _head_gradient(
    du, dz, u, w, head, DW, DB, COS, SIN, T, D, C, TURN: tl.constexpr, LENGTH: tl.constexpr, WIDTH: tl.constexpr,
    HEAD: tl.constexpr,
):  # fmt: skip
    """du and what one head of q, k or v adds to it; the gradients of its weights are written."""
    if TURN:
        dz = turned(dz, COS, SIN, T, C, True, LENGTH, HEAD)
    dz16 = dz.to(u.dtype)
    dw = tl.dot(tl.trans(dz16), u, input_precision="ieee")
    write_columns(DW, DB, head * C, dw, tl.sum(dz, 0)[None, :], 0, C, D, tl.arange(0, WIDTH)[None, :], HEAD)
    return add_product(dz16, tl.trans(w), du)


@triton.jit
def attention_gradient(
    u, g, W_QKV, B_QKV, W_PROJ, DW_QKV, DB_QKV, DW_PROJ, COS, SIN, T, D, C, H, G, scale, root, ROTARY: tl.constexpr,
    LENGTH: tl.constexpr, WIDTH: tl.constexpr, HEAD: tl.constexpr,
):  # fmt: skip
    """du (LENGTH, WIDTH) from the gradient ``g`` of the projection; the gradients of the weights are written."""
    wide, deep = tl.arange(0, WIDTH)[None, :], tl.arange(0, HEAD)[:, None]
    du = tl.zeros(u.shape, tl.float32)
    for group in range(G):
        k, w_k = head_of(u, W_QKV, B_QKV, H + group, COS, SIN, T, D, C, ROTARY, LENGTH, WIDTH, HEAD)
        v, w_v = head_of(u, W_QKV, B_QKV, H + G + group, COS, SIN, T, D, C, False, LENGTH, WIDTH, HEAD)
        dk, dv = tl.zeros((LENGTH, HEAD), tl.float32), tl.zeros((LENGTH, HEAD), tl.float32)
        for head in range(group * (H // G), (group + 1) * (H // G)):
            q, w_q = head_of(u, W_QKV, B_QKV, head, COS, SIN, T, D, C, ROTARY, LENGTH, WIDTH, HEAD)
            p = causal_weights(q, k, scale, LENGTH).to(u.dtype)
            o = tl.dot(p, v, input_precision="ieee").to(u.dtype)
            inside, at = (wide < D) & (deep < C), wide * (H * C) + head * C + deep
            w = tl.load(W_PROJ + at, mask=inside, other=0.0)
            tl.store(DW_PROJ + at, tl.dot(tl.trans(o), g, input_precision="ieee"), mask=inside)
            do = tl.dot(g, tl.trans(w), input_precision="ieee").to(u.dtype)
            dv = add_product(tl.trans(p), do, dv)
            ds = tl.dot(do, tl.trans(v), input_precision="ieee")
            shared = tl.sum(p.to(tl.float32) * ds, 1)[:, None]
            ds = (p.to(tl.float32) * (ds - shared) * root).to(u.dtype)
            dk = add_product(tl.trans(ds), q, dk)
            dq = tl.dot(ds, k, input_precision="ieee")
            du = _head_gradient(
                du, dq, u, w_q, head, DW_QKV, DB_QKV, COS, SIN, T, D, C, ROTARY, LENGTH, WIDTH, HEAD
            )  # fmt: skip
        du = _head_gradient(
            du, dk, u, w_k, H + group, DW_QKV, DB_QKV, COS, SIN, T, D, C, ROTARY, LENGTH, WIDTH, HEAD
        )  # fmt: skip
        du = _head_gradient(
            du, dv, u, w_v, H + G + group, DW_QKV, DB_QKV, COS, SIN, T, D, C, False, LENGTH, WIDTH, HEAD
        )  # fmt: skip
    return du
