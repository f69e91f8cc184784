"""The kernel that adds up partial sums."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import partial
from isoflop.kernels.configurations import table
from proof.job import Job


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for tile in table("partial", chip):
        types = {"PARTIAL": "*fp32", "OUT": "*bf16", "P": "i32", "N": "i32:16"}
        yield f"add_partials {tile['rows']}x{tile['columns']}", Job(partial._add_partials, types, tile)
