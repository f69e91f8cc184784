"""Activations of hidden columns in memory, in bfloat16: plain and gated, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import hidden
from isoflop.kernels.configurations import table
from proof.job import Job

TYPES = dict.fromkeys(("DA", "Z", "OUT"), "*bf16") | {"M": "i32:16", "F": "i32:16"}


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for tile in table("activation", chip):
        for kind in ("gelu", "swiglu"):
            name = f"{kind} {tile['rows']}x{tile['columns']}"
            forward, back = {"DA": None, "BACK": False, "KIND": kind}, {"BACK": True, "KIND": kind}
            yield f"activation {name}", Job(hidden._activation, TYPES, tile, forward)
            yield f"activation_bwd {name}", Job(hidden._activation, TYPES, tile, back)
