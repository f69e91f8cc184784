"""Averages of parameters over training; see ``csrc/ops/average.cpp``."""

from __future__ import annotations

from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.native.call import call, refuse_device


def update(averages: Tensor, params: Tensor, share: Tensor) -> None:
    """``torch.lerp`` in place: averages (K, N) move to ``params`` (K, N) by ``share`` (K,) float64 of the way.

    They are those parameters, bit for bit, where it is 1. Raises KernelError for tensors of other shapes or that are
    not float32 on the host.
    """
    refuse_device("average", averages)
    models, size = averages.shape
    for name, tensor, form in (("params", params, (models, size)), ("share", share, (models,))):
        if tuple(tensor.shape) != form:
            raise KernelError(f"average: {name} is {tuple(tensor.shape)}; needed: {form}")
    call("average", [averages, params, share], [size])
