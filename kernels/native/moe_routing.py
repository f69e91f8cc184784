"""Which experts the rows of a mixture go to, forward and backward; see ``csrc/ops/moe_route.cpp``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoflop.kernels.buffers import buffers
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.signatures import check, expert_capacity


class Routing(NamedTuple):
    """Where the rows of K models go: those of an expert side by side, in *slots*, expert after expert.

    Attributes:
        gates: (K, M, J), the largest probability first; a dropped choice keeps its gate here.
        chosen: (K, M, J) int32, the experts.
        slots: (K, M, J) int32, -1 where dropped.
        routes: (K, M J) int32, J row + choice of each slot in use; the others hold anything.
        probabilities: (K, M, E).
        totals: (K, E) int32, choices, dropped ones too.
        starts: (K, E + 1) int32, the first slot of each expert, and the end of the last one's.
        balance: (K,), the load-balancing loss before its coefficient.
        dropped: (K,) int64, choices beyond the capacity.
    """

    gates: Tensor
    chosen: Tensor
    slots: Tensor
    routes: Tensor
    probabilities: Tensor
    totals: Tensor
    starts: Tensor
    balance: Tensor
    dropped: Tensor


class Gradients(NamedTuple):
    """Of the router, and room."""

    drouter: Tensor
    dlogits: Tensor


def route(
    x: Tensor, router: Tensor, scale: Tensor | None = None, *, top_k: int, renormalise: bool = False,
    capacity_factor: float | None = None, out: Routing | None = None,
) -> Routing:  # fmt: skip
    """The ``top_k`` experts of each row of ``x`` (K, M, D) by ``router`` (K, E, D), and their slots.

    Logits are multiplied by ``scale`` (K,) float64. An expert takes ``signatures.expert_capacity`` rows, the earliest,
    or any number where the factor is None. ``out``, the results of an earlier call, is filled again. Raises KernelError
    for tensors that ``signatures.check`` refuses or that are not float32 on the host, and settings out of range.
    """
    sizes = check("moe_route", x=x, router=router, scale=scale)
    refuse_device("moe_route", x)
    models, rows, width, experts = (sizes[axis] for axis in "KMDE")
    of_choice, whole, real = (models, rows, top_k), torch.int32, torch.float32
    most = most_rows(rows, experts, top_k, capacity_factor)
    made = Routing(*buffers(
        "moe_route", x.device, out, gates=(of_choice, real), chosen=(of_choice, whole), slots=(of_choice, whole),
        routes=((models, rows * top_k), whole), probabilities=((models, rows, experts), real),
        totals=((models, experts), whole), starts=((models, experts + 1), whole), balance=((models,), real),
        dropped=((models,), torch.int64),
    ))  # fmt: skip
    call(
        "moe_route",
        [
            x, router, scale, made.probabilities, made.chosen, made.gates, made.slots, made.routes, made.totals,
            made.starts, made.balance, made.dropped,
        ],
        [rows, width, experts, top_k, most], [renormalise],
    )  # fmt: skip
    return made


def most_rows(rows: int, experts: int, top_k: int, capacity_factor: float | None) -> int:
    """Of so many rows that one expert takes. Raises KernelError as ``signatures.expert_capacity`` does."""
    capacity = expert_capacity(rows, experts, top_k, capacity_factor)
    return rows if capacity is None else min(rows, capacity)


def add_gradients(
    dx: Tensor, dgates: Tensor, x: Tensor, router: Tensor, scale: Tensor | None, routing: Routing,
    dbalance: Tensor | None, *, renormalise: bool, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """The router's gradient, and what comes to ``x`` by it added to ``dx``.

    From those of the gates, (K, M, J), and of the balance, (K,), of :func:`route`.
    """
    models, rows, width = x.shape
    experts, top_k = router.shape[1], dgates.shape[2]
    made = Gradients(*buffers(
        "moe_backward", x.device, out, drouter=(tuple(router.shape), x.dtype),
        dlogits=((models, rows, experts), x.dtype),
    ))  # fmt: skip
    call(
        "moe_route_backward",
        [
            x, router, scale, routing.probabilities, routing.chosen, routing.gates, routing.totals, dgates, dbalance,
            made.dlogits, dx, made.drouter,
        ],
        [rows, width, experts, top_k], [renormalise],
    )  # fmt: skip
    return made
