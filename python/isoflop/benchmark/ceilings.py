"""What a device can do at most: published rates where it is known by name, else what it was measured to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import torch

from isoflop.benchmark.case import Work
from isoflop.errors import SpecError
from isoflop.hardware import Ceiling, Device, device

DTYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
"""Of tensors, as tables of devices name them."""

# What a driver calls a board, and the key of the table: patterns of the name without its maker, first match wins.
_BOARDS = (
    (r"^h100 (80gb hbm3|sxm)", "h100-sxm"),
    (r"^h100 pcie", "h100-pcie"),
    (r"^h200", "h200"),
    (r"^gb200", "gb200"),
    (r"^b200", "b200"),
    (r"^a100-sxm4-80gb", "a100-sxm-80gb"),
    (r"^a100-sxm4-40gb", "a100-sxm-40gb"),
    (r"^a100[- ]80gb pcie", "a100-pcie-80gb"),
    (r"^a10(g|$)", "a10"),
    (r"^l40s", "l40s"),
    (r"^l4$", "l4"),
    (r"^t4$", "t4"),
    (r"^v100-sxm2-16gb", "v100-sxm2-16gb"),
    (r"^v100-sxm2-32gb", "v100-sxm2-32gb"),
    (r"^geforce rtx (3090|4090|5090)$", r"rtx-\1"),
    (r"^instinct (mi300x|mi325x)", r"\1"),
)
_MAKERS = re.compile(r"^((nvidia|amd|tesla) )+")


class Ceilings(NamedTuple):
    """Of one device: FLOP/s of products of matrices by dtype, of vector units, bytes/s of memory, and who says so."""

    name: str
    matrix: dict[str, float]
    vector: float
    bandwidth: float
    source: str

    def seconds(self, work: Work, dtype: str, *, matrix: bool) -> float:
        """The least time of ``work``: max(FLOPs/peak, bytes/bandwidth) (Williams et al. 2009)."""
        return max(work.flops / self.peak(dtype, matrix=matrix), work.bytes / self.bandwidth)

    def peak(self, dtype: str, *, matrix: bool) -> float:
        """FLOP/s of an op in ``dtype``; kernels compute float32 products exactly, on vector units of NVIDIA's."""
        return self.matrix[dtype] if matrix else self.vector

    def ridge(self, dtype: str, *, matrix: bool) -> float:
        """FLOPs a byte above which arithmetic decides."""
        return self.peak(dtype, matrix=matrix) / self.bandwidth


def published(name: str | Device) -> Ceilings:
    """Ceilings of a device of ``isoflop.hardware``, or of its part that software sees.

    Raises:
        SpecError: no device has that name.
    """
    one = device(name).one_part()
    rates = {dtype: rate for dtype in DTYPES.values() if (rate := _rate(one, dtype)) is not None}
    vector = next((peak.flops for peak in one.peaks if (peak.unit, peak.dtype) == ("vector", "fp32")), rates["fp32"])
    return Ceilings(one.name, rates, vector, one.bandwidth, f"published: {one.source}")


def board(name: str) -> str | None:
    """The device of the table that a driver calls ``name``; None where none is."""
    plain = _MAKERS.sub("", name.lower())
    for pattern, key in _BOARDS:
        if found := re.match(pattern, plain):
            return found.expand(key)
    return None


def measured(name: str, found: Iterable[Ceiling], where: str) -> Ceilings:
    """Ceilings from those that ``isoflop.hardware.peak_of_this_machine`` found ``where``: "cpu" or a GPU's name.

    Vector units are held to the rate of float32 products.
    """
    here = [each for each in found if each.where == where]
    of = {
        DTYPES[getattr(torch, each.dtype)]: each.rate
        for each in here
        if each.library == "torch" and each.kind == "matmul"
    }
    copies = [each.rate for each in here if each.kind == "copy"]
    if not of or not copies:
        raise SpecError(f"nothing was measured on {where!r}")
    return Ceilings(
        name, of, of["fp32"], max(copies), "measured: the largest products and copies of torch, a second each"
    )


def _rate(one: Device, dtype: str) -> float | None:
    try:
        return one.peak(dtype)
    except SpecError:
        return None
