"""Norms as ``torch.library`` operators, for autograd, ``torch.compile`` and models of others: ``isoflop::add_norm``.

An operator costs its caller some tens of microseconds a call; code that holds its own buffers calls the launchers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isoflop.kernels import norm
from isoflop.tracing import Op, elementwise, register


@torch.library.custom_op("isoflop::add_norm", mutates_args=())
def _add_norm(
    x: Tensor, residual: Tensor, gain: Tensor, bias: Tensor | None, kind: str, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    y, total, mean, rstd = norm.forward(x, gain, bias, residual, kind=kind, eps=eps)
    return y, total, torch.zeros_like(rstd) if mean is None else mean, rstd


@torch.library.custom_op("isoflop::add_norm_backward", mutates_args=())
def _add_norm_backward(
    dy: Tensor, dtotal: Tensor, total: Tensor, gain: Tensor, mean: Tensor, rstd: Tensor, kind: str
) -> tuple[Tensor, Tensor, Tensor]:
    layer = mean if kind == "layer" else None
    dx, dgain, dbias, *_ = norm.backward(dy, total, gain, layer, rstd, dtotal, has_bias=True)
    assert dbias is not None
    return dx, dgain, dbias


@_add_norm.register_fake
def _(x: Tensor, residual: Tensor, gain: Tensor, bias: Tensor | None, kind: str, eps: float) -> tuple[Tensor, ...]:
    rows = x.new_empty(x.shape[:2], dtype=torch.float32)
    return torch.empty_like(x), torch.empty_like(x), rows, torch.empty_like(rows)


@_add_norm_backward.register_fake
def _(
    dy: Tensor, dtotal: Tensor, total: Tensor, gain: Tensor, mean: Tensor, rstd: Tensor, kind: str
) -> tuple[Tensor, ...]:
    return torch.empty_like(total), torch.empty_like(gain), torch.empty_like(gain)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, _, gain, bias, ctx.kind, _ = inputs
    _, total, mean, rstd = output
    ctx.has_bias = bias is not None
    ctx.save_for_backward(total, gain, mean, rstd)
    ctx.mark_non_differentiable(mean, rstd)


def _differentiate(ctx: Any, dy: Tensor, dtotal: Tensor, _mean: Tensor, _rstd: Tensor) -> tuple[Any, ...]:
    grads = dy.contiguous(), dtotal.contiguous()
    dx, dgain, dbias = torch.ops.isoflop.add_norm_backward(*grads, *ctx.saved_tensors, ctx.kind)
    return dx, dx, dgain, dbias if ctx.has_bias else None, None, None


_add_norm.register_autograd(_differentiate, setup_context=_keep)


def _cost(x: Tensor, flops: int, *, read: int) -> Op:
    return elementwise(x.numel(), flops, read=read * x.nbytes, written=(4 - read) * x.nbytes)


register(
    "isoflop::add_norm",
    lambda x, residual, gain, bias, kind, eps, out: _cost(x, norm.FLOPS[kind][0] - (bias is None), read=2),
)
register(
    "isoflop::add_norm_backward",
    lambda dy, dtotal, total, gain, mean, rstd, kind, out: _cost(dy, norm.FLOPS[kind][1], read=3),
)


def add_norm(
    x: Tensor, residual: Tensor, gain: Tensor, bias: Tensor | None, *, kind: str, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """(norm of the sum, the sum) of (K, M, D) tensors, differentiable; gain and bias (K, D).

    Raises KernelError as :func:`isoflop.kernels.norm.forward` does.
    """
    y, total, _, _ = _add_norm(x, residual, gain, bias, kind, eps)
    return y, total
