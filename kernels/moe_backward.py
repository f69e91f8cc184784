"""Gradients of a mixture of experts of K models: of x, router, experts, gates.

    dgate[m, j] = dy[m] o[slot],   da[s] = gate dy[row of s] W_out,   dz = act'(z) da,   dslot = dz W_in
    dW_out[e] = sum over the slots of e of (gate dy)^T a,   dW_in[e] = sum of dz^T x
    dp = dgate                 or (dgate - sum over j of gate dgate) / (sum of the chosen p) with renormalised gates
    dp += dbalance E total_e / (M M J),   dlogits = p (dp - sum of p dp)
    dx[m] = sum over j of dslot + dlogits R,   dR = dlogits^T x

A dropped choice has neither row nor gradient. FLOPs of R choices kept: 8 R D F, 12 R D F gated, and 4 M D E of the
router. Bytes: see ``moe.least_bytes``. The sums of a weight's gradient run over the slots of one expert, in order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import linear_backward
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.moe import Mixture, combine, refuse
from isoflop.kernels.moe_products import _moe_hidden_bwd, _moe_rows, _moe_weight
from isoflop.kernels.moe_routing import padded, route_tile
from isoflop.kernels.signatures import check


@triton.jit
def _moe_route_bwd(
    DY, OUT, SLOTS, CHOSEN, GATES, P, TOTAL, DBALANCE, DGATES, DLOGITS, M, D, E, S,
    TOP: tl.constexpr, LANES: tl.constexpr, RENORMALISE: tl.constexpr, EXPERTS: tl.constexpr,
    ROWS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS), K): DGATES (K, M, TOP) and DLOGITS (K, M, E) from DY (K, M, D) and OUT (K, S, D).

    DBALANCE (K,) or None.
    """
    model, row = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * ROWS
    rows, experts, depth = tl.arange(0, ROWS)[:, None], tl.arange(0, EXPERTS)[None, :], tl.arange(0, DEPTH)[None, :]
    lanes, live, inside = tl.arange(0, LANES)[None, :], row + rows < M, experts < E
    routes = (model * M + row) * TOP + rows * TOP
    dgates = tl.zeros((ROWS, LANES), tl.float32)
    for d in range(0, D, DEPTH):
        wide = d + depth < D
        dy = tl.load(DY + (model * M + row + rows) * D + d + depth, mask=live & wide, other=0.0).to(tl.float32)
        for j in tl.static_range(TOP):
            slot = tl.load(SLOTS + routes + j, mask=live, other=-1)
            o = tl.load(OUT + (model * S + slot) * D + d + depth, mask=(slot >= 0) & wide, other=0.0).to(tl.float32)
            dgates += tl.where(lanes == j, tl.sum(dy * o, 1)[:, None], 0.0)
    tl.store(DGATES + routes + lanes, dgates, mask=live & (lanes < TOP))
    p = tl.load(P + (model * M + row + rows) * E + experts, mask=live & inside, other=0.0)
    picked = tl.zeros((ROWS, EXPERTS), tl.int32)
    dp = tl.zeros((ROWS, EXPERTS), tl.float32)
    for j in tl.static_range(TOP):
        here = experts == tl.load(CHOSEN + routes + j, mask=live, other=-1)
        picked = tl.where(here, 1, picked)
        dp = tl.where(here, tl.sum(tl.where(lanes == j, dgates, 0.0), 1)[:, None], dp)
    if RENORMALISE:
        gates = tl.load(GATES + routes + lanes, mask=live & (lanes < TOP), other=0.0)
        mass = tl.where(live, tl.sum(tl.where(picked > 0, p, 0.0), 1)[:, None], 1.0)
        along = tl.sum(dgates * gates, 1)[:, None]
        dp = tl.where(picked > 0, (dp - along) / mass, 0.0)
    if DBALANCE is not None:
        total = tl.load(TOTAL + model * E + experts, mask=inside, other=0).to(tl.float32)
        dp += tl.load(DBALANCE + model) * total * (E / (M * 1.0 * M * TOP))
    dlogits = p * (dp - tl.sum(p * dp, 1)[:, None])
    at = (model * M + row + rows) * E + experts
    tl.store(DLOGITS + at, dlogits.to(DLOGITS.dtype.element_ty), mask=live & inside)


class Gradients(NamedTuple):
    """Of x, router, w_in, w_out and gates; the others are room for the next call, ``drouter`` in one of them."""

    dx: Tensor
    drouter: Tensor
    dw_in: Tensor
    dw_out: Tensor
    dgates: Tensor
    dlogits: Tensor
    by_router: linear_backward.Gradients
    dhidden: Tensor
    dslots: Tensor


def backward(
    dy: Tensor, x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor, mixture: Mixture,
    dbalance: Tensor | None = None, *, kind: str, renormalise: bool = False, out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy`` (K, M, D), the arguments and results of ``moe.forward``, and that of its balance (K,).

    ``out``, the gradients of an earlier call, is filled again. Raises KernelError as ``moe.forward`` does.
    """
    routing, hidden, activated, outputs = mixture[1:]
    sizes = check(
        "moe_backward", dy=dy, x=x, router=router, w_in=w_in, w_out=w_out, gates=routing.gates, dbalance=dbalance
    )
    refuse(sizes, kind)
    admit("moe_backward", "dy", dy)
    models, rows, width, deep, experts, top_k = (sizes[axis] for axis in "KMDFEJ")
    slots = outputs.shape[1]
    dx, dw_in, dw_out, dgates, dlogits, dhidden, dslots = buffers(
        "moe", x.device, None if out is None else (out.dx, *out[2:6], *out[7:]),
        **{name: (tuple(each.shape), each.dtype) for name, each in (("dx", x), ("dw_in", w_in), ("dw_out", w_out))},
        dgates=(tuple(routing.gates.shape), torch.float32), dlogits=((models, rows, experts), x.dtype),
        dhidden=(tuple(hidden.shape), x.dtype), dslots=(tuple(outputs.shape), x.dtype),
    )  # fmt: skip
    tile, top, form = route_tile(x, experts), {"TOP": top_k}, {"EXPERTS": padded(experts)}
    _moe_route_bwd[(triton.cdiv(rows, tile["rows"]), models)](
        dy, outputs, routing.slots, routing.chosen, routing.gates, routing.probabilities, routing.totals, dbalance,
        dgates, dlogits, rows, width, experts, slots, LANES=int(triton.next_power_of_2(top_k)),
        RENORMALISE=renormalise, **top, **form, **tile.constants, **tile.launch,
    )  # fmt: skip
    by_router = linear_backward.backward(dlogits, x, router, has_bias=False, out=None if out is None else out.by_router)
    tile = configuration("moe", width=width, dtype=x.dtype, chip=chip_of(x.device))
    form |= tile.constants | tile.launch
    placed, blocks = (routing.starts, routing.sizes), slots // tile["rows"]
    _moe_hidden_bwd[(blocks * triton.cdiv(deep, tile["columns"]), models)](
        dy, w_out, routing.routes, routing.gates, *placed, hidden, dhidden, rows, width, deep, experts, slots,
        KIND=kind, **top, **form,
    )  # fmt: skip
    _moe_rows[(blocks * triton.cdiv(width, tile["columns"]), models)](
        dhidden, w_in, *placed, dslots, width, sizes["I"], experts, slots, BACK=True, **form
    )
    combine(dslots, None, routing.slots, by_router.dx, dx)
    for left, right, dweight, gathered in ((dhidden, x, dw_in, False), (dy, activated, dw_out, True)):
        down, across = dweight.shape[2:]
        tile = configuration("moe_weight", width=max(down, across), dtype=x.dtype, chip=chip_of(x.device))
        grid = triton.cdiv(down, tile["rows"]) * triton.cdiv(across, tile["columns"]), experts, models
        _moe_weight[grid](
            left, right, routing.routes, routing.gates, *placed, dweight, rows, down, across, experts, slots,
            LEFT=gathered, **top, **tile.constants, **tile.launch,
        )  # fmt: skip
    return Gradients(dx, by_router.dweight, dw_in, dw_out, dgates, dlogits, by_router, dhidden, dslots)
