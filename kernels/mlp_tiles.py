"""Tiles of the whole MLP that never leave the chip, and their gradients: device code of the MLP and of the block."""

from __future__ import annotations

import triton
import triton.language as tl

from isoflop.kernels.activation import activate, activation_gradient
from isoflop.kernels.products import add_product
from isoflop.kernels.row_norm import read


@triton.jit
def project(u, W, B, first, end, D, WIDTH: tl.constexpr, OUT: tl.constexpr):
    """(z, w): the OUT columns of u W^T + b from ``first`` to ``end``, nought beyond, and their weights (WIDTH, OUT)."""
    columns, wide = first + tl.arange(0, OUT)[None, :], tl.arange(0, WIDTH)[:, None]
    w = tl.load(W + columns * D + wide, mask=(columns < end) & (wide < D), other=0.0)
    z = tl.dot(u, w, input_precision="ieee")
    if B is not None:
        z += read(B, columns, columns < end)
    return z, w


@triton.jit
def feed_forward(
    u, y, W_IN, B_IN, W_OUT, D, F, KIND: tl.constexpr, WIDTH: tl.constexpr, HIDDEN: tl.constexpr
):  # fmt: skip
    """y + act(u W_in^T + b_in) W_out^T of one model, for a tile u (ROWS, WIDTH) in the dtype of the weights."""
    wide = tl.arange(0, WIDTH)[None, :]
    for h in range(0, F, HIDDEN):
        z, _ = project(u, W_IN, B_IN, h, F, D, WIDTH, HIDDEN)
        value = z
        if KIND == "swiglu":
            value, _ = project(u, W_IN, B_IN, F + h, 2 * F, D, WIDTH, HIDDEN)
        a = activate(z, value, KIND).to(u.dtype)
        columns = h + tl.arange(0, HIDDEN)[:, None]
        w = tl.load(W_OUT + wide * F + columns, mask=(columns < F) & (wide < D), other=0.0)
        y = add_product(a, w, y)
    return y


@triton.jit
def hidden_gradient(
    u, dy, W_IN, B_IN, W_OUT, h, D, F, KIND: tl.constexpr, WIDTH: tl.constexpr, HIDDEN: tl.constexpr
):  # fmt: skip
    """(a, dz, dvalue, w, w_value) of HIDDEN columns from ``h`` on, and the weights of W_in (WIDTH, HIDDEN)."""
    z, w = project(u, W_IN, B_IN, h, F, D, WIDTH, HIDDEN)
    value, w_value = z, w
    if KIND == "swiglu":
        value, w_value = project(u, W_IN, B_IN, F + h, 2 * F, D, WIDTH, HIDDEN)
    columns, wide = h + tl.arange(0, HIDDEN)[None, :], tl.arange(0, WIDTH)[:, None]
    w_out = tl.load(W_OUT + wide * F + columns, mask=(columns < F) & (wide < D), other=0.0)
    da = tl.dot(dy, w_out, input_precision="ieee")
    dz, dvalue = activation_gradient(z, value, da, KIND)
    return activate(z, value, KIND).to(u.dtype), dz, dvalue, w, w_value


@triton.jit
def feed_forward_gradient(
    u, dy, W_IN, B_IN, W_OUT, D, F, KIND: tl.constexpr, WIDTH: tl.constexpr, HIDDEN: tl.constexpr
):  # fmt: skip
    """du (ROWS, WIDTH) of one model, from tiles u and dy in the dtype of the weights."""
    du = tl.zeros(u.shape, tl.float32)
    for h in range(0, F, HIDDEN):
        _, dz, dvalue, w, w_value = hidden_gradient(u, dy, W_IN, B_IN, W_OUT, h, D, F, KIND, WIDTH, HIDDEN)
        du = add_product(dz.to(u.dtype), tl.trans(w), du)
        if KIND == "swiglu":
            du = add_product(dvalue.to(u.dtype), tl.trans(w_value), du)
    return du


@triton.jit
def write_sum(OUT, at, tile, inside):
    """The sum over rows of a tile, where it is wanted."""
    if OUT is not None:
        tl.store(OUT + at, tl.sum(tile, 0)[None, :], mask=inside)


@triton.jit
def write_columns(DW, DB, first, dw, db, h, F, D, cols, HIDDEN: tl.constexpr):
    """Gradients of HIDDEN rows of weights (F, D), and of their biases, from row ``first`` + ``h`` on."""
    deep, across = h + tl.arange(0, HIDDEN)[:, None], h + tl.arange(0, HIDDEN)[None, :]
    tl.store(DW + (first + deep) * D + cols, dw.to(DW.dtype.element_ty), mask=(cols < D) & (deep < F))
    if DB is not None:
        tl.store(DB + first + across, db.to(DB.dtype.element_ty), mask=across < F)
