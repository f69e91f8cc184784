"""The kernels of a linear layer: bfloat16 with bias and residual at every row of the tables, float32 at its own."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import linear, linear_backward
from isoflop.kernels.configurations import table
from proof.job import Job

SIZES = {"M": "i32:16", "N": "i32:16", "D": "i32:16"}


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for tile in table("linear", chip):
        element = "*fp32" if tile.bits == 32 else "*bf16"
        name = f"{tile['rows']}x{tile['columns']}x{tile['depth']} {element[1:]}"
        types = dict.fromkeys(("X", "W", "B", "R", "Y"), element) | SIZES
        yield f"linear_fwd {name}", Job(linear._linear_rows, types, tile, {"BACK": False})
        types = dict.fromkeys(("X", "W", "Y"), element) | SIZES
        yield f"linear_bwd {name}", Job(linear._linear_rows, types, tile, {"BACK": True, "B": None, "R": None})
    for tile in table("linear_weight", chip):
        element = "*fp32" if tile.bits == 32 else "*bf16"
        name = f"{tile['rows']}x{tile['columns']}x{tile['depth']} {element[1:]}"
        types = {"DY": element, "X": element, "DW": "*fp32", "DB": "*fp32", "span": "i32:16"} | SIZES
        yield f"linear_weight {name}", Job(linear_backward._linear_weight, types, tile)
