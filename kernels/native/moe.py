"""A mixture of experts, forward and backward; see ``csrc/ops/moe.cpp``."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.native import moe_routing
from isoflop.kernels.native.call import call, refuse_device
from isoflop.kernels.native.moe_routing import Routing, most_rows
from isoflop.kernels.signatures import ACTIVATIONS, activation_halves, check


class Mixture(NamedTuple):
    """``y`` (K, M, D), the routing behind it, ``outputs`` (K, M J, D) of experts by slot before their gates; room."""

    y: Tensor
    routing: Routing
    outputs: Tensor
    room: Tensor


class Gradients(NamedTuple):
    """Of what the mixture takes, None where it takes none, and of the gates, (K, M, J); the others are room."""

    dx: Tensor
    dw_in: Tensor
    db_in: Tensor | None
    dw_out: Tensor
    db_out: Tensor | None
    dshared_in: Tensor | None
    dshared_b_in: Tensor | None
    dshared_out: Tensor | None
    dshared_b_out: Tensor | None
    dgates: Tensor
    room: Tensor
    droom: Tensor
    by_slot: Tensor
    of_router: moe_routing.Gradients

    @property
    def drouter(self) -> Tensor:
        return self.of_router.drouter


def forward(
    x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor, b_in: Tensor | None = None, b_out: Tensor | None = None,
    shared_in: Tensor | None = None, shared_out: Tensor | None = None, shared_b_in: Tensor | None = None,
    shared_b_out: Tensor | None = None, scale: Tensor | None = None, residual: Tensor | None = None, *, kind: str,
    top_k: int, renormalise: bool = False, capacity_factor: float | None = None, out: Mixture | None = None,
) -> Mixture:  # fmt: skip
    """Rows ``x`` (K, M, D) through ``top_k`` of E experts each, and through N ``shared`` ones, plus ``residual``.

    ``router`` is (K, E, D), w_in (K, E, F, D), (K, E, 2F, D) where ``kind``, one of ``signatures.ACTIVATIONS``, is
    gated, w_out (K, E, D, F), b_in and b_out (K, E, ...); those of the shared ones have N for E. ``scale`` (K,) float64
    multiplies the router's logits. Without ``capacity_factor`` no choice is dropped. ``out``, the results of an earlier
    call, is filled again. Raises KernelError for tensors that ``signatures.check`` refuses or that are not float32 on
    the host, and for settings that are unknown, out of range or at odds with the tensors.
    """
    experts = {"w_in": w_in, "b_in": b_in, "w_out": w_out, "b_out": b_out}
    shared = {
        "shared_in": shared_in,
        "shared_b_in": shared_b_in,
        "shared_out": shared_out,
        "shared_b_out": shared_b_out,
    }
    sizes = check("moe", x=x, router=router, scale=scale, residual=residual, **experts, **shared)
    _refuse(sizes, kind, shared)
    refuse_device("moe", x)
    routing = moe_routing.route(
        x, router, scale, top_k=top_k, renormalise=renormalise, capacity_factor=capacity_factor,
        out=None if out is None else out.routing,
    )  # fmt: skip
    models, rows, width, deep, count = (sizes[axis] for axis in "KMDFE")
    most = rows if sizes.get("N") else most_rows(rows, count, top_k, capacity_factor)
    y, outputs, room = buffers(
        "moe", x.device, None if out is None else (out.y, *out[2:]), y=(tuple(x.shape), x.dtype),
        outputs=((models, rows * top_k, width), x.dtype), room=((models, most, width), x.dtype),
    )  # fmt: skip
    call(
        "moe", [x, *experts.values(), *shared.values(), residual, *_places(routing), outputs, room, y],
        [rows, width, deep, count, top_k, sizes.get("N", 0)], [ACTIVATIONS.index(kind)],
    )  # fmt: skip
    return Mixture(y, routing, outputs, room)


def backward(
    dy: Tensor, x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor, b_in: Tensor | None = None,
    b_out: Tensor | None = None, shared_in: Tensor | None = None, shared_out: Tensor | None = None,
    shared_b_in: Tensor | None = None, shared_b_out: Tensor | None = None, scale: Tensor | None = None,
    dbalance: Tensor | None = None, *, mixture: Mixture, kind: str, renormalise: bool = False,
    out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy`` (K, M, D), what :func:`forward` took and gave, and the gradient of its balance (K,).

    They fill ``out``, the gradients of an earlier call, where given; the residual's is ``dy``. Raises KernelError as
    the forward does.
    """
    experts = {"w_in": w_in, "b_in": b_in, "w_out": w_out, "b_out": b_out}
    shared = {
        "shared_in": shared_in,
        "shared_b_in": shared_b_in,
        "shared_out": shared_out,
        "shared_b_out": shared_b_out,
    }
    routing = mixture.routing
    sizes = check(
        "moe_backward", dy=dy, x=x, router=router, scale=scale, gates=routing.gates, dbalance=dbalance,
        **experts, **shared,
    )  # fmt: skip
    _refuse(sizes, kind, shared)
    refuse_device("moe", dy)
    leaves = {"x": x, **experts, **shared}
    rows, width, deep, count, top_k = (sizes[axis] for axis in "MDFEJ")
    own = buffers(
        "moe_backward", x.device, None if out is None else out[:-1],
        **{f"d{name}": None if each is None else (tuple(each.shape), each.dtype) for name, each in leaves.items()},
        dgates=(tuple(routing.gates.shape), x.dtype), room=(tuple(mixture.room.shape), x.dtype),
        droom=(tuple(mixture.room.shape), x.dtype), by_slot=(tuple(mixture.outputs.shape), x.dtype),
    )  # fmt: skip
    call(
        "moe_backward", [dy, x, *experts.values(), *shared.values(), *_places(routing), mixture.outputs, *own],
        [rows, width, deep, count, top_k, sizes.get("N", 0)], [ACTIVATIONS.index(kind)],
    )  # fmt: skip
    dx, dgates = own[0], own[9]
    of_router = moe_routing.add_gradients(
        dx, dgates, x, router, scale, routing, dbalance, renormalise=renormalise,
        out=None if out is None else out.of_router,
    )  # fmt: skip
    return Gradients(*(*own, of_router))


def _places(routing: Routing) -> tuple[Tensor, ...]:
    return routing.gates, routing.slots, routing.routes, routing.starts


def _refuse(sizes: dict[str, int], kind: str, shared: dict[str, Tensor | None]) -> None:
    """Raise KernelError for an unknown activation, weights of another width than it takes, half of a shared MLP."""
    wide = activation_halves(kind) * sizes["F"]
    if sizes["I"] != wide:
        raise KernelError(f"moe: w_in has {sizes['I']} rows an expert; {kind} with d_ff {sizes['F']} takes {wide}")
    if (shared["shared_in"] is None) != (shared["shared_out"] is None):
        raise KernelError("moe: shared_in and shared_out are of the same experts: neither goes without the other")
