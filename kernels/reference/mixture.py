"""A mixture of experts: who goes where, and the MLPs of those who do."""

from __future__ import annotations

import torch
from torch import Tensor

from isoflop.kernels.reference.layers import mlp
from isoflop.kernels.reference.vocabulary import logits
from isoflop.kernels.signatures import expert_capacity


def moe_route(
    x: Tensor, router: Tensor, scale: Tensor | float | None = None, *, top_k: int, renormalise: bool = False,
    capacity_factor: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gates (rows, experts) of the ``top_k`` likeliest experts, the load-balancing loss, choices dropped.

    p = softmax(scale x R^T) in float32 at least; a gate is p, over the sum of the chosen where ``renormalise``, and 0
    beyond ``signatures.expert_capacity``, which earlier rows fill first. The loss is E sum(f mean(p)), f the shares of
    choices (Fedus, Zoph and Shazeer 2021, equation 4).
    """
    of_rows = logits(x, router)
    p = (of_rows if scale is None else of_rows * torch.as_tensor(scale, dtype=of_rows.dtype)).softmax(-1)
    chosen = torch.zeros_like(p).scatter(-1, p.argsort(dim=-1, descending=True, stable=True)[:, :top_k], 1.0)
    gates = p * chosen
    if renormalise:
        gates = gates / gates.sum(-1, keepdim=True)
    capacity = expert_capacity(p.shape[0], p.shape[1], top_k, capacity_factor)
    kept = chosen if capacity is None else chosen * (chosen.cumsum(0) <= capacity)
    balance = p.shape[1] * (chosen.mean(0) / top_k * p.mean(0)).sum()
    return gates * kept, balance, (chosen - kept).sum().long()


def moe(
    x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor, b_in: Tensor | None = None, b_out: Tensor | None = None,
    shared_in: Tensor | None = None, shared_out: Tensor | None = None, shared_b_in: Tensor | None = None,
    shared_b_out: Tensor | None = None, scale: Tensor | float | None = None, residual: Tensor | None = None, *,
    kind: str, top_k: int, renormalise: bool = False, capacity_factor: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Experts' MLPs, weights (experts, ...), times the gates of ``moe_route``, added up; its loss and count.

    The experts ``shared``, which every row passes, have no gate (DeepSeekMoE, Dai et al. 2024, section 3.2); ``y`` is
    added to the ``residual``. Without biases the shared ones are one ``mlp`` of their hidden columns side by side.
    """
    rows = x.flatten(0, -2)
    gates, balance, dropped = moe_route(
        rows, router, scale, top_k=top_k, renormalise=renormalise, capacity_factor=capacity_factor
    )
    made = torch.stack(_experts(rows, w_in, w_out, b_in, b_out, kind), -1)
    y = (made * gates[:, None]).sum(-1)
    if shared_in is not None and shared_out is not None:
        y = y + sum(_experts(rows, shared_in, shared_out, shared_b_in, shared_b_out, kind))
    y = y.to(x.dtype).view_as(x)
    return y if residual is None else y + residual, balance, dropped


def _experts(
    x: Tensor, w_in: Tensor, w_out: Tensor, b_in: Tensor | None, b_out: Tensor | None, kind: str
) -> list[Tensor]:
    """The MLP of each."""
    biases = [[None] * len(w_in) if each is None else list(each) for each in (b_in, b_out)]
    return [
        mlp(x, inner, inner_bias, outer, outer_bias, kind=kind)
        for inner, inner_bias, outer, outer_bias in zip(w_in, biases[0], w_out, biases[1], strict=True)
    ]
