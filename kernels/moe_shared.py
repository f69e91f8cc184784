"""Experts that every row passes: the MLPs of all of them side by side, in two products of matrices.

    z = x W_in^T + b_in,   a = act(z) expert by expert,   y = residual + a W_out^T + sum over experts of b_out
    da = dy W_out,   dz = act'(z) da,   dx = dz W_in,   dW_out = dy^T a,   dW_in = dz^T x

W_in (N, F or 2F, D) of N experts are the rows of one matrix as they lie. W_out (N, D, F) are side by side columns, of
which a copy (D, N F) is made: s N D F bytes read and written, beside 2 M N D F FLOPs of the product that reads it.
Each expert's b_out has the same gradient. FLOPs of M rows: 4 M N D F, 6 gated, and twice that backward.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoflop.kernels import hidden, linear, linear_backward
from isoflop.kernels.buffers import buffers


class Shared(NamedTuple):
    """``y`` (K, M, D), and what the backward pass reads: of N experts ``hidden`` (K, M, N F or 2 N F), before the
    activation, ``activated`` (K, M, N F), ``weight`` (K, D, N F) and ``bias`` (K, D) of the second product."""

    y: Tensor
    hidden: Tensor
    activated: Tensor
    weight: Tensor
    bias: Tensor | None


class Gradients(NamedTuple):
    """Of x, and of weights and biases by ``dw_in`` and the like; the others are room for the next call."""

    dw_out: Tensor
    db_out: Tensor | None
    outer: linear_backward.Gradients
    dhidden: Tensor
    inner: linear_backward.Gradients

    @property
    def dx(self) -> Tensor:
        return self.inner.dx

    @property
    def dw_in(self) -> Tensor:
        models, experts, width, _ = self.dw_out.shape
        return self.inner.dweight.view(models, experts, -1, width)

    @property
    def db_in(self) -> Tensor | None:
        return None if self.inner.dbias is None else self.inner.dbias.view(*self.dw_out.shape[:2], -1)


def forward(
    x: Tensor, w_in: Tensor, w_out: Tensor, b_in: Tensor | None, b_out: Tensor | None, residual: Tensor | None, *,
    kind: str, out: Shared | None = None,
) -> Shared:  # fmt: skip
    """Rows x (K, M, D) through all N experts, plus ``residual``: w_in (K, N, F or 2F, D), w_out (K, N, D, F).

    Biases are (K, N, F or 2F) and (K, N, D), or None. ``out``, the results of an earlier call, is filled again.
    """
    models, experts, width, deep = w_out.shape
    weight, bias = buffers(
        "moe", x.device, None if out is None else out[3:], weight=((models, width, experts * deep), w_out.dtype),
        bias=None if b_out is None else ((models, width), b_out.dtype),
    )  # fmt: skip
    weight.view(models, width, experts, deep).copy_(w_out.transpose(1, 2))
    if b_out is not None:
        torch.sum(b_out, 1, out=bias)
    room = (None,) * 3 if out is None else (out.y, out.hidden, _by_expert(out.activated, experts))
    inner = None if b_in is None else b_in.flatten(1)
    z = linear.forward(x, w_in.flatten(1, 2), inner, out=room[1])
    a = hidden.forward(_by_expert(z, experts), kind=kind, out=room[2]).view(models, -1, experts * deep)
    return Shared(linear.forward(a, weight, bias, residual, out=room[0]), z, a, weight, bias)


def backward(
    dy: Tensor, x: Tensor, w_in: Tensor, made: Shared, *, kind: str, has_b_in: bool, out: Gradients | None = None
) -> Gradients:
    """Gradients from ``dy`` (K, M, D) and what :func:`forward` took and ``made``, in those of an earlier call."""
    has_b_out = made.bias is not None
    (models, experts), width, deep = w_in.shape[:2], x.shape[2], made.weight.shape[2] // w_in.shape[1]
    dw_out, db_out = buffers(
        "moe", x.device, None if out is None else out[:2], dw_out=((models, experts, width, deep), dy.dtype),
        db_out=((models, experts, width), dy.dtype) if has_b_out else None,
    )  # fmt: skip
    outer = linear_backward.backward(
        dy, made.activated, made.weight, has_bias=has_b_out, out=None if out is None else out.outer
    )
    dw_out.copy_(outer.dweight.view(models, width, experts, deep).transpose(1, 2))
    if outer.dbias is not None:
        db_out.copy_(outer.dbias[:, None].expand(db_out.shape))
    dz = hidden.backward(
        _by_expert(outer.dx, experts), _by_expert(made.hidden, experts), kind=kind,
        out=None if out is None else _by_expert(out.dhidden, experts),
    ).view_as(made.hidden)  # fmt: skip
    inner = linear_backward.backward(
        dz, x, w_in.flatten(1, 2), has_bias=has_b_in, out=None if out is None else out.inner
    )
    return Gradients(dw_out, db_out, outer, dz, inner)


def _by_expert(columns: Tensor, experts: int) -> Tensor:
    """(K, M, N F) as (K, M N, F)."""
    models, rows = columns.shape[:2]
    return columns.view(models, rows * experts, -1)
