"""The kernels of a block at their largest: all positions that they have in a dtype, 64 columns, heads of 32."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import block, block_backward
from isoflop.kernels.configurations import table
from isoflop.kernels.mlp import padded
from proof.job import Job

WEIGHTS = "GAIN1 BIAS1 W_QKV B_QKV W_PROJ B_PROJ GAIN2 BIAS2 W_IN B_IN W_OUT B_OUT"
GRADIENTS = "DGAIN DBIAS DW_QKV DB_QKV DW_PROJ DB_PROJ"
SIZES = dict.fromkeys(("T", "D", "C"), "i32:16") | {"H": "i32", "G": "i32", "eps": "fp32", "scale": "fp32"}
TURNS = {"COS": "*fp32", "SIN": "*fp32"}
SPILLS = "a program holds a whole sequence: the square of its attention weights fills the registers"
SEEN = {
    ("gfx950", "bf16"): 185  # of the gradient: once in 7 compiles of one source, else 182, as LLVM orders a sum
}
LARGEST = {"NORM": "layer", "ROTARY": True, "HEAD": 32}


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for dtype, bits in (("bf16", 16), ("fp32", 32)):
        data, length = f"*{dtype}", block.LONGEST[bits]
        for tile in table("block", chip):
            types = dict.fromkeys(f"X {WEIGHTS} X1 Y".split(), data) | TURNS | SIZES | {"F": "i32:16"}
            constants = LARGEST | {"KIND": "swiglu", "LENGTH": length, "WIDTH": padded(tile.width)}
            yield f"block {length}x{tile.width} {dtype}", Job(block._block_fwd, types, tile, constants, SPILLS)
        for tile in table("block_backward", chip):
            types = dict.fromkeys(["DX1", "X", "GAIN", "BIAS", "W_QKV", "B_QKV", "W_PROJ", "DX"], data) | TURNS | SIZES
            types |= dict.fromkeys(GRADIENTS.split(), "*fp32") | {"root": "fp32"}
            constants = LARGEST | {"LENGTH": length, "WIDTH": padded(tile.width)}
            yield (
                f"block_backward {length}x{tile.width} {dtype}",
                Job(block_backward._attend_bwd, types, tile, constants, SPILLS, SEEN.get((chip, dtype), 0)),
            )
