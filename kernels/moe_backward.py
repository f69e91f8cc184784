"""Gradients of a mixture of experts of K models: of x, router, experts, gates.

    dgate[m, j] = dy[m] o[slot],   da[s] = gate dy[row of s] W_out,   dz = act'(z) da,   dslot = dz W_in
    dW_out[e] = sum over the slots of e of (gate dy)^T a,   dW_in[e] = sum of dz^T x
    db_out[e] = sum of gate dy,   db_in[e] = sum of dz
    dp = dgate                 or (dgate - sum over j of gate dgate) / (sum of the chosen p) with renormalised gates
    dp += dbalance E total_e / (M M J),   dlogits = s p (dp - sum of p dp)
    dx[m] = sum over j of dslot + dlogits R + what shared experts give,   dR = dlogits^T x

A dropped choice has neither row nor gradient. FLOPs of R choices kept: 8 R D F, 12 R D F gated, and 4 M D E of the
router. Bytes: see ``moe.least_bytes``. The sums of a weight's gradient run over the slots of one expert, in order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.kernels import linear_backward, moe_shared
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.moe import SHARED, Mixture, combine, refuse
from isoflop.kernels.moe_products import _moe_hidden_bwd, _moe_rows, _moe_weight
from isoflop.kernels.moe_routing import padded, route_tile
from isoflop.kernels.signatures import check


@triton.jit
def _moe_route_bwd(
    DY, OUT, SLOTS, CHOSEN, GATES, P, TOTAL, DBALANCE, SCALE, DGATES, DLOGITS, M, D, E, S,
    TOP: tl.constexpr, LANES: tl.constexpr, RENORMALISE: tl.constexpr, EXPERTS: tl.constexpr,
    ROWS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS), K): DGATES (K, M, TOP) and DLOGITS (K, M, E) from DY (K, M, D) and OUT (K, S, D).

    DBALANCE (K,) and SCALE (K,) float64, or None.
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
    if SCALE is not None:
        dlogits *= tl.load(SCALE + model).to(tl.float32)
    at = (model * M + row + rows) * E + experts
    tl.store(DLOGITS + at, dlogits.to(DLOGITS.dtype.element_ty), mask=live & inside)


class Gradients(NamedTuple):
    """Of what the mixture takes, None where it takes none, and of the gates; the others are room for the next call.

    ``drouter`` is in one of them, and so are those of shared experts.
    """

    dx: Tensor
    drouter: Tensor
    dw_in: Tensor
    dw_out: Tensor
    db_in: Tensor | None
    db_out: Tensor | None
    dgates: Tensor
    dlogits: Tensor
    dhidden: Tensor
    dslots: Tensor
    of_router: linear_backward.Gradients
    of_shared: moe_shared.Gradients | None

    @property
    def dshared_in(self) -> Tensor | None:
        return None if self.of_shared is None else self.of_shared.dw_in

    @property
    def dshared_out(self) -> Tensor | None:
        return None if self.of_shared is None else self.of_shared.dw_out

    @property
    def dshared_b_in(self) -> Tensor | None:
        return None if self.of_shared is None else self.of_shared.db_in

    @property
    def dshared_b_out(self) -> Tensor | None:
        return None if self.of_shared is None else self.of_shared.db_out


def backward(
    dy: Tensor, x: Tensor, router: Tensor, w_in: Tensor, w_out: Tensor, b_in: Tensor | None = None,
    b_out: Tensor | None = None, shared_in: Tensor | None = None, shared_out: Tensor | None = None,
    shared_b_in: Tensor | None = None, shared_b_out: Tensor | None = None, scale: Tensor | None = None,
    dbalance: Tensor | None = None, *, mixture: Mixture, kind: str, renormalise: bool = False,
    out: Gradients | None = None,
) -> Gradients:  # fmt: skip
    """Gradients from ``dy`` (K, M, D), what ``moe.forward`` took and gave, and the gradient of its balance (K,).

    They fill ``out``, the gradients of an earlier call, where given; the residual's is ``dy``. Raises KernelError as
    ``moe.forward`` does.
    """
    _, routing, hidden, activated, outputs, shared = mixture
    passed = dict(zip(SHARED, (shared_in, shared_out, shared_b_in, shared_b_out), strict=True))
    experts_of = {"w_in": w_in, "w_out": w_out, "b_in": b_in, "b_out": b_out}
    sizes = check(
        "moe_backward", dy=dy, x=x, router=router, scale=scale, gates=routing.gates, dbalance=dbalance,
        **experts_of, **passed,
    )  # fmt: skip
    refuse(sizes, kind, shared_in, shared_out)
    admit("moe_backward", "dy", dy)
    models, rows, width, deep, experts, top_k = (sizes[axis] for axis in "KMDFEJ")
    slots = outputs.shape[1]
    own = buffers(
        "moe", x.device, None if out is None else (out.dx, *out[2:10]),
        **{
            f"d{name}": None if each is None else (tuple(each.shape), each.dtype)
            for name, each in ({"x": x} | experts_of).items()
        },
        dgates=(tuple(routing.gates.shape), torch.float32), dlogits=((models, rows, experts), x.dtype),
        dhidden=(tuple(hidden.shape), x.dtype), dslots=(tuple(outputs.shape), x.dtype),
    )  # fmt: skip
    dx, dw_in, dw_out, db_in, db_out, dgates, dlogits, dhidden, dslots = own
    tile, top, form = route_tile(x, experts), {"TOP": top_k}, {"EXPERTS": padded(experts)}
    _moe_route_bwd[(triton.cdiv(rows, tile["rows"]), models)](
        dy, outputs, routing.slots, routing.chosen, routing.gates, routing.probabilities, routing.totals, dbalance,
        scale, dgates, dlogits, rows, width, experts, slots, LANES=int(triton.next_power_of_2(top_k)),
        RENORMALISE=renormalise, **top, **form, **tile.constants, **tile.launch,
    )  # fmt: skip
    of_router = linear_backward.backward(dlogits, x, router, has_bias=False, out=None if out is None else out.of_router)
    of_shared = None
    if shared_in is not None and shared is not None:
        of_shared = moe_shared.backward(
            dy, x, shared_in, shared, kind=kind, has_b_in=shared_b_in is not None,
            out=None if out is None else out.of_shared,
        )  # fmt: skip
    tile = configuration("moe", width=width, dtype=x.dtype, chip=chip_of(x.device))
    form |= tile.constants | tile.launch
    placed, blocks = (routing.starts, routing.sizes), slots // tile["rows"]
    _moe_hidden_bwd[(blocks * triton.cdiv(deep, tile["columns"]), models)](
        dy, w_out, routing.routes, routing.gates, *placed, hidden, dhidden, rows, width, deep, experts, slots,
        KIND=kind, **top, **form,
    )  # fmt: skip
    _moe_rows[(blocks * triton.cdiv(width, tile["columns"]), models)](
        dhidden, w_in, None, *placed, dslots, width, sizes["I"], experts, slots, BACK=True, **form
    )
    combine(dslots, None, routing.slots, (of_router.dx, None if of_shared is None else of_shared.dx), dx)
    for left, right, dweight, dbias, gathered in (
        (dhidden, x, dw_in, db_in, False),
        (dy, activated, dw_out, db_out, True),
    ):
        down, across = dweight.shape[2:]
        tile = configuration("moe_weight", width=max(down, across), dtype=x.dtype, chip=chip_of(x.device))
        grid = triton.cdiv(down, tile["rows"]) * triton.cdiv(across, tile["columns"]), experts, models
        _moe_weight[grid](
            left, right, routing.routes, routing.gates, *placed, dweight, dbias, rows, down, across, experts, slots,
            LEFT=gathered, **top, **tile.constants, **tile.launch,
        )  # fmt: skip
    return Gradients(dx, of_router.dweight, *(*own[1:], of_router, of_shared))
