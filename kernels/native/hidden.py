"""Activations of hidden columns that lie in memory, forward and backward; see ``csrc/ops/activation.cpp``."""

from __future__ import annotations

from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.signatures import ACTIVATIONS, activation_halves, check


def forward(z: Tensor, *, kind: str, out: Tensor | None = None) -> Tensor:
    """The activation (K, M, F) of z (K, M, F), (K, M, 2 F) where gated; ``kind`` is one of ``ACTIVATIONS``.

    ``out`` is written where given. Raises KernelError for a ``z`` that ``signatures.check`` refuses or that is not
    float32 on the host, for an odd width where gated, an unknown kind, and for an ``out`` of another form.
    """
    sizes, halves = check("activation", x=z), activation_halves(kind)
    refuse_device("activation", z)
    if sizes["I"] % halves:
        raise KernelError(f"activation: {kind} needs gates and values, and x has {sizes['I']} columns")
    form = (*z.shape[:2], sizes["I"] // halves), z.dtype
    made: Tensor = buffers("activation", z.device, None if out is None else (out,), y=form)[0]
    call("activation", [z, made], [sizes["M"], form[0][2]], [ACTIVATIONS.index(kind)])
    return made


def backward(da: Tensor, z: Tensor, *, kind: str, out: Tensor | None = None) -> Tensor:
    """The gradient of z from ``da`` (K, M, F), in ``out`` where given. Raises KernelError as :func:`forward` does."""
    sizes = check("activation_backward", dy=da, x=z)
    refuse_device("activation", z)
    if sizes["I"] != activation_halves(kind) * sizes["F"]:
        raise KernelError(f"activation: x has {sizes['I']} columns and dy {sizes['F']}, with {kind}")
    form = tuple(z.shape), z.dtype
    made: Tensor = buffers("activation", z.device, None if out is None else (out,), y=form)[0]
    call("activation_backward", [da, z, made], [sizes["M"], sizes["F"]], [ACTIVATIONS.index(kind)])
    return made
