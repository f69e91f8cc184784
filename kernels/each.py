"""A number that all K models of a launch share, or that each has of its own."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError

OneOrEach = tuple[float, Tensor | None]
"""As kernels take it: the number of all, and (K,) float64 that stands in its place, or None."""


@triton.jit
def of_model(value, VALUES, model):
    """``value``, or what VALUES (K,) float64, which may be None, has for the model."""
    if VALUES is not None:
        value = tl.load(VALUES + model).to(tl.float32)
    return value


def one_or_each(name: str, given: float | Tensor, x: Tensor) -> OneOrEach:
    """``given``, one number or (K,) float64 on the device of ``x`` (K, ...); KernelError for another tensor."""
    if not isinstance(given, Tensor):
        return float(given), None
    form = f"{tuple(given.shape)} {str(given.dtype).removeprefix('torch.')} on {given.device}"
    if given.dtype != torch.float64 or given.shape != x.shape[:1] or given.device != x.device:
        raise KernelError(f"{name} is {form}; needed: one number, or ({len(x)},) float64 on {x.device}")
    if not given.is_contiguous():
        raise KernelError(f"{name} has gaps in memory", hint="one row of a (names, K) tensor has none")
    return 0.0, given
