"""Layer and RMS norm of rows; see ``csrc/ops/norm.cpp``."""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.signatures import check


def forward(
    x: Tensor, gain: Tensor, bias: Tensor | None = None, residual: Tensor | None = None, *, kind: str,
    eps: float = 1e-5, out: tuple[Tensor, Tensor, Tensor | None, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:  # fmt: skip
    """Norm of ``x``, or of ``x + residual``: (K, M, D), with gain and bias (K, D).

    Returns y, the total (``x`` itself without a residual), the mean (K, M) of a layer norm, and rstd (K, M); ``out``,
    the results of an earlier call, is filled again. Raises KernelError for tensors that ``signatures.check`` refuses or
    that are not float32 on the host, and for an ``out`` of another form.
    """
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
