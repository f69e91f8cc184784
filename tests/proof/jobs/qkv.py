"""Norm, projection and rotary positions: a layer norm in bfloat16 with bias, heads of 64."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import qkv, qkv_backward, qkv_backward_rows, qkv_library
from isoflop.kernels.configurations import Configuration, table
from proof.job import Job

SIZES = {"M": "i32:16", "T": "i32:16", "D": "i32:16", "heads": "i32", "groups": "i32"}
HEAD = {"C": 64, "HALF": 32}


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for op, kernel in (
        ("qkv", qkv._qkv_fwd), ("qkv_rows", qkv_backward_rows._qkv_rows), ("qkv_weight", qkv_backward._qkv_weight)
    ):  # fmt: skip
        for tile in table(op, chip):
            element = "*fp32" if tile.bits == 32 else "*bf16"
            types = dict.fromkeys(("COS", "SIN", "MEAN", "RSTD"), "*fp32") | SIZES
            types |= {"tiles": "i32", "eps": "fp32", "span": "i32:16"}
            types |= {name: element for name in kernel.arg_names if name.isupper() and name not in types}
            if op == "qkv_weight":
                types |= {"DW": "*fp32", "DB": "*fp32"}
            constants = HEAD | {"LAYER": True} if op == "qkv" else HEAD
            types = {n: t for n, t in types.items() if n in kernel.arg_names and n not in (*constants, *tile.constants)}
            yield (
                f"{op} {'x'.join(map(str, tile.constants.values()))} {element[1:]}",
                Job(kernel, types, tile, constants),
            )
    yield from _around_the_library(table("qkv", chip)[-1])


def _around_the_library(tile: Configuration) -> Iterator[tuple[str, Job]]:
    """What wide rows need beside torch's products."""
    shape = "x".join(str(tile[name]) for name in ("rows", "pairs"))
    types = {"P": "*bf16", "PART": "*bf16", "COS": "*fp32", "SIN": "*fp32"}
    types |= dict.fromkeys(("M", "T", "outputs", "first", "width"), "i32:16")
    for name, back in (("heads_apart", False), ("heads_together", True)):
        yield f"{name} {shape} bf16", Job(qkv_library._heads, types, tile, HEAD | {"BACK": back})
    types = dict.fromkeys(("X", "GAIN", "SHIFT", "N"), "*bf16") | {"MEAN": "*fp32", "RSTD": "*fp32"}
    types |= {"M": SIZES["M"], "D": SIZES["D"]}
    yield f"normalise {shape} bf16", Job(qkv_library._normalise, types, tile, {"COLUMNS": 2 * tile["pairs"]})
