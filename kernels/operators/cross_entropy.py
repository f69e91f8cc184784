"""``isoflop::linear_cross_entropy``: the loss of the logits x W^T, which are never in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.errors import KernelError, nearest
from isoflop.kernels import cross_entropy, cross_entropy_backward
from isoflop.kernels.operators.boundary import Operator, Results, absent, present
from isoflop.kernels.signatures import IGNORED, refuse_labels

REDUCTIONS = ("mean", "none")


def _forward(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None,
    reduction: str, z_loss: float, ignore_index: int, gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    made = cross_entropy.forward(
        x, weight, targets, weights, z_loss=z_loss, ignore_index=ignore_index, gradient=gradient
    )
    loss = made.mean if reduction == "mean" else made.losses
    return loss, made.total, made.lse, absent(x) if made.dx is None else made.dx


def _backward(
    dloss: Tensor, x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None, total: Tensor, lse: Tensor,
    dx: Tensor, reduction: str, z_loss: float, ignore_index: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    given = present(dx)
    made = cross_entropy_backward.backward(
        x, weight, targets, lse, total, weights,
        dmean=dloss if reduction == "mean" else None, dlosses=None if reduction == "mean" else dloss,
        z_loss=z_loss, ignore_index=ignore_index, want_dx=given is None,
    )  # fmt: skip
    scaled = made.dx if given is None else (dloss[:, None, None] * given).to(x.dtype)
    assert scaled is not None
    return scaled, made.dweight


def _fake(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None,
    reduction: str, z_loss: float, ignore_index: int, gradient: bool,
) -> Results:  # fmt: skip
    lse = x.new_empty(x.shape[:2], dtype=torch.float32)
    total = lse.new_empty(x.shape[0])
    loss = torch.empty_like(total if reduction == "mean" else lse)
    return loss, total, lse, torch.empty_like(x) if gradient else absent(x)


def _flops(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None,
    reduction: str, z_loss: float, ignore_index: int, gradient: bool,
) -> tuple[int, int]:  # fmt: skip
    models, rows, width = x.shape
    vocabulary = weight.shape[1]
    products = models * cross_entropy.flops(rows, vocabulary, width, gradient=gradient)
    return products, 6 * models * rows * vocabulary


def _flops_backward(
    dloss: Tensor, x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None, total: Tensor, lse: Tensor,
    dx: Tensor, reduction: str, z_loss: float, ignore_index: int,
) -> tuple[int, int]:  # fmt: skip
    models, rows, width = x.shape
    both = models * cross_entropy_backward.flops(rows, weight.shape[1], width)
    return both if present(dx) is None else both // 2, 0


_LINEAR_CROSS_ENTROPY = Operator(
    "linear_cross_entropy", _forward, _backward, fake=_fake, results=("loss", "total", "lse", "dx"),
    gradients={"x": "x", "weight": "weight"}, costs=(_flops, _flops_backward),
)  # fmt: skip


def linear_cross_entropy(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None = None, *,
    reduction: str = "mean", z_loss: float = 0.0, ignore_index: int = IGNORED, check_labels: bool = False,
) -> Tensor:  # fmt: skip
    """Cross-entropy in nats, differentiable by x (K, M, D) and weight (K, V, D): the means (K,), or (K, M) losses.

    ``targets`` (K, M) int64, ``weights`` (K, M) float32, by which there is no gradient; ``reduction`` "mean" or "none".
    The loss of a label out of range is NaN, or with ``check_labels``, which waits for the device, an error that names
    it. Raises KernelError as :func:`isoflop.kernels.cross_entropy.forward` does.
    """
    if reduction not in REDUCTIONS:
        raise KernelError(f"there is no reduction {reduction!r}", hint=nearest(reduction, REDUCTIONS))
    if check_labels:
        refuse_labels(targets, weight.shape[1], ignore_index)
    wanted = torch.is_grad_enabled() and x.requires_grad and reduction == "mean"
    gradient = wanted and _one_pass(x, weight)
    return _LINEAR_CROSS_ENTROPY(x, weight, targets, weights, reduction, z_loss, ignore_index, gradient)[0]


def _one_pass(x: Tensor, weight: Tensor) -> bool:
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return bool(_gives_gradient(weight.shape[1], x.shape[-1], dtype, x.device))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _gives_gradient(vocabulary: int, width: int, dtype: torch.dtype, device: torch.device) -> bool:
    one = torch.empty(1, 1, 1, dtype=dtype, device=device)
    return cross_entropy.gives_gradient(one.expand(1, 1, width), one.expand(1, vocabulary, width))
