"""The kernels of cross-entropy in bfloat16 and float32: with weights and hits, and the forward pass with a gradient."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import cross_entropy, cross_entropy_backward, cross_entropy_join, cross_entropy_library
from isoflop.kernels.configurations import Configuration, table
from proof.job import Job

SIZES = {"M": "i32:16", "V": "i32:16", "D": "i32:16", "steps": "i32", "ignored": "i32", "zeta": "fp32"}
FLOAT32 = ("LSE", "WEIGHTS", "TOTAL", "TOP", "SUM", "OWN", "LOSS", "MEAN", "DMEAN")
COMMON = dict.fromkeys(FLOAT32, "*fp32") | {"T": "*i64", "BEST": "*i32", "HITS": "*i1"} | SIZES
BLOCK = Configuration({"block": cross_entropy_join.BLOCK, "warps": cross_entropy_join.WARPS})


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for tile in table("cross_entropy", chip):
        kind, name = _named(tile)
        types = COMMON | dict.fromkeys(("X", "W", "DX"), kind)
        whole = {"PIECES": 1 if tile.width else 4}
        yield f"xent_fwd {name}", Job(cross_entropy._xent_fwd, types, tile, whole | {"DX": None})
        if tile.width:
            both = {"PIECES": 1, "BEST": None, "WEIGHTS": None}
            yield f"xent_fwd {name} with gradient", Job(cross_entropy._xent_fwd, types, tile, both)
        else:  # of rows so wide that torch's products go on from the gradient of the logits
            types |= dict.fromkeys(("first", "end", "stride"), "i32:16") | {"Q": kind}
            yield (
                f"xent_gradient {name}",
                Job(cross_entropy_library._xent_gradient, types, tile, whole | {"DLOSS": None}),
            )
    for tile in table("cross_entropy_backward", chip):
        kind, name = _named(tile)
        whole = {"PIECES": 1 if tile.width else 4, "DLOSS": None}
        types = COMMON | dict.fromkeys(("X", "W", "DX", "DW"), kind)
        for kernel in (cross_entropy_backward._xent_dx, cross_entropy_backward._xent_dw):
            yield f"{kernel.__name__[1:]} {name}", Job(kernel, types, tile, whole)
    yield "xent_join", Job(cross_entropy_join._xent_join, COMMON | {"S": "i32"}, BLOCK)
    yield "xent_mean", Job(cross_entropy_join._xent_mean, COMMON, BLOCK)


def _named(tile: Configuration) -> tuple[str, str]:
    size = f"{tile['rows']}x{tile['columns']}x{tile['depth']}"
    name = f"{size} {'fp32' if tile.bits == 32 else 'bf16'}" + ("" if tile.width else " in pieces")
    return ("*fp32" if tile.bits == 32 else "*bf16"), name
