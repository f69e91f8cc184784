"""Level 4. An epilogue: bias, activation and residual are done to a tile while its program still holds it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from levels.task import EPS, Weights
from levels.tiles import COLUMNS, DEPTH, ROWS


@triton.jit
def gelu(z):
    """z Phi(z), exactly."""
    return 0.5 * z * (1.0 + tl.math.erf(z * 0.7071067811865476))


@triton.jit
def finished_product(
    X, W, B, R, Y, M, N, D, GELU: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr
):
    """Grid (cdiv(M, ROWS), cdiv(N, COLUMNS)). Y (M, N) = act(X W^T + B) + R; R (M, N) or None."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    depth, live = tl.arange(0, DEPTH), (row < M) & (column < N)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, D, DEPTH):
        d = start + depth
        x = tl.load(X + row * D + d[None, :], mask=(row < M) & (d < D)[None, :], other=0.0)
        w = tl.load(W + column * D + d[:, None], mask=(column < N) & (d < D)[:, None], other=0.0)
        total = tl.dot(x, w, total, input_precision="ieee")
    total += tl.load(B + column, mask=column < N, other=0.0).to(tl.float32)
    if GELU:
        total = gelu(total)
    if R is not None:
        total += tl.load(R + row * N + column, mask=live, other=0.0).to(tl.float32)
    tl.store(Y + row * N + column, total.to(Y.dtype.element_ty), mask=live)


def linear(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None = None, *, activate: bool) -> Tensor:
    """act(x W^T + b) + residual: x (M, D), W (N, D), b (N,), residual (M, N)."""
    (rows, width), columns = x.shape, weight.shape[0]
    y = torch.empty(rows, columns, dtype=x.dtype, device=x.device)
    grid = triton.cdiv(rows, ROWS), triton.cdiv(columns, COLUMNS)
    finished_product[grid](
        x, weight, bias, residual, y, rows, columns, width, GELU=activate, ROWS=ROWS, COLUMNS=COLUMNS, DEPTH=DEPTH
    )
    return y


def mlp(x: Tensor, w: Weights) -> Tensor:
    """The MLP of the rows x (M, D) of one model: the norm by torch, then two launches."""
    u = F.layer_norm(x, w.gain.shape, w.gain, w.bias, EPS)
    a = linear(u, w.w_in, w.b_in, activate=True)
    return linear(a, w.w_out, w.b_out, x, activate=False)
