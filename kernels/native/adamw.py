"""AdamW over the flat parameters of K models, and the squares of their gradients; see ``csrc/ops/adamw.cpp``.

Gradients come in slots (K, S, N), one for each share of the batch: their sum, in order, is the gradient of the batch.
An update is :func:`squares`, :func:`update` and :func:`advance`; the first two may go chunk by chunk of the parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device


def squares(grads: Tensor, *, out: Tensor | None = None) -> Tensor:
    """|sum of the slots|^2, then |slot|^2 of each: (K, 1 + S) float64 of ``grads`` (K, S, N), a chunk of all or all.

    From these follow both the norm to clip by and the noise scale (``reference.noise_scale``).
    """
    refuse_device("gradient_squares", grads)
    models, slots, size = grads.shape
    form = (models, 1 + slots), torch.float64
    made: Tensor = buffers("gradient_squares", grads.device, None if out is None else (out,), squares=form)[0]
    call("gradient_squares", [grads, made], [size, slots, grads.stride(1)])
    return made


def update(
    params: Tensor, grads: Tensor, first: Tensor, second: Tensor, squares: Tensor, hyper: Tensor, step: Tensor,
    pieces: Tensor, factors: Tensor, *, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """One step of AdamW, in place, on a chunk of N parameters or all of them.

    Args:
        params, first, second: (K, N); the moments are of the clipped gradient.
        grads: (K, S, N).
        squares: (K, chunks, 1 + S) float64: of all chunks, as :func:`squares` gives them.
        hyper: (K, 6) float64: lr, beta1, beta2, eps, weight_decay, clip (infinity clips nothing).
        step: (K,) int64, updates made before this one.
        pieces: (K, P, 2) int64, where each begins and ends; counted from the first of these N parameters, and cut
            where they reach beyond. What is in no piece stays as it is.
        factors: (K, P, 2) float64, of the learning rate of each piece and of its decay.
        out: (K,) room for the result.

    Returns |g| (K,) before clipping. Raises KernelError for tensors of other shapes or that are not on the host.
    """
    refuse_device("adamw", params)
    models, slots, size = grads.shape
    chunks, count = squares.shape[1], pieces.shape[1]
    needed = {
        "params": (params, (models, size)), "first": (first, (models, size)), "second": (second, (models, size)),
        "squares": (squares, (models, chunks, 1 + slots)), "hyper": (hyper, (models, 6)), "step": (step, (models,)),
        "pieces": (pieces, (models, count, 2)), "factors": (factors, (models, count, 2)),
    }  # fmt: skip
    for name, (tensor, form) in needed.items():
        if tuple(tensor.shape) != form:
            raise KernelError(f"adamw: {name} is {tuple(tensor.shape)}; needed: {form}")
    norm: Tensor = buffers("adamw", params.device, None if out is None else (out,), norm=((models,), params.dtype))[0]
    call(
        "adamw", [params, grads, first, second, squares, hyper, step, pieces, factors, norm],
        [size, slots, grads.stride(1), chunks, count],
    )  # fmt: skip
    return norm


def advance(step: Tensor) -> None:
    """One more to ``step`` (K,) int64, once all chunks of a model are updated."""
    call("advance", [step])
