"""Which experts the rows of K models go to: softmax gates, top-k, the load-balancing loss.

    p = softmax(s x R^T);   chosen = the J largest p of a row, the first of equal ones;   gate = p, or p over their sum
    balance = E sum over experts of f_e mean(p_e),   f_e = the share of all choices that fell on e, before any drop

(Fedus, Zoph and Shazeer 2021, equations 1 to 4; f of top-k counts all choices, so that balance is 1 where they fall
evenly.) Logits, gates and statistics are float32. Where chosen rows go, and which are dropped, is ``moe_slots``.

FLOPs of M rows of D and E experts: 2 M D E. Minimum bytes at s bytes an element: s D (M + E) to read x and R, and four
bytes each of E probabilities, J gates, J experts and J slots a row, and of J rows by slot. Arithmetic intensity at two
bytes and many rows: E FLOPs a byte of x: bandwidth decides, and reads x once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.buffers import buffers
from isoflop.kernels.configurations import Configuration, chip_of, configuration
from isoflop.kernels.launch import admit
from isoflop.kernels.moe_slots import PARTS, _moe_place, _moe_plan, count_slots
from isoflop.kernels.products import add_product
from isoflop.kernels.signatures import check, expert_capacity

MOST_EXPERTS, MOST_CHOSEN = 256, 8
"""What one program holds of a row; published mixtures stay within it."""


@triton.jit
def _moe_route(
    X, R, SCALE, P, CHOSEN, GATES, COUNTS, SUMS, M, D, E,
    TOP: tl.constexpr, LANES: tl.constexpr, RENORMALISE: tl.constexpr, EXPERTS: tl.constexpr,
    ROWS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Grid (cdiv(M, ROWS), K). X (K, M, D), R (K, E, D) to P (K, M, E), CHOSEN and GATES (K, M, TOP).

    COUNTS and SUMS (K, programs, E) are the choices and the sum of P of each program's rows. SCALE (K,) float64 of
    logits, or None.
    """
    model, row = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * ROWS
    rows, experts, depth = tl.arange(0, ROWS)[:, None], tl.arange(0, EXPERTS)[None, :], tl.arange(0, DEPTH)
    live, inside = row + rows < M, experts < E
    z = tl.zeros((ROWS, EXPERTS), tl.float32)
    X += (model * M + row) * D
    R += model * E * D
    for d in range(0, D, DEPTH):
        x = tl.load(X + rows * D + depth[None, :], mask=live & (d + depth < D)[None, :], other=0.0)
        r = tl.load(R + experts * D + depth[:, None], mask=inside & (d + depth < D)[:, None], other=0.0)
        z = add_product(x, r, z)
        X += DEPTH
        R += DEPTH
    if SCALE is not None:
        z *= tl.load(SCALE + model).to(tl.float32)
    z = tl.where(inside, z, float("-inf"))
    e = tl.exp(z - tl.max(z, 1)[:, None])
    p = e / tl.sum(e, 1)[:, None]
    tl.store(P + (model * M + row) * E + rows * E + experts, p, mask=live & inside)
    left, lanes = tl.where(inside, p, -1.0), tl.arange(0, LANES)[None, :]
    gates, chosen = tl.zeros((ROWS, LANES), tl.float32), tl.zeros((ROWS, LANES), tl.int32)
    for j in tl.static_range(TOP):
        best = tl.max(left, 1)[:, None]
        first = tl.min(tl.where(left == best, experts, E - 1), 1)[:, None]
        gates = tl.where(lanes == j, best, gates)
        chosen = tl.where(lanes == j, first, chosen)
        left = tl.where(experts == first, -1.0, left)
    if RENORMALISE:
        gates /= tl.sum(gates, 1)[:, None]
    at = (model * M + row) * TOP + rows * TOP + lanes
    tl.store(CHOSEN + at, chosen, mask=live & (lanes < TOP))
    tl.store(GATES + at, gates, mask=live & (lanes < TOP))
    out = (model * tl.num_programs(0) + tl.program_id(0)) * E + experts
    picked = (live & inside & (left < 0.0)).to(tl.int32)
    tl.store(COUNTS + out, tl.sum(picked, 0)[None, :], mask=inside)
    tl.store(SUMS + out, tl.sum(tl.where(live, p, 0.0), 0)[None, :], mask=inside)


class Routing(NamedTuple):
    """Where the rows of K models go: S slots each, ``sizes`` of them used by each expert, from ``starts`` on.

    Attributes:
        gates: (K, M, J) float32, largest probability first; a dropped choice keeps its gate here.
        chosen: (K, M, J) int32, the experts.
        slots: (K, M, J) int32, -1 where dropped.
        routes: (K, S) int32, J row + choice of each slot in use; the others hold anything.
        probabilities: (K, M, E) float32.
        totals, sizes, starts: (K, E) int32: choices, those kept, the first slot.
        dropped: (K,) int32, choices beyond the capacity.
        balance: (K,) float32, the load-balancing loss before its coefficient.
        counts, sums: (K, parts, E), room.
    """

    gates: Tensor
    chosen: Tensor
    slots: Tensor
    routes: Tensor
    probabilities: Tensor
    totals: Tensor
    sizes: Tensor
    starts: Tensor
    dropped: Tensor
    balance: Tensor
    counts: Tensor
    sums: Tensor


def route(
    x: Tensor, router: Tensor, scale: Tensor | None = None, *, top_k: int, renormalise: bool = False,
    capacity_factor: float | None = None, out: Routing | None = None,
) -> Routing:  # fmt: skip
    """The ``top_k`` experts of each row of ``x`` (K, M, D) by ``router`` (K, E, D), and their slots.

    Logits are multiplied by ``scale`` (K,) float64. An expert takes ``signatures.expert_capacity`` rows, the earliest,
    or any number where the factor is None. ``out``, the results of an earlier call, is filled again. Raises
    KernelError, before any launch, for tensors that ``signatures.check`` refuses or that are on no GPU, and for
    settings out of range.
    """
    sizes = check("moe_route", x=x, router=router, scale=scale)
    models, rows, width, experts = (sizes[axis] for axis in "KMDE")
    capacity = min(rows, expert_capacity(rows, experts, top_k, capacity_factor) or rows)
    for name, given, most in (("experts", experts, MOST_EXPERTS), ("choices a row (top_k)", top_k, MOST_CHOSEN)):
        if given > most:
            raise KernelError(f"moe: {given} {name}; the kernels hold at most {most}")
    admit("moe_route", "x", x)
    tile, block = route_tile(x, experts), slot_block(x)
    parts, slots = triton.cdiv(rows, tile["rows"]), count_slots(rows, experts, top_k, capacity, block)
    of_choice, of_expert, of_part = (models, rows, top_k), (models, experts), (models, parts, experts)
    made = Routing(*buffers(
        "moe", x.device, out, gates=(of_choice, torch.float32), chosen=(of_choice, torch.int32),
        slots=(of_choice, torch.int32), routes=((models, slots), torch.int32),
        probabilities=((models, rows, experts), torch.float32), totals=(of_expert, torch.int32),
        sizes=(of_expert, torch.int32), starts=(of_expert, torch.int32), dropped=((models,), torch.int32),
        balance=((models,), torch.float32), counts=(of_part, torch.int32), sums=(of_part, torch.float32),
    ))  # fmt: skip
    form = {"TOP": top_k, "EXPERTS": padded(experts)}
    grid = (parts, models)
    _moe_route[grid](
        x, router, scale, made.probabilities, made.chosen, made.gates, made.counts, made.sums, rows, width, experts,
        LANES=int(triton.next_power_of_2(top_k)), RENORMALISE=renormalise, **form, **tile.constants, **tile.launch,
    )  # fmt: skip
    _moe_plan[(models,)](
        made.counts, made.sums, made.totals, made.sizes, made.starts, made.dropped, made.balance, rows, experts, parts,
        capacity, block, PARTS=PARTS, **form, **tile.launch,
    )  # fmt: skip
    _moe_place[grid](
        made.chosen, made.counts, made.sizes, made.starts, made.slots, made.routes, rows, experts, slots,
        ROWS=tile["rows"], **form, **tile.launch,
    )  # fmt: skip
    return made


def flops(rows: int, width: int, experts: int) -> int:
    """Of the logits of one model."""
    return 2 * rows * width * experts


def least_bytes(rows: int, width: int, experts: int, top_k: int, size: int) -> int:
    """Bytes that one model reads and writes, each element once, ``size`` an element of x and router."""
    return size * width * (rows + experts) + 4 * rows * (experts + 4 * top_k)


def route_tile(x: Tensor, experts: int) -> Configuration:
    """The tile of the kernels that hold all experts of a row."""
    return configuration("moe_route", width=padded(experts), dtype=x.dtype, chip=chip_of(x.device))


def slot_block(x: Tensor) -> int:
    """The multiple that an expert's slots begin at: rows of a tile of products."""
    return configuration("moe", width=x.shape[-1], dtype=x.dtype, chip=chip_of(x.device))["rows"]


def padded(experts: int) -> int:
    """The columns of a tile that holds all experts: a power of two that a product of matrices takes."""
    return max(16, int(triton.next_power_of_2(experts)))
