"""Elements times one number of the model; see ``csrc/ops/scale.cpp``."""

from __future__ import annotations

from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.signatures import check


def forward(x: Tensor, *, factor: Tensor, out: Tensor | None = None) -> Tensor:
    """x (K, ...) times ``factor`` (K,) float64, rounded to float32; the gradient of x is this op of that of y.

    ``out`` may be ``x``. Raises KernelError for tensors that ``signatures.check`` refuses or that are not float32 on
    the host.
    """
    check("scale", x=x, factor=factor)
    refuse_device("scale", x)
    y: Tensor = buffers("scale", x.device, None if out is None else (out,), y=(tuple(x.shape), x.dtype))[0]
    call("scale", [x, factor, y], [x[0].numel()])
    return y
