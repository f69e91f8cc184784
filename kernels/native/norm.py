"""Layer and RMS norm of rows, forward and backward; see ``csrc/ops/norm.cpp``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.signatures import check, check_norm_kind


def forward(
    x: Tensor, gain: Tensor, bias: Tensor | None = None, residual: Tensor | None = None, *, kind: str,
    eps: float = 1e-5, out: tuple[Tensor, Tensor, Tensor | None, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:  # fmt: skip
    """Norm of ``x``, or of ``x + residual``: (K, M, D), with gain and bias (K, D).

    Returns y, the total (``x`` itself without a residual), the mean (K, M) of a layer norm, and rstd (K, M); ``out``,
    the results of an earlier call, is filled again. Raises KernelError for tensors that ``signatures.check`` refuses or
    that are not float32 on the host, for an unknown kind, and for an ``out`` of another form.
    """
    check_norm_kind(kind)
    add = {} if residual is None else {"residual": residual}
    sizes = check("add_norm" if add else "norm", x=x, gain=gain, bias=bias, **add)
    refuse_device("norm", x)
    row, statistic = (tuple(x.shape), x.dtype), ((sizes["K"], sizes["M"]), torch.float32)
    y, total, mean, rstd = buffers(
        "norm", x.device, None if out is None else (out[0], out[1] if add else None, *out[2:]), y=row,
        total=row if add else None, mean=statistic if kind == "layer" else None, rstd=statistic,
    )  # fmt: skip
    call("norm", [x, gain, bias, residual, total, y, mean, rstd], [sizes["M"], sizes["D"]], [eps, kind == "layer"])
    return y, x if total is None else total, mean, rstd


class Gradients(NamedTuple):
    """Of x (K, M, D), gain and bias (K, D)."""

    dx: Tensor
    dgain: Tensor
    dbias: Tensor | None


def backward(
    dy: Tensor, total: Tensor, gain: Tensor, mean: Tensor | None, rstd: Tensor, dtotal: Tensor | None = None, *,
    has_bias: bool, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy``, the results of :func:`forward`, and the gradient of its total.

    ``dx`` is that of ``x`` and of ``residual`` alike. ``out`` is filled as in :func:`forward`, and raises the same.
    """
    sizes = check("norm_backward", dy=dy, total=total, gain=gain, mean=mean, rstd=rstd, dtotal=dtotal)
    refuse_device("norm", dy)
    vector = (sizes["K"], sizes["D"]), gain.dtype
    made = Gradients(*buffers(
        "norm", dy.device, out, dx=(tuple(total.shape), total.dtype), dgain=vector, dbias=vector if has_bias else None
    ))  # fmt: skip
    call("norm_backward", [dy, total, gain, mean, rstd, dtotal, *made], [sizes["M"], sizes["D"]])
    return made
