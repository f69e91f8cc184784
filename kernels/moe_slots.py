"""Where the rows of K models go that chose an expert: places by counting, and what is beyond the capacity dropped.

    place of (row, expert) = rows before it that chose the expert;   dropped where place >= capacity

An expert's rows lie side by side in *slots*, each expert's from a multiple of ``block`` on; how many it has stays on
the device, where programs beyond the last find nothing to do. Places are sums over rows in their order, per tile of
rows and then over tiles: no atomics, the same bits every time. Integers alone: bytes are those of ``moe_routing``.
"""

from __future__ import annotations

import triton
import triton.language as tl

PARTS = 16  # tiles of rows whose counts are added up at once


@triton.jit
def _moe_plan(
    COUNTS, SUMS, TOTAL, SIZE, START, DROPPED, BALANCE, M, E, parts, capacity, block,
    TOP: tl.constexpr, EXPERTS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Grid (K,). COUNTS (K, parts, E) become those before a part; TOTAL, SIZE, START (K, E); DROPPED, BALANCE (K,)."""
    model = tl.program_id(0).to(tl.int64)
    experts, part = tl.arange(0, EXPERTS)[None, :], tl.arange(0, PARTS)[:, None]
    inside, total, mass = experts < E, tl.zeros((1, EXPERTS), tl.int32), tl.zeros((1, EXPERTS), tl.float32)
    for p in range(0, parts, PARTS):
        at = model * parts * E + (p + part) * E + experts
        live = inside & (p + part < parts)
        counts = tl.load(COUNTS + at, mask=live, other=0)
        tl.store(COUNTS + at, total + tl.cumsum(counts, 0) - counts, mask=live)
        total += tl.sum(counts, 0)[None, :]
        mass += tl.sum(tl.load(SUMS + at, mask=live, other=0.0), 0)[None, :]
    size = tl.minimum(total, capacity)
    whole = (size + block - 1) // block * block
    tl.store(TOTAL + model * E + experts, total, mask=inside)
    tl.store(SIZE + model * E + experts, size, mask=inside)
    tl.store(START + model * E + experts, tl.cumsum(whole, 1) - whole, mask=inside)
    tl.store(DROPPED + model, tl.sum(tl.sum(total - size, 1), 0))
    even = M * 1.0 * TOP / E
    tl.store(BALANCE + model, tl.sum(tl.sum(total.to(tl.float32) / even * (mass / M), 1), 0))


@triton.jit
def _moe_place(
    CHOSEN, COUNTS, SIZE, START, SLOTS, ROUTES, M, E, S, TOP: tl.constexpr, EXPERTS: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    """Grid as that of ``_moe_route``: SLOTS (K, M, TOP), -1 where dropped, and ROUTES (K, S): row TOP + choice."""
    model, row = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64) * ROWS
    rows, experts = tl.arange(0, ROWS)[:, None], tl.arange(0, EXPERTS)[None, :]
    live, inside = row + rows < M, experts < E
    at = (model * M + row) * TOP + rows * TOP
    picked = tl.zeros((ROWS, EXPERTS), tl.int32)
    for j in tl.static_range(TOP):
        expert = tl.load(CHOSEN + at + j, mask=live, other=-1)
        picked = tl.where(experts == expert, 1, picked)
    before = (model * tl.num_programs(0) + tl.program_id(0)) * E + experts
    place = tl.cumsum(picked, 0) - picked + tl.load(COUNTS + before, mask=inside, other=0)
    kept = place < tl.load(SIZE + model * E + experts, mask=inside, other=0)
    slot = tl.where(kept, place + tl.load(START + model * E + experts, mask=inside, other=0), -1)
    for j in tl.static_range(TOP):
        expert = tl.load(CHOSEN + at + j, mask=live, other=-1)
        of_row = tl.max(tl.where(experts == expert, slot, -1), 1)[:, None]
        tl.store(SLOTS + at + j, of_row, mask=live)
        tl.store(ROUTES + model * S + of_row, ((row + rows) * TOP + j).to(tl.int32), mask=live & (of_row >= 0))


def count_slots(rows: int, experts: int, top_k: int, capacity: int, block: int) -> int:
    """Slots that are enough wherever the rows go: a multiple of ``block``."""
    met = min(experts, rows * top_k)
    blocks = min((rows * top_k + met * (block - 1)) // block, experts * triton.cdiv(capacity, block))
    return int(blocks * block)
