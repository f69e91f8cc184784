"""Level 5. A prologue: a program that holds whole rows norms them itself, once for each tile of columns."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from levels import epilogue
from levels.epilogue import gelu
from levels.task import EPS, Weights
from levels.tiles import COLUMNS, ROWS


@triton.jit
def layer_norm(x, G, B, d, D, eps):
    """(x - mean)/sqrt(var + eps) gain + bias of rows x (ROWS, WIDTH) float32, nought from column D on."""
    x = tl.where(d < D, x - tl.sum(x, 1)[:, None] / D, 0.0)
    n = x / tl.sqrt_rn(tl.sum(x * x, 1)[:, None] / D + eps)
    gain = tl.load(G + d, mask=d < D, other=0.0).to(tl.float32)
    return n * gain + tl.load(B + d, mask=d < D, other=0.0).to(tl.float32)


@triton.jit
def normed_product(X, G, B, W, B_IN, Y, M, N, D, eps, ROWS: tl.constexpr, WIDTH: tl.constexpr, COLUMNS: tl.constexpr):
    """Grid (cdiv(M, ROWS), cdiv(N, COLUMNS)). Y (M, N) = gelu(norm(X) W^T + B_IN); WIDTH is D, made a power of two."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    d = tl.arange(0, WIDTH)
    x = tl.load(X + row * D + d[None, :], mask=(row < M) & (d < D)[None, :], other=0.0).to(tl.float32)
    u = layer_norm(x, G, B, d[None, :], D, eps).to(X.dtype.element_ty)
    w = tl.load(W + column * D + d[:, None], mask=(column < N) & (d < D)[:, None], other=0.0)
    z = tl.dot(u, w, input_precision="ieee") + tl.load(B_IN + column, mask=column < N, other=0.0).to(tl.float32)
    tl.store(Y + row * N + column, gelu(z).to(Y.dtype.element_ty), mask=(row < M) & (column < N))


def mlp(x: Tensor, w: Weights) -> Tensor:
    """The MLP of the rows x (M, D) of one model: two launches, the hidden (M, F) in memory between them."""
    (rows, width), deep = x.shape, w.w_in.shape[0]
    a = torch.empty(rows, deep, dtype=x.dtype, device=x.device)
    wide = max(16, triton.next_power_of_2(width))
    grid = triton.cdiv(rows, ROWS), triton.cdiv(deep, COLUMNS)
    normed_product[grid](
        x, w.gain, w.bias, w.w_in, w.b_in, a, rows, deep, width, EPS, ROWS=ROWS, WIDTH=wide, COLUMNS=COLUMNS
    )
    return epilogue.linear(a, w.w_out, w.b_out, x, activate=False)
