"""Muon on one matrix; see ``csrc/ops/muon.cpp``."""

from __future__ import annotations

from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.native.call import call, refuse_device


def update(
    params: Tensor, grads: Tensor, first: Tensor, squares: Tensor, hyper: Tensor, factors: Tensor, *,
    momentum: float, size: float,
) -> None:  # fmt: skip
    """One step of ``reference.muon``, in place, on a matrix of each of K models, of gradients clipped before.

    Args:
        params, first: (K, O, I); the momentum is of the clipped gradient.
        grads: (K, S, N), slots of which the first O I numbers are the matrix's.
        squares, hyper: as in :func:`isoflop.kernels.native.adamw.update`; betas and eps have no part in it.
        factors: (K, 2) float64, of the learning rate and of the decay.
        momentum: mu.
        size: of the changes at a learning rate of 1, as a multiple of the orthogonal matrix.

    Raises KernelError for tensors of other shapes or that are not float32 on the host.
    """
    refuse_device("muon", params)
    models, height, width = params.shape
    slots, chunks = grads.shape[1], squares.shape[1]
    needed = {
        "first": (first, (models, height, width)), "grads": (grads, (models, slots, height * width)),
        "squares": (squares, (models, chunks, 1 + slots)), "hyper": (hyper, (models, 6)),
        "factors": (factors, (models, 2)),
    }  # fmt: skip
    for name, (tensor, form) in needed.items():
        if tuple(tensor.shape) != form:
            raise KernelError(f"muon: {name} is {tuple(tensor.shape)}; needed: {form}")
    call(
        "muon", [params, grads, first, squares, hyper, factors], [height, width, slots, grads.stride(1), chunks],
        [momentum, size],
    )  # fmt: skip
