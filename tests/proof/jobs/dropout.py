"""Dropout in bfloat16, with a residual stream."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import dropout
from isoflop.kernels.configurations import table
from proof.job import Job

TYPES = dict.fromkeys(("X", "RESIDUAL", "Y"), "*bf16") | dict.fromkeys(("SEED", "STEP", "START"), "*i64")


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    (tile,) = table("adamw", chip)
    yield "dropout", Job(dropout._dropout, TYPES | {"RATE": "*fp64", "N": "i32:16", "op": "i32"}, tile)
