"""Adafactor on one matrix or vector; see ``csrc/ops/adafactor.cpp``."""

from __future__ import annotations

import math

from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.native.call import call, refuse_device


def update(
    params: Tensor, grads: Tensor, row: Tensor, column: Tensor | None, squares: Tensor, hyper: Tensor, factors: Tensor,
    step: Tensor,
) -> None:  # fmt: skip
    """One step of Adafactor, in place, on a matrix or a vector of each of K models, of gradients clipped before.

    Args:
        params: (K, O, I), or (K, O) of a vector.
        grads: (K, S, N), slots of which the first O I numbers are the matrix's.
        row, column: moments (K, O) and (K, I); a vector has none of columns.
        squares, hyper: as in :func:`isoflop.kernels.native.adamw.update`; betas and eps have no part in it.
        factors: (K, 2) float64, of the learning rate and of the decay.
        step: (K,) int64, updates made before this one.

    Raises KernelError for tensors of other shapes or that are not float32 on the host.
    """
    refuse_device("adafactor", params)
    models, rows, *width = params.shape
    slots, chunks = grads.shape[1], squares.shape[1]
    needed = {
        "grads": (grads, (models, slots, rows * math.prod(width))), "row": (row, (models, rows)),
        "squares": (squares, (models, chunks, 1 + slots)), "hyper": (hyper, (models, 6)),
        "factors": (factors, (models, 2)), "step": (step, (models,)),
    } | ({} if column is None else {"column": (column, (models, *width))})  # fmt: skip
    for name, (tensor, form) in needed.items():
        if tuple(tensor.shape) != form:
            raise KernelError(f"adafactor: {name} is {tuple(tensor.shape)}; needed: {form}")
    if (column is None) != (not width):
        raise KernelError(
            f"adafactor: params are {tuple(params.shape)}; a matrix has moments of columns, no vector has"
        )
    call(
        "adafactor", [params, grads, row, column, squares, hyper, factors, step],
        [rows, math.prod(width), slots, grads.stride(1), chunks],
    )  # fmt: skip
