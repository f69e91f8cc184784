"""Elements dropped by chance; see ``csrc/ops/dropout.cpp``."""

from __future__ import annotations

from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.signatures import check


def forward(
    x: Tensor, seed: Tensor, step: Tensor, residual: Tensor | None = None, start: Tensor | None = None, *,
    rate: Tensor, op: int, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """x / (1 - rate), or 0 with a chance of ``rate`` (K,) float64, plus ``residual``.

    The gradient of x is this op of that of y, without a residual. What is dropped follows from seed and step (K,)
    int64, the number ``op`` of the op in the model, and the number of the element, counted from ``start`` (K,) int64, 0
    unless given: fewer than 2^32. ``out`` may be ``x``. Raises KernelError for tensors that ``signatures.check``
    refuses or that are not float32 on the host.
    """
    check("dropout", x=x, seed=seed, step=step, residual=residual, start=start, rate=rate)
    refuse_device("dropout", x)
    y: Tensor = buffers("dropout", x.device, None if out is None else (out,), y=(tuple(x.shape), x.dtype))[0]
    call("dropout", [x, residual, y, rate, seed, step, start], [x[0].numel()], [op])
    return y
