"""Elements of K models dropped by chance, the rest divided by what stays: y = x kept / (1 - rate) + residual.

FLOPs an element: 2, beside some 20 of integers. Minimum bytes at s bytes an element: 3 s, 2 s without a residual;
bandwidth decides. The gradient of x is this op of that of y, without a residual: what was dropped is found again, not
kept.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.chance import kept
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.signatures import check


@triton.jit
def _dropout(X, RESIDUAL, Y, RATE, SEED, STEP, START, N, op, BLOCK: tl.constexpr):
    """Grid (cdiv(N, BLOCK), K). X, Y (K, N), RESIDUAL (K, N) or None; the others are those of ``chance.kept``."""
    first, lanes = tl.program_id(0).to(tl.int64) * BLOCK, tl.arange(0, BLOCK)
    at, live = tl.program_id(1).to(tl.int64) * N + first + lanes, first + lanes < N
    y = tl.load(X + at, mask=live, other=0.0).to(tl.float32) * kept(RATE, SEED, STEP, START, op, first, lanes)
    if RESIDUAL is not None:
        y += tl.load(RESIDUAL + at, mask=live, other=0.0).to(tl.float32)
    tl.store(Y + at, y.to(Y.dtype.element_ty), mask=live)


def forward(
    x: Tensor, seed: Tensor, step: Tensor, residual: Tensor | None = None, start: Tensor | None = None, *,
    rate: Tensor, op: int, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """x (K, ...) / (1 - rate), or 0 with a chance of ``rate`` (K,) float64, plus ``residual``.

    The gradient of x is this op of that of y, without a residual. What is dropped follows from seed and step (K,)
    int64, the number ``op`` of the op in the model, and the number of the element, counted from ``start`` (K,) int64, 0
    unless given: fewer than 2^32. ``out`` is filled where given. Raises KernelError, before any launch, for tensors
    that ``signatures.check`` refuses or that are on no GPU, and for an ``out`` of another form.
    """
    check("dropout", x=x, seed=seed, step=step, residual=residual, start=start, rate=rate)
    admit("dropout", "x", x)
    y: Tensor = buffers("dropout", x.device, None if out is None else (out,), y=(tuple(x.shape), x.dtype))[0]
    elements = x[0].numel()
    tile = configuration("adamw", width=elements, dtype=x.dtype, chip=chip_of(x.device))
    _dropout[(triton.cdiv(elements, tile["block"]), len(x))](
        x, residual, y, rate, seed, step, start, elements, op, **tile.constants, **tile.launch
    )
    return y
