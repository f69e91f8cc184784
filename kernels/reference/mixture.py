"""A mixture of experts: who goes where, and the MLPs of those who do."""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.kernels.reference.layers import mlp
from isoflop.kernels.reference.vocabulary import logits
from isoflop.kernels.signatures import expert_capacity


def moe_route(
    x: Tensor, router: Tensor, *, top_k: int, renormalise: bool = False, capacity_factor: float | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gates (rows, experts) of the ``top_k`` likeliest experts, the load-balancing loss, choices dropped.

    p = softmax(x R^T) in float32 at least; a gate is p, over the sum of the chosen where ``renormalise``, and 0 beyond
    ``signatures.expert_capacity``, which earlier rows fill first. The loss is E sum(f mean(p)), f the shares of choices
    (Fedus, Zoph and Shazeer 2021, equation 4).
    """
    p = logits(x, router).softmax(-1)
    chosen = torch.zeros_like(p).scatter(-1, p.argsort(dim=-1, descending=True, stable=True)[:, :top_k], 1.0)
    gates = p * chosen
    if renormalise:
        gates = gates / gates.sum(-1, keepdim=True)
    capacity = expert_capacity(p.shape[0], p.shape[1], top_k, capacity_factor)
    kept = chosen if capacity is None else chosen * (chosen.cumsum(0) <= capacity)
    balance = p.shape[1] * (chosen.mean(0) / top_k * p.mean(0)).sum()
    return gates * kept, balance, (chosen - kept).sum().long()


def moe(
    x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor, *, kind: str, top_k: int, renormalise: bool = False,
    capacity_factor: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Experts' MLPs, weights (experts, ...), times the gates of ``moe_route``, added up; its loss and count.

    Experts that every row passes, ``n_shared_expert`` of a shape, have no gate (DeepSeekMoE, Dai et al. 2024, section
    3.2): their sum is one ``mlp`` of n_shared_expert d_expert hidden columns, to be added.
    """
    rows = x.flatten(0, -2)
    gates, balance, dropped = moe_route(
        rows, router, top_k=top_k, renormalise=renormalise, capacity_factor=capacity_factor
    )
    made = [mlp(rows, inner, None, outer, None, kind=kind) for inner, outer in zip(w_in, w_out, strict=True)]
    y = (torch.stack(made, -1) * gates[:, None]).sum(-1)
    return y.to(x.dtype).view_as(x), balance, dropped
