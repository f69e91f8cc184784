"""``isoflop::linear``: x W^T + b + residual."""

from __future__ import annotations

from torch import Tensor

from isoflop.kernels import linear as launcher
from isoflop.kernels import linear_backward
from isoflop.kernels.operators.boundary import Operator, absent


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None) -> Tensor:
    return launcher.forward(x, weight, bias, residual)


def _linear_backward(
    dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    made = linear_backward.backward(dy, x, weight, has_bias=bias is not None)
    return made.dx, made.dweight, absent(dy) if made.dbias is None else made.dbias


def _flops(x: Tensor, weight: Tensor, *added: Tensor | None) -> tuple[int, int]:
    models, rows, inner = x.shape
    width = weight.shape[1]
    sums = sum(each is not None for each in added)
    return models * launcher.flops(rows, inner, width)[0], models * rows * width * sums


def _flops_backward(dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[int, int]:
    models, rows, inner = x.shape
    return models * launcher.flops(rows, inner, weight.shape[1])[1], dy.numel() * (bias is not None)


_LINEAR = Operator(
    "linear", _linear, _linear_backward, results=("y",),
    fake=lambda x, weight, *_: x.new_empty(*x.shape[:2], weight.shape[1]),
    gradients={"x": "x", "weight": "weight", "bias": "bias"}, passed=("residual", "y"),
    costs=(_flops, _flops_backward),
)  # fmt: skip


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
    """x W^T + b + residual, differentiable: x (K, M, I), weight (K, O, I), bias (K, O), residual (K, M, O).

    A weight that is the transpose of a tensor (K, I, O) is read as it lies, and so its gradient lies. Raises
    KernelError as :func:`isoflop.kernels.linear.forward` does.
    """
    return _LINEAR(x, weight, bias, residual)[0]
