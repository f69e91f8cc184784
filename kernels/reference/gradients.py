"""Gradients of micro-batches, added up, and the noise in them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isoflop.errors import KernelError


def accumulate(sums: Sequence[Tensor], grads: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    """The gradients of one more micro-batch added to ``sums``, and their squared norm."""
    square = torch.stack([grad.square().sum() for grad in grads]).sum()
    return [total + grad for total, grad in zip(sums, grads, strict=True)], square


def noise_scale(
    small: Tensor, big: Tensor, *, micro_batch: float, batch: float
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """(|G|^2, tr(Sigma), B_simple) from E|g|^2 of batches of two sizes (McCandlish et al. 2018, appendix A.1).

    |G|^2 = (B big - b small)/(B - b),  tr(Sigma) = (small - big)/(1/b - 1/B),  B_simple = tr(Sigma)/|G|^2

    The first two have no bias and may be negative at a single step: average each over steps, then divide. ``b`` and
    ``B``, in tokens or sequences, are the unit of Sigma and of B_simple. Raises KernelError unless 0 < b < B.
    """
    if not 0 < micro_batch < batch:
        raise KernelError(f"noise_scale: needs 0 < micro_batch < batch, not {micro_batch} and {batch}")
    signal = (batch * big - micro_batch * small) / (batch - micro_batch)
    trace = (small - big) / (1 / micro_batch - 1 / batch)
    return signal, trace, trace / signal
