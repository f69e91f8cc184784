"""The kernels of embeddings in bfloat16, with positions, and onto the gradient of a tied unembedding."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.kernels import embed, embed_backward
from isoflop.kernels.configurations import Configuration, table
from proof.job import Job

SIZES = {"M": "i32:16", "B": "i32", "T": "i32:16", "V": "i32", "P": "i32:16", "D": "i32:16"}
DATA = ("TABLE", "POSITIONS", "Y", "DY", "ONTO", "DTABLE", "DPOSITIONS")
TYPES = dict.fromkeys(DATA, "*bf16") | dict.fromkeys(("TOKENS", "ORDER", "STARTS"), "*i64") | SIZES


def jobs(chip: str) -> Iterator[tuple[str, Job]]:
    for tile in table("embed", chip):
        for kernel in (embed._embed_fwd, embed_backward._embed_bwd, embed_backward._embed_bwd_positions):
            yield f"{kernel.__name__[1:]} {tile['rows']}x{tile['columns']}", Job(kernel, TYPES, tile)
    block = Configuration({"block": embed_backward.BLOCK, "warps": 4})
    yield "embed_starts", Job(embed_backward._embed_starts, TYPES | {"halvings": "i32"}, block)
