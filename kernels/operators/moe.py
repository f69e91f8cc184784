"""``isoflop::moe``: a router, its experts' MLPs and the gated sum of a row's choices.

The operator gives nothing by slot: what lies in slots without a row is undefined, and how many there are depends on the
tile. The backward pass runs the forward pass again, so that x and the weights are all that is kept between them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.kernels import moe as launcher
from isoflop.kernels import moe_backward
from isoflop.kernels.operators.boundary import Operator
from isoflop.kernels.signatures import expert_capacity


def _moe(
    x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor,
    kind: str, top_k: int, renormalise: bool, capacity_factor: float | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    made = launcher.forward(
        x, router, w_in, w_out, kind=kind, top_k=top_k, renormalise=renormalise, capacity_factor=capacity_factor
    )
    return made.y, made.routing.balance, made.routing.dropped.long()


def _moe_backward(
    dy: Tensor, dbalance: Tensor, x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor,
    kind: str, top_k: int, renormalise: bool, capacity_factor: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    mixture = launcher.forward(
        x, router, w_in, w_out, kind=kind, top_k=top_k, renormalise=renormalise, capacity_factor=capacity_factor
    )
    made = moe_backward.backward(
        dy, x, router, w_in, w_out, dbalance=dbalance, mixture=mixture, kind=kind, renormalise=renormalise
    )  # fmt: skip
    return made.dx, made.drouter, made.dw_in, made.dw_out


def _fake(x: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    models = x.shape[0]
    return torch.empty_like(x), x.new_empty(models, dtype=torch.float32), x.new_empty(models, dtype=torch.int64)


def _flops(
    x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor,
    kind: str, top_k: int, renormalise: bool, capacity_factor: float | None,
) -> tuple[int, int]:  # fmt: skip
    return _products(x, router, w_out, kind, top_k, capacity_factor)[0], 0


def _flops_backward(
    dy: Tensor, dbalance: Tensor, x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor,
    kind: str, top_k: int, renormalise: bool, capacity_factor: float | None,
) -> tuple[int, int]:  # fmt: skip
    return _products(x, router, w_out, kind, top_k, capacity_factor)[1], 0


def _products(
    x: Tensor, router: Tensor, w_out: Tensor, kind: str, top_k: int, capacity_factor: float | None
) -> tuple[int, int]:  # fmt: skip
    """FLOPs of as many choices as the experts have room for; how many of them a router drops, no shape tells."""
    models, rows, width = x.shape
    experts, deep = router.shape[1], w_out.shape[-1]
    room = expert_capacity(rows, experts, top_k, capacity_factor)
    choices = rows * top_k if room is None else min(rows * top_k, experts * room)
    forward, backward = launcher.flops(rows, width, deep, experts, choices, kind=kind)
    return models * forward, models * backward


_MOE = Operator(
    "moe", _moe, _moe_backward, fake=_fake, results=("y", "balance", "dropped"),
    gradients={each: each for each in ("x", "router", "w_in", "w_out")}, costs=(_flops, _flops_backward),
)  # fmt: skip


def moe(
    x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor, *, kind: str, top_k: int, renormalise: bool = False,
    capacity_factor: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Rows x (K, M, D) through ``top_k`` of E experts each; shapes as in ``moe.forward``.

    Returns y (K, M, D), the load-balancing loss (K,), float32, before its coefficient, both differentiable, and the
    choices dropped (K,), int64. Experts that every row passes are an ``mlp``, added to y. Raises
    KernelError as :func:`isoflop.kernels.moe.forward` does.
    """
    y, balance, dropped = _MOE(x, router, w_in, w_out, kind, top_k, renormalise, capacity_factor)
    return y, balance, dropped
