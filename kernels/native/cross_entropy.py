"""Cross-entropy of logits of which a few rows at a time are in memory; see ``csrc/ops/cross_entropy.cpp``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, constant, packed_bytes, refuse_device
from isoflop.kernels.signatures import IGNORED, check, refuse_labels


class Loss(NamedTuple):
    """``mean`` and ``total``, the sum of the weights of the positions not ignored, (K,); ``losses`` and ``lse``, the
    log-sum-exp of the logits, (K, M); ``hits`` (K, M) bool, whether the label is the argmax; ``dx`` (K, M, D) and
    ``dweight`` (K, V, D), the gradients of the mean; ``entropy`` (K,), the mean without a z-loss.
    """

    mean: Tensor
    total: Tensor
    losses: Tensor
    lse: Tensor
    hits: Tensor | None
    dx: Tensor | None
    dweight: Tensor | None
    entropy: Tensor


def forward(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None = None, *, share: Tensor | None = None,
    z_loss: float | Tensor = 0.0, ignore_index: int = IGNORED, hits: bool = False, gradient: bool = False,
    check_labels: bool = False, out: Loss | None = None,
) -> Loss:  # fmt: skip
    """Losses in nats of ``targets`` (K, M) int64 by the logits of x (K, M, D) and weight (K, V, D).

    Args:
        weights: (K, M) float32, of the positions in the mean; 1 where None.
        share: (K,) float32, what the sum of the losses is multiplied by to give ``mean``: one over the weights of a
            whole batch of which these rows are a part. One over ``total`` where None.
        z_loss: zeta, the weight of the square of the log-sum-exp in the loss of a position; a number, or (K,) float64.
        ignore_index: the label of positions that have no loss and no part in the mean.
        hits, gradient: whether to find argmax hits; whether to give the gradients of the mean from the same pass.
        check_labels: refuse labels out of range; else the loss of such a position is NaN, and so is the mean.
        out: what an earlier call of these sizes gave, to be written again.

    Raises KernelError for tensors that ``signatures.check`` refuses or that are not float32 on the host, and for
    ``share``, ``z_loss`` or ``out`` of other sizes.
    """
    sizes = check("linear_cross_entropy", x=x, weight=weight, targets=targets, weights=weights)
    refuse_device("linear_cross_entropy", x)
    zeta = z_loss if isinstance(z_loss, Tensor) else _of_all(z_loss, sizes["K"])
    for name, given, dtype in (("share", share, torch.float32), ("z_loss", zeta, torch.float64)):
        if given is not None and (tuple(given.shape), given.dtype) != ((sizes["K"],), dtype):
            told, needed = (str(each).removeprefix("torch.") for each in (given.dtype, dtype))
            raise KernelError(
                f"linear_cross_entropy: {name} is {tuple(given.shape)} {told}; needed: ({sizes['K']},) {needed}"
            )
    if check_labels:
        refuse_labels(targets, sizes["V"], ignore_index)
    model, row = ((sizes["K"],), torch.float32), ((sizes["K"], sizes["M"]), torch.float32)
    made = Loss(*buffers(
        "linear_cross_entropy", x.device, out, mean=model, total=model, losses=row, lse=row,
        hits=(row[0], torch.bool) if hits else None, dx=(tuple(x.shape), x.dtype) if gradient else None,
        dweight=(tuple(weight.shape), x.dtype) if gradient else None, entropy=model,
    ))  # fmt: skip
    width, vocabulary = sizes["D"], sizes["V"]
    call(
        "linear_cross_entropy", [x, weight, targets, weights, share, *made, zeta], [sizes["M"], vocabulary, width],
        [ignore_index], kept=packed_bytes(width, vocabulary) + gradient * packed_bytes(vocabulary, width),
    )  # fmt: skip
    return made


def _of_all(value: float, models: int) -> Tensor | None:
    """A number as the same one of all models; None where it is nought, as an op has it that is not told."""
    return constant(torch.full((models,), value, dtype=torch.float64)) if value else None
