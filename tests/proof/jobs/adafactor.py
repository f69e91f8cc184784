"""The Adafactor kernels: float32, and bfloat16 parameters and gradients with a float32 master."""

from __future__ import annotations

from collections.abc import Iterator

import triton.language as tl

from isoflop.kernels import adafactor, adafactor_tiles, addresses
from isoflop.kernels.configurations import table
from proof.job import Job

TABLES = dict.fromkeys(("GRADS", "PARAMS", "MASTER", "TILES", "LINES", "MATRICES", "MOMENTS", "STEP"), "*i64")
NUMBERS = dict.fromkeys(("CLIPPED", "SUMS", "MEANS", "SQUARES", "SIZES", "FACTORS"), "*fp32")
COUNTS = dict.fromkeys(("sums", "tensors", "matrices", "tiles"), "i32")
TYPES = TABLES | NUMBERS | COUNTS | {"RATE": "*fp64", "DECAY": "*fp64"}


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    (tile,) = table("adamw", chip)
    columns = {"COLUMNS": adafactor.COLUMNS}
    form = columns | {"ROWS": tile["block"] // adafactor.COLUMNS, "ALIGN": addresses.ALIGNED}
    half = form | {"GRAD": tl.bfloat16}
    lines = columns | {"PARTS": adafactor.PARTS}
    yield "adafactor_sums", Job(adafactor_tiles._adafactor_sums, TYPES, tile, half)
    yield "adafactor_moments", Job(adafactor_tiles._adafactor_moments, TYPES, tile, lines)
    yield "adafactor_means", Job(adafactor_tiles._adafactor_means, TYPES, tile)
    yield "adafactor_squares", Job(adafactor_tiles._adafactor_squares, TYPES, tile, half)
    yield "adafactor_sizes", Job(adafactor_tiles._adafactor_sizes, TYPES, tile)
    update = adafactor_tiles._adafactor_update
    whole = form | {"PARAM": tl.float32, "GRAD": tl.float32, "MASTER": None}
    yield "adafactor_update float32", Job(update, TYPES, tile, whole)
    yield "adafactor_update master", Job(update, TYPES, tile, half | {"PARAM": tl.bfloat16})
