"""The kernels that add up gradients: bfloat16 ones of a micro-batch into float32 sums."""

from __future__ import annotations

from collections.abc import Iterator

import triton.language as tl

from isoflop.kernels import addresses, noise
from isoflop.kernels.configurations import table
from proof.job import Job
from proof.jobs.adamw import WHERE


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    (tile,) = table("adamw", chip)
    parts = {"SMALL": "*fp32", "BIG": "*fp32"}
    types = {"GRADS": "*i64", "SUMS": "*i64"} | WHERE | parts
    constants = {"GRAD": tl.bfloat16, "SUM": tl.float32, "FIRST": False, "ALIGN": addresses.ALIGNED}
    yield "noise_add", Job(noise._noise_add, types, tile, constants)
    yield (
        "noise_squares",
        Job(noise._noise_squares, parts | {"SQUARES": "*fp64", "blocks": "i32"}, tile, {"FIRST": False}),
    )
