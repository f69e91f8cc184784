"""Gradients of the whole MLP of the rows of K models; the hidden is computed again from x, and again not stored.

    a = act(z);  da = dy W_out;  dz = da act'(z);  du = dz W_in
    dx = norm'(du gain) + dy (where residual);   dgain = sum du n;   dbias = sum du;   db_out = sum dy
    dW_in = dz^T u;   db_in = sum dz;   dW_out = dy^T a          all sums over rows

Two kernels. Over rows: dx, and partial sums of dgain, dbias and db_out: 6 M D F FLOPs in dots (10 M D F gated). Over
hidden columns: a program holds the gradients of ``HIDDEN`` of them and goes over rows: 8 M D F (12 M D F gated).
The least that any order needs is 8 M D F (12 gated) without recomputing z, once per row and column; z and da twice are
what it costs to store none of z, a, da and dz, which is 8 M F s bytes of traffic at s bytes an element.
Minimum bytes: s (3 M D + 4 D F) (6 D F gated): x, dy and the weights read, dx and their gradients written. Arithmetic
intensity at two bytes, F = 4 D and many rows: 28 D/3 FLOPs a byte.

Where hidden columns alone give too few programs, each shares its rows among several, and their partial sums are added
in a fixed order: no atomics, the same bits every time, for one model as for many.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.launch import admit
from isoflop.kernels.mlp import fitting, padded
from isoflop.kernels.mlp_tiles import feed_forward_gradient, hidden_gradient, write_columns, write_sum
from isoflop.kernels.partial import add_partials
from isoflop.kernels.products import add_product
from isoflop.kernels.row_norm import normed, normed_gradient, read, read_first, scaled
from isoflop.kernels.signatures import check, check_mlp

COLUMN_PROGRAMS = 64  # of a model, where rows are enough: half a GPU


@triton.jit
def _mlp_bwd_rows(
    DY, X, G, B, W_IN, B_IN, W_OUT, DX, DG, DB, DB_OUT, M, D, F, eps, NORM: tl.constexpr, KIND: tl.constexpr,
    RESIDUAL: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, HIDDEN: tl.constexpr,
):  # fmt: skip
    """Grid (P = cdiv(M, ROWS), K). DG, DB, DB_OUT (K, P, D) float32 or None: sums over the rows of a program."""
    model, program = tl.program_id(1).to(tl.int64), tl.program_id(0)
    gated: tl.constexpr = 2 if KIND == "swiglu" else 1
    row, rows, cols = program.to(tl.int64) * ROWS, tl.arange(0, ROWS)[:, None], tl.arange(0, WIDTH)[None, :]
    inside, column, partial = cols < D, model * D + cols, (model * tl.num_programs(0) + program) * D + cols
    live, at = (row + rows < M) & inside, (model * M + row) * D + rows * D + cols
    if B_IN is not None:
        B_IN += model * gated * F
    n, _ = normed(read_first(X, at, live), inside, D, eps, NORM)
    u = scaled(n, G, B, column, inside).to(X.dtype.element_ty)
    dy = read_first(DY, at, live).to(X.dtype.element_ty)
    du = feed_forward_gradient(
        u, dy, W_IN + model * gated * F * D, B_IN, W_OUT + model * F * D, D, F, KIND, WIDTH, HIDDEN
    )
    n, rstd = normed(read(X, at, live), inside, D, eps, NORM)
    write_sum(DG, partial, du * n, inside)
    write_sum(DB, partial, du, inside)
    dx = normed_gradient(scaled(du, G, None, column, inside), n, rstd, inside, D, NORM)
    dy = read(DY, at, live)
    write_sum(DB_OUT, partial, dy, inside)
    if RESIDUAL:
        dx += dy
    tl.store(DX + at, dx.to(DX.dtype.element_ty), mask=live)


@triton.jit
def _mlp_bwd_columns(
    DY, X, G, B, W_IN, B_IN, W_OUT, DW_IN, DB_IN, DW_OUT, M, D, F, eps, steps, NORM: tl.constexpr, KIND: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, HIDDEN: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(F, HIDDEN), P, K), ``steps`` tiles of rows a program. DW_IN (K, P, F or 2F, D); DB_IN; DW_OUT."""
    model, part = tl.program_id(2).to(tl.int64), tl.program_id(1)
    gated: tl.constexpr = 2 if KIND == "swiglu" else 1
    h = tl.program_id(0) * HIDDEN
    rows, cols = tl.arange(0, ROWS)[:, None], tl.arange(0, WIDTH)[None, :]
    inside = cols < D
    nought, row_nought = tl.zeros((HIDDEN, WIDTH), tl.float32), tl.zeros((1, HIDDEN), tl.float32)
    dw_in, dw_value, dw_out, db_in, db_value = nought, nought, nought, row_nought, row_nought
    W_IN += model * gated * F * D
    W_OUT += model * F * D
    if B_IN is not None:
        B_IN += model * gated * F
    for step in range(steps):
        row = (part.to(tl.int64) * steps + step) * ROWS
        live = (row + rows < M) & inside
        at = (model * M + row) * D + rows * D + cols
        n, _ = normed(read(X, at, live), inside, D, eps, NORM)
        u = scaled(n, G, B, model * D + cols, inside).to(X.dtype.element_ty)
        dy = tl.load(DY + at, mask=live, other=0.0)
        a, dz, dvalue, _, _ = hidden_gradient(u, dy, W_IN, B_IN, W_OUT, h, D, F, KIND, WIDTH, HIDDEN)
        dw_out = add_product(tl.trans(a), dy, dw_out)
        dw_in = add_product(tl.trans(dz.to(u.dtype)), u, dw_in)
        db_in += tl.sum(dz, 0)[None, :]
        if KIND == "swiglu":
            dw_value = add_product(tl.trans(dvalue.to(u.dtype)), u, dw_value)
            db_value += tl.sum(dvalue, 0)[None, :]
    partial = model * tl.num_programs(1) + part
    write_columns(DW_IN, DB_IN, partial * gated * F, dw_in, db_in, h, F, D, cols, HIDDEN)
    if KIND == "swiglu":
        write_columns(DW_IN, DB_IN, (partial * gated + 1) * F, dw_value, db_value, h, F, D, cols, HIDDEN)
    columns = h + tl.arange(0, HIDDEN)[:, None]
    tl.store(
        DW_OUT + partial * F * D + cols * F + columns, dw_out.to(DW_OUT.dtype.element_ty), mask=inside & (columns < F)
    )


class Gradients(NamedTuple):
    """Of what the MLP takes, None where it takes none; the partial sums behind them are room for the next call."""

    dx: Tensor
    dw_in: Tensor
    db_in: Tensor | None
    dw_out: Tensor
    db_out: Tensor | None
    dgain: Tensor | None
    dbias: Tensor | None
    w_in_sums: Tensor | None
    b_in_sums: Tensor | None
    w_out_sums: Tensor | None
    b_out_sums: Tensor | None
    gain_sums: Tensor | None
    bias_sums: Tensor | None


def backward(
    dy: Tensor, x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None,
    gain: Tensor | None = None, bias: Tensor | None = None, *, kind: str, norm: str = "none", eps: float = 1e-5,
    residual: bool = False, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy`` (K, M, D) and what :func:`isoflop.kernels.mlp.forward` took, with its settings.

    They fill ``out``, the gradients of an earlier call, where given. Raises KernelError as the forward does.
    """
    tensors = {"x": x, "w_in": w_in, "b_in": b_in, "w_out": w_out, "b_out": b_out, "gain": gain, "bias": bias}
    sizes = check("mlp_backward", dy=dy, **tensors)
    check_mlp("mlp_backward", sizes, kind=kind, norm=norm, gain=gain, bias=bias)
    admit("mlp_backward", "dy", dy)
    models, rows, width, deep = (sizes[axis] for axis in "KMDF")
    by_rows, by_columns = fitting("mlp_backward_rows", x), fitting("mlp_backward_columns", x)
    row_programs, columns = triton.cdiv(rows, by_rows["rows"]), triton.cdiv(deep, by_columns["hidden"])
    tiles = triton.cdiv(rows, by_columns["rows"])
    steps = triton.cdiv(tiles, max(1, COLUMN_PROGRAMS // columns))
    shares = triton.cdiv(tiles, steps)

    def sums(tensor: Tensor | None, parts: int) -> tuple[tuple[int, ...], torch.dtype] | None:
        return None if tensor is None or not parts else ((models, parts, *tensor.shape[1:]), torch.float32)

    made = Gradients(*buffers(
        "mlp_backward", x.device, out,
        **{f"d{name}": None if each is None else (tuple(each.shape), each.dtype) for name, each in tensors.items()},
        **{f"{name}_sums": sums(tensors[name], shares if shares > 1 else 0) for name in ("w_in", "b_in", "w_out")},
        **{f"{name}_sums": sums(tensors[name], row_programs) for name in ("b_out", "gain", "bias")},
    ))  # fmt: skip
    settings = {"NORM": norm, "KIND": kind, "WIDTH": padded(width)}
    _mlp_bwd_rows[(row_programs, models)](
        dy, x, gain, bias, w_in, b_in, w_out, made.dx, made.gain_sums, made.bias_sums, made.b_out_sums,
        rows, width, deep, eps, RESIDUAL=residual, **settings, **by_rows.constants, **by_rows.launch,
    )  # fmt: skip
    filled = (made.w_in_sums, made.b_in_sums, made.w_out_sums) if shares > 1 else (made.dw_in, made.db_in, made.dw_out)
    _mlp_bwd_columns[(columns, shares, models)](
        dy, x, gain, bias, w_in, b_in, w_out, *filled, rows, width, deep, eps, steps,
        **settings, **by_columns.constants, **by_columns.launch,
    )  # fmt: skip
    for partial, total in zip(made[7:], made[1:7], strict=True):
        if partial is not None and total is not None:
            add_partials(partial, total)
    return made
