"""A mixture of experts of K models: router, experts' MLPs, gated sum. What does what:

    moe_routing    gates and choices of x (M, D) by the router (E, D); the load-balancing loss
    moe_slots      where chosen rows go, and which are dropped
    moe_products   z, a = act(z) and o of the rows in slots, by expert; y, the gated sum of a row's choices
    moe_shared     the MLPs of experts that every row passes, and their gradients
    moe_backward   gradients of x, router, gates, weights and biases

No size leaves the device: launches cover the most slots that any routing needs, and a dropped choice adds nothing to y.
z, a and o, (S, F or 2F), (S, F) and (S, D), stay in memory for the backward pass.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
from torch import Tensor

from isoflop.errors import KernelError, nearest
from isoflop.kernels import activation, moe_shared
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.moe_products import _moe_combine, _moe_hidden, _moe_rows
from isoflop.kernels.moe_routing import Routing, padded, route
from isoflop.kernels.signatures import check

SHARED = ("shared_in", "shared_out", "shared_b_in", "shared_b_out")


class Mixture(NamedTuple):
    """``y`` (K, M, D), the :class:`Routing` behind it, and what the backward pass reads, by slot.

    Attributes:
        hidden: (K, S, F), (K, S, 2F) where gated, before the activation.
        activated: (K, S, F).
        outputs: (K, S, D), before the gates.
        shared: of the experts that every row passes, None where there are none.
    """

    y: Tensor
    routing: Routing
    hidden: Tensor
    activated: Tensor
    outputs: Tensor
    shared: moe_shared.Shared | None


def forward(
    x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor, b_in: Tensor | None = None, b_out: Tensor | None = None,
    shared_in: Tensor | None = None, shared_out: Tensor | None = None, shared_b_in: Tensor | None = None,
    shared_b_out: Tensor | None = None, scale: Tensor | None = None, residual: Tensor | None = None, *, kind: str,
    top_k: int, renormalise: bool = False, capacity_factor: float | None = None, out: Mixture | None = None,
) -> Mixture:  # fmt: skip
    """Rows ``x`` (K, M, D) through ``top_k`` of E experts each, and through N ``shared`` ones, plus ``residual``.

    ``router`` is (K, E, D), w_in (K, E, F, D), (K, E, 2F, D) where ``kind``, one of ``activation.KINDS``, is gated,
    w_out (K, E, D, F), b_in and b_out (K, E, ...); those of the shared ones have N for E. ``scale`` (K,) float64
    multiplies the router's logits. Without ``capacity_factor`` no choice is dropped. ``out``, the results of an earlier
    call, is filled again. Raises KernelError, before any launch, for tensors that ``signatures.check`` refuses or that
    are on no GPU, for settings that are unknown, out of range or at odds with the tensors, and for an ``out`` of
    another form.
    """
    shared = shared_in, shared_out, shared_b_in, shared_b_out
    sizes = check(
        "moe", x=x, router=router, scale=scale, w_in=w_in, w_out=w_out, b_in=b_in, b_out=b_out, residual=residual,
        **dict(zip(SHARED, shared, strict=True)),
    )  # fmt: skip
    refuse(sizes, kind, shared_in, shared_out)
    routing = route(
        x, router, scale, top_k=top_k, renormalise=renormalise, capacity_factor=capacity_factor,
        out=None if out is None else out.routing,
    )  # fmt: skip
    admit("moe", "x", x)
    models, rows, width, deep, experts, inner = (sizes[axis] for axis in "KMDFEI")
    slots = routing.routes.shape[1]
    y, hidden, activated, outputs = buffers(
        "moe", x.device, None if out is None else (out.y, *out[2:5]), y=(tuple(x.shape), x.dtype),
        hidden=((models, slots, inner), x.dtype), activated=((models, slots, deep), x.dtype),
        outputs=((models, slots, width), x.dtype),
    )  # fmt: skip
    tile = configuration("moe", width=width, dtype=x.dtype, chip=chip_of(x.device))
    grid = slots // tile["rows"] * triton.cdiv(deep, tile["columns"]), models
    placed, form = (routing.starts, routing.sizes), {"EXPERTS": padded(experts)} | tile.constants | tile.launch
    _moe_hidden[grid](
        x, w_in, b_in, routing.routes, *placed, hidden, activated, rows, width, deep, experts, slots,
        TOP=top_k, KIND=kind, **form,
    )  # fmt: skip
    grid = slots // tile["rows"] * triton.cdiv(width, tile["columns"]), models
    _moe_rows[grid](activated, w_out, b_out, *placed, outputs, width, deep, experts, slots, BACK=False, **form)
    passed = None
    if shared_in is not None and shared_out is not None:
        passed = moe_shared.forward(
            x, shared_in, shared_out, shared_b_in, shared_b_out, residual, kind=kind,
            out=None if out is None else out.shared,
        )  # fmt: skip
    combine(outputs, routing.gates, routing.slots, (residual if passed is None else passed.y, None), y)
    return Mixture(y, routing, hidden, activated, outputs, passed)


def combine(
    by_slot: Tensor, gates: Tensor | None, slots: Tensor, onto: tuple[Tensor | None, Tensor | None], y: Tensor
) -> None:
    """``y`` (K, M, D) filled with sums over choices of ``by_slot`` (K, S, D), times gates, and both of ``onto``."""
    models, rows, width = y.shape
    tile = configuration("moe_combine", width=width, dtype=y.dtype, chip=chip_of(y.device))
    grid = triton.cdiv(rows, tile["rows"]) * triton.cdiv(width, tile["columns"]), models
    _moe_combine[grid](
        by_slot, gates, slots, *onto, y, rows, width, by_slot.shape[1], TOP=slots.shape[2],
        **tile.constants, **tile.launch,
    )  # fmt: skip


def flops(rows: int, width: int, deep: int, experts: int, choices: int, *, kind: str) -> tuple[int, int]:
    """Of the products of one model that keeps ``choices``, forward and backward."""
    products = rows * width * experts + choices * width * deep * (3 if kind in activation.GATED else 2)
    return 2 * products, 4 * products


def least_bytes(
    rows: int, width: int, deep: int, experts: int, choices: int, size: int, *, kind: str
) -> tuple[int, int]:  # fmt: skip
    """Bytes of data that one model's kernels read and write, each element once a direction, forward and backward.

    Routing, four bytes each of E probabilities and 4 J gates, experts, slots and rows a row of x, comes on top.
    """
    halves = 2 if kind in activation.GATED else 1
    weights, stream = experts * width * (1 + (1 + halves) * deep), rows * width
    forward = weights + 2 * stream + choices * ((halves + 2) * deep + 2 * width)
    by_slot = choices * ((3 * halves + 1) * deep + 3 * width)  # z, dz twice, a; o, and the gradient of x twice
    return size * forward, size * (2 * weights + 5 * stream + 2 * rows * experts + by_slot)


def refuse(sizes: dict[str, int], kind: str, shared_in: Tensor | None, shared_out: Tensor | None) -> None:
    """Raise KernelError for an unknown activation, weights of another width than it takes, half of a shared MLP."""
    if kind not in activation.KINDS:
        raise KernelError(f"there is no activation {kind!r}", hint=nearest(kind, activation.KINDS))
    halves = 2 if kind in activation.GATED else 1
    if sizes["I"] != halves * sizes["F"]:
        raise KernelError(
            f"moe: w_in has {sizes['I']} rows an expert; {kind} with d_ff {sizes['F']} takes {halves * sizes['F']}"
        )
    if (shared_in is None) != (shared_out is None):
        raise KernelError("moe: shared_in and shared_out are of the same experts: neither goes without the other")
