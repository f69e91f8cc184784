"""Level 7. The model axis: a second axis of the grid says which of K models a program's rows are of."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from levels.fused import HIDDEN, ROWS, rows_of_mlp
from levels.task import EPS, Weights


@triton.jit
def mlp_of_models(
    X, G, B, W_IN, B_IN, W_OUT, B_OUT, Y, M, D, F, eps, ROWS: tl.constexpr, WIDTH: tl.constexpr, HIDDEN: tl.constexpr
):
    """Grid (cdiv(M, ROWS), K). X, Y (K, M, D); G, B, B_OUT (K, D); W_IN (K, F, D); B_IN (K, F); W_OUT (K, D, F)."""
    k = tl.program_id(1).to(tl.int64)
    rows_of_mlp(
        X + k * M * D, G + k * D, B + k * D, W_IN + k * F * D, B_IN + k * F, W_OUT + k * D * F, B_OUT + k * D,
        Y + k * M * D, M, D, F, eps, ROWS, WIDTH, HIDDEN,
    )  # fmt: skip


def mlp(x: Tensor, w: Weights) -> Tensor:
    """The MLP of the rows x (K, M, D) of K models: one launch."""
    (models, rows, width), deep = x.shape, w.w_in.shape[1]
    y, wide = torch.empty_like(x), max(16, triton.next_power_of_2(width))
    grid = triton.cdiv(rows, ROWS), models
    mlp_of_models[grid](x, *w, y, rows, width, deep, EPS, ROWS=ROWS, WIDTH=wide, HIDDEN=HIDDEN)
    return y
