"""Muon's kernels: the elementwise ones in bfloat16, the products at every row of the table."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import muon, orthogonal
from isoflop.kernels.configurations import table
from isoflop.kernels.reference import MUON
from proof.job import Job

SHORT = {"M": "i32:16", "N": "i32:16", "D": "i32:16", "by_row": "i32:16", "depth_by": "i32:16"}


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    (tile,) = table("adamw", chip)
    one = {"EACH": 1}
    held = {"G": "*bf16", "FIRST": "*fp32", "U": "*fp32", "HYPER": "*fp64", "N": "i32:16"}
    yield "muon_momentum", Job(muon._muon_momentum, held, tile, one | {"NESTEROV": True, "CLIPPED": None})
    yield "muon_momentum clipped", Job(muon._muon_momentum, held | {"CLIPPED": "*fp32"}, tile, one | {"NESTEROV": True})
    yield "muon_square", Job(orthogonal._orthogonal_square, {"U": "*fp32", "PARTIAL": "*fp32", "N": "i32:16"}, tile)
    types = {"U": "*fp32", "SQUARE": "*fp32", "X": "*bf16", "N": "i32:16"}
    yield "muon_scale", Job(orthogonal._orthogonal_scale, types, tile, {"EPS": MUON["eps"]})
    types = {"P": "*bf16", "MASTER": "*fp32", "X": "*bf16", "HYPER": "*fp64", "N": "i32:16", "size": "fp32"}
    yield "muon_update", Job(muon._muon_update, types, tile, one)
    for tile in table("muon", chip):
        element = "*fp32" if tile.bits == 32 else "*bf16"
        name, types = f"{tile['rows']}x{tile['depth']} {element[1:]}", dict.fromkeys(("A", "B", "C", "OUT"), element)
        plain = {"by_depth": 1, "column_by": 1}
        forms = {
            "muon_gram": {"by_depth": 1, "depth_by": 1, "C": None, "SCALE": 1.0, "KEEP": 0.0, "SYMMETRIC": True},
            "muon_polynomial": plain | {"SCALE": MUON["c"], "KEEP": MUON["b"], "SYMMETRIC": True},
            "muon_step": plain | {"SCALE": 1.0, "KEEP": MUON["a"], "SYMMETRIC": False},
        }
        for of, constants in forms.items():
            given = {key: kind for key, kind in (types | SHORT).items() if key not in constants}
            given |= {"column_by": "i32:16"} if of == "muon_gram" else {}
            yield f"{of} {name}", Job(orthogonal._orthogonal_product, given, tile, constants)
