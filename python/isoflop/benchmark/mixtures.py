"""Mixtures of experts: routing alone, and all of a mixture, of rows that no rounding sends to other experts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from isoflop.benchmark.case import Case, Work, both
from isoflop.benchmark.sizes import Size, Tensors
from isoflop.kernels import moe, moe_backward, moe_routing, reference
from isoflop.kernels.signatures import OPS

TOP_K = 2
APART = 0.25
"""Between two logits of a row, at least: above what rounding them in bfloat16 moves them by."""

_ROUTE: dict[str, Any] = {"top_k": TOP_K, "renormalise": True, "capacity_factor": 1.0}  # some choices are dropped
_MOE: dict[str, Any] = {"kind": "gelu", "top_k": TOP_K}


def experts(size: Size) -> int:
    """Eight, fewer where rows are too narrow to lie apart from each."""
    return min(8, size.width // 2)


def _apart(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    """The rows moved by what adds to each logit ``APART`` times its rank: their order stays, as do gates' spread."""
    x, router = tensors["x"].double(), tensors["router"].double()
    ranks = (x @ router.mT).argsort(-1).argsort(-1).double()
    return tensors | {"x": (x + APART * ranks @ torch.linalg.pinv(router).mT).to(dtype)}


def _routed(made: moe_routing.Routing) -> tuple[Tensor, ...]:
    kept = torch.where(made.slots >= 0, made.gates, 0.0)
    gates = torch.zeros_like(made.probabilities).scatter(-1, made.chosen.long(), kept)
    return gates, made.balance, made.dropped.to(gates.dtype)


def _defined_route(*tensors: Tensor, **settings: Any) -> tuple[Tensor, ...]:
    gates, balance, dropped = reference.moe_route(*tensors, **settings)
    return gates, balance, dropped.to(gates.dtype)


def _route_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    at = size.rows, size.width, experts(size)
    return both((moe_routing.flops(*at),), (moe_routing.least_bytes(*at, TOP_K, itemsize),), size.models)


def _moe_work(size: Size, itemsize: int) -> tuple[Work, ...]:
    at = size.rows, size.width, size.axes["F"], experts(size), TOP_K * size.rows
    return both(moe.flops(*at, kind="gelu"), moe.least_bytes(*at, itemsize, kind="gelu"), size.models)


_IN_MOE = ("x", "router", "w_in", "w_out")
_WITHOUT = tuple(each.name for each in OPS["moe"].arguments if each.optional)


def _moe_backward(tensors: Tensors, made: Any, grads: tuple[Tensor, ...], out: Any) -> Any:
    x, router, w_in, w_out = (tensors[name] for name in _IN_MOE)
    return moe_backward.backward(
        grads[0], x, router, w_in, w_out, dbalance=grads[1], mixture=made, kind=_MOE["kind"], out=out
    )


MIXTURES: tuple[Case, ...] = (
    Case(
        "moe_route",
        lambda t, out: moe_routing.route(t["x"], t["router"], **_ROUTE, out=out),
        _routed,
        _route_work,
        settings=lambda size: _ROUTE,
        axes=lambda size: {"E": experts(size)},
        without=("scale",),
        definition=_defined_route,
        drawn=_apart,
    ),
    Case(
        "moe",
        lambda t, out: moe.forward(*(t[name] for name in _IN_MOE), **_MOE, out=out),
        lambda made: (made.y, made.routing.balance),
        _moe_work,
        _moe_backward,
        _IN_MOE,
        settings=lambda size: _MOE,
        axes=lambda size: {"E": experts(size), "I": size.axes["F"]},
        without=_WITHOUT,
        definition=lambda *tensors, **settings: reference.moe(*tensors, **settings)[:2],
        drawn=_apart,
    ),
)
