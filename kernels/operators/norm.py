"""``isoflop::norm`` and ``isoflop::add_norm``: the norm of rows, and of their sum with the residual stream."""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.kernels import norm as launcher
from isoflop.kernels import norm_backward
from isoflop.kernels.operators.boundary import Operator, Results, absent, present


def _norm(
    x: Tensor, gain: Tensor, bias: Tensor | None, kind: str, eps: float
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    y, _, mean, rstd = launcher.forward(x, gain, bias, kind=kind, eps=eps)
    return y, absent(rstd) if mean is None else mean, rstd


def _norm_backward(
    dy: Tensor, x: Tensor, gain: Tensor, bias: Tensor | None, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    made = norm_backward.backward(dy, x, gain, present(mean), rstd, has_bias=bias is not None)
    return made.dx, made.dgain, absent(dy) if made.dbias is None else made.dbias


def _fake_norm(x: Tensor, gain: Tensor, bias: Tensor | None, kind: str, eps: float) -> Results:
    rstd = x.new_empty(x.shape[:2], dtype=torch.float32)
    return torch.empty_like(x), torch.empty_like(rstd) if kind == "layer" else absent(rstd), rstd


def _add_norm(
    x: Tensor, residual: Tensor, gain: Tensor, bias: Tensor | None, kind: str, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    y, total, mean, rstd = launcher.forward(x, gain, bias, residual, kind=kind, eps=eps)
    return y, total, absent(rstd) if mean is None else mean, rstd


def _add_norm_backward(
    dy: Tensor, dtotal: Tensor, total: Tensor, gain: Tensor, bias: Tensor | None, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    made = norm_backward.backward(dy, total, gain, present(mean), rstd, dtotal, has_bias=bias is not None)
    return made.dx, made.dgain, absent(dy) if made.dbias is None else made.dbias


def _fake_add_norm(
    x: Tensor, residual: Tensor, gain: Tensor, bias: Tensor | None, kind: str, eps: float
) -> Results:  # fmt: skip
    y, mean, rstd = _fake_norm(x, gain, bias, kind, eps)
    return y, torch.empty_like(x), mean, rstd


def _flops(x: Tensor, bias: Tensor | None, kind: str, *, add: bool) -> tuple[int, int]:
    return 0, x.numel() * (launcher.FLOPS[kind][0] - (not add) - (bias is None))


def _flops_backward(x: Tensor, bias: Tensor | None, mean: Tensor, *, add: bool) -> tuple[int, int]:
    each = launcher.FLOPS["rms" if present(mean) is None else "layer"][1]
    return 0, x.numel() * (each - (not add) - (bias is None))


_NORM = Operator(
    "norm", _norm, _norm_backward, fake=_fake_norm, results=("y", "mean", "rstd"),
    gradients={"x": "x", "gain": "gain", "bias": "bias"},
    costs=(
        lambda x, gain, bias, kind, eps: _flops(x, bias, kind, add=False),
        lambda dy, x, gain, bias, mean, rstd: _flops_backward(x, bias, mean, add=False),
    ),
)  # fmt: skip

_ADD_NORM = Operator(
    "add_norm", _add_norm, _add_norm_backward, fake=_fake_add_norm, results=("y", "total", "mean", "rstd"),
    gradients={"x residual": "total", "gain": "gain", "bias": "bias"},
    costs=(
        lambda x, residual, gain, bias, kind, eps: _flops(x, bias, kind, add=True),
        lambda dy, dtotal, total, gain, bias, mean, rstd: _flops_backward(total, bias, mean, add=True),
    ),
)  # fmt: skip


def norm(x: Tensor, gain: Tensor, bias: Tensor | None = None, *, kind: str, eps: float = 1e-5) -> Tensor:
    """Norm of the rows of x (K, M, D), differentiable; gain and bias (K, D); ``kind`` "layer" or "rms".

    Raises KernelError as :func:`isoflop.kernels.norm.forward` does.
    """
    return _NORM(x, gain, bias, kind, eps)[0]


def add_norm(
    x: Tensor, residual: Tensor, gain: Tensor, bias: Tensor | None, *, kind: str, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """(norm of the sum, the sum) of (K, M, D) tensors, differentiable; gain and bias (K, D).

    Raises KernelError as :func:`isoflop.kernels.norm.forward` does.
    """
    y, total, _, _ = _ADD_NORM(x, residual, gain, bias, kind, eps)
    return y, total
