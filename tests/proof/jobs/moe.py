"""The kernels of a mixture of experts: swiglu and biases, bfloat16 at every row of the tables, float32 at its own."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import moe_backward, moe_products, moe_routing, moe_slots
from isoflop.kernels.configurations import Configuration, table
from proof.job import Job

SIZES = {"M": "i32:16", "D": "i32:16", "E": "i32", "S": "i32:16"}
PLACED = {"START": "*i32", "SIZE": "*i32"}
TOP = {"TOP": 2}
GATED = TOP | {"KIND": "swiglu"}


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for tile in table("moe_route", chip):
        yield from _routing(tile)
    for tile in table("moe", chip):
        yield from _products(tile)
    for tile in table("moe_weight", chip):
        name, element = _named(tile, "rows", "columns", "depth")
        types = dict.fromkeys(("L", "R", "DW", "DB"), element) | PLACED | SIZES
        types |= {"ROUTES": "*i32", "GATES": "*fp32", "N": "i32:16"}
        for side, left in (("in", False), ("out", True)):
            yield f"moe_weight_{side} {name}", Job(moe_products._moe_weight, types, tile, TOP | {"LEFT": left})
    for tile in table("moe_combine", chip):
        types = dict.fromkeys(("BY_SLOT", "ONTO", "ALSO", "Y"), "*bf16") | {"GATES": "*fp32", "SLOTS": "*i32"} | SIZES
        yield "moe_combine", Job(moe_products._moe_combine, types, tile, TOP)


def _routing(tile: Configuration) -> Iterator[tuple[str, Job]]:
    name, element = _named(tile, "rows", "depth")
    experts = tile.width or moe_routing.MOST_EXPERTS
    held = {"EXPERTS": experts, "TOP": moe_routing.MOST_CHOSEN}
    route = held | {"LANES": moe_routing.MOST_CHOSEN, "RENORMALISE": True}
    types = {"X": element, "R": element, "P": "*fp32", "CHOSEN": "*i32", "GATES": "*fp32"} | SIZES
    types |= {"SCALE": "*fp64"}
    forward = types | {"COUNTS": "*i32", "SUMS": "*fp32"}
    yield f"moe_route {name} {experts}", Job(moe_routing._moe_route, forward, tile, route)
    back = types | {"DY": element, "OUT": element, "SLOTS": "*i32", "TOTAL": "*i32", "DBALANCE": "*fp32"}
    back |= {"DGATES": "*fp32", "DLOGITS": element}
    yield f"moe_route_bwd {name} {experts}", Job(moe_backward._moe_route_bwd, back, tile, route)
    if tile.bits == 32:  # what follows knows no dtype of data
        return
    counts = (
        {"COUNTS": "*i32", "TOTAL": "*i32", "DROPPED": "*i32", "SUMS": "*fp32", "BALANCE": "*fp32"} | PLACED | SIZES
    )
    counts |= dict.fromkeys(("parts", "capacity", "block"), "i32")
    plan = held | {"PARTS": moe_slots.PARTS}
    yield f"moe_plan {experts}", Job(moe_slots._moe_plan, counts, tile, plan)
    place = {"CHOSEN": "*i32", "COUNTS": "*i32", "SLOTS": "*i32", "ROUTES": "*i32"} | PLACED | SIZES
    yield f"moe_place {tile['rows']}x{experts}", Job(moe_slots._moe_place, place, tile, held)


def _products(tile: Configuration) -> Iterator[tuple[str, Job]]:
    name, element = _named(tile, "rows", "columns", "depth")
    by_slot = dict.fromkeys(("X", "W", "B", "A", "Z", "OUT", "DY", "DZ"), element) | PLACED | SIZES
    by_slot |= {"ROUTES": "*i32", "GATES": "*fp32", "F": "i32:16", "N": "i32:16"}
    held = {"EXPERTS": 64}
    for of, kernel, constants in (
        ("moe_hidden", moe_products._moe_hidden, GATED),
        ("moe_hidden_bwd", moe_products._moe_hidden_bwd, GATED),
        ("moe_rows", moe_products._moe_rows, {"BACK": False}),
        ("moe_rows_bwd", moe_products._moe_rows, {"BACK": True, "B": None}),
    ):
        yield f"{of} {name}", Job(kernel, by_slot, tile, held | constants)


def _named(tile: Configuration, *sizes: str) -> tuple[str, str]:
    element = "*fp32" if tile.bits == 32 else "*bf16"
    return f"{'x'.join(str(tile[size]) for size in sizes)} {element[1:]}", element
