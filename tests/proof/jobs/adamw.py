"""The AdamW kernels: float32, and bfloat16 parameters and gradients with a float32 master."""

from __future__ import annotations

from collections.abc import Iterator

import triton.language as tl

from isoflop.kernels import adamw, addresses
from isoflop.kernels.configurations import table
from proof.job import Job

WHERE = {"TENSOR": "*i64", "START": "*i64", "NUMEL": "*i64"}


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    (tile,) = table("adamw", chip)
    align, half = {"ALIGN": addresses.ALIGNED}, {"GRAD": tl.bfloat16}
    types = {"GRADS": "*i64", "PARTIAL": "*fp32"} | WHERE
    yield "adamw_square", Job(adamw._adamw_square, types, tile, align | half)
    types = dict.fromkeys(("PARTIAL", "NORM", "SCALARS"), "*fp32") | {"HYPER": "*fp64", "STEP": "*i64", "blocks": "i32"}
    yield "adamw_scalars", Job(adamw._adamw_scalars, types, tile)
    types = dict.fromkeys(("PARAMS", "GRADS", "FIRST", "SECOND"), "*i64") | WHERE
    types |= {"DECAYED": "*fp32", "HYPER": "*fp64", "SCALARS": "*fp32"}
    full = align | {"PARAM": tl.float32, "GRAD": tl.float32, "MASTER": None, "FACTORS": None}
    yield "adamw_update float32", Job(adamw._adamw_update, types, tile, full)
    mixed = align | half | {"PARAM": tl.bfloat16, "FACTORS": None}
    yield "adamw_update master", Job(adamw._adamw_update, types | {"MASTER": "*i64"}, tile, mixed)
    own = {name: value for name, value in full.items() if name != "FACTORS"}
    yield "adamw_update factors", Job(adamw._adamw_update, types | {"FACTORS": "*fp32"}, tile, own)
