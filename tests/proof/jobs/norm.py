"""The norm kernels, of a layer norm in bfloat16 with bias and add."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import norm, norm_backward
from isoflop.kernels.configurations import table
from proof.job import Job

SIZES = {"M": "i32:16", "D": "i32:16"}


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for tile in table("norm", chip):
        name = f"{tile['rows']}x{tile['columns']}"
        types = dict.fromkeys(("X", "R", "G", "B", "T", "Y"), "*bf16") | {"MEAN": "*fp32", "RSTD": "*fp32"} | SIZES
        yield f"norm_fwd {name}", Job(norm._norm_fwd, types | {"eps": "fp32"}, tile, {"LAYER": True})
        types = dict.fromkeys(("DY", "DT", "T", "G", "DX"), "*bf16") | SIZES | {"steps": "i32"}
        types |= dict.fromkeys(("MEAN", "RSTD", "DG", "DB"), "*fp32")
        yield f"norm_bwd {name}", Job(norm_backward._norm_bwd, types, tile, {"LAYER": True})
