"""Level 3. Tiles: a program makes ROWS by COLUMNS numbers, and what it reads serves all of them; tl.dot multiplies."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from levels.task import EPS, Weights

ROWS, COLUMNS, DEPTH = 32, 32, 32


@triton.jit
def tile_product(X, W, Y, M, N, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr):
    """Grid (cdiv(M, ROWS), cdiv(N, COLUMNS)). Y (M, N) = X (M, D) W^T, W (N, D)."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    depth = tl.arange(0, DEPTH)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, D, DEPTH):
        d = start + depth
        x = tl.load(X + row * D + d[None, :], mask=(row < M) & (d < D)[None, :], other=0.0)
        w = tl.load(W + column * D + d[:, None], mask=(column < N) & (d < D)[:, None], other=0.0)
        total = tl.dot(x, w, total, input_precision="ieee")
    tl.store(Y + row * N + column, total.to(Y.dtype.element_ty), mask=(row < M) & (column < N))


def product(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T: x (M, D), W (N, D)."""
    (rows, width), columns = x.shape, weight.shape[0]
    y = torch.empty(rows, columns, dtype=x.dtype, device=x.device)
    grid = triton.cdiv(rows, ROWS), triton.cdiv(columns, COLUMNS)
    tile_product[grid](x, weight, y, rows, columns, width, ROWS=ROWS, COLUMNS=COLUMNS, DEPTH=DEPTH)
    return y


def mlp(x: Tensor, w: Weights) -> Tensor:
    """The MLP of the rows x (M, D) of one model: both products by the kernel, the rest by torch."""
    u = F.layer_norm(x, w.gain.shape, w.gain, w.bias, EPS)
    a = F.gelu(product(u, w.w_in).add_(w.b_in))
    return x + product(a, w.w_out).add_(w.b_out)
