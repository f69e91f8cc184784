"""A linear layer, forward and backward; see ``csrc/ops/linear.cpp``."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, packed_bytes, refuse_device
from isoflop.kernels.signatures import check


class Gradients(NamedTuple):
    """Of x, weight and bias."""

    dx: Tensor
    dweight: Tensor
    dbias: Tensor | None


def forward(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """x W^T + b + residual: x (K, M, I), weight (K, O, I), bias (K, O), residual (K, M, O) to (K, M, O).

    ``out`` is filled and returned where given, and may be ``residual``. Raises KernelError for tensors that
    ``signatures.check`` refuses or that are not float32 on the host, and for an ``out`` of another form.
    """
    sizes = check("linear", x=x, weight=weight, bias=bias, residual=residual)
    refuse_device("linear", x)
    rows, inner, width = (sizes[axis] for axis in "MIO")
    given = None if out is None else (out,)
    y: Tensor = buffers("linear", x.device, given, y=((sizes["K"], rows, width), x.dtype))[0]
    call("linear", [x, weight, bias, residual, y], [rows, inner, width], kept=packed_bytes(inner, width))
    return y


def backward(dy: Tensor, x: Tensor, weight: Tensor, *, has_bias: bool, out: Gradients | None = None) -> Gradients:
    """Gradients from ``dy`` (K, M, O), x (K, M, I) and weight (K, O, I), in the gradients ``out`` of an earlier call.

    Raises KernelError as :func:`forward` does.
    """
    sizes = check("linear_backward", dy=dy, x=x, weight=weight)
    refuse_device("linear", dy)
    rows, inner, width = (sizes[axis] for axis in "MIO")
    made = Gradients(*buffers(
        "linear", dy.device, out, dx=(tuple(x.shape), x.dtype), dweight=(tuple(weight.shape), x.dtype),
        dbias=((sizes["K"], width), x.dtype) if has_bias else None,
    ))  # fmt: skip
    call("linear_backward", [dy, x, weight, *made], [rows, inner, width], kept=packed_bytes(width, inner))
    return made
