"""The kernels against their ceilings: rooflines by arithmetic, and what this machine's device does, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoflop.benchmark.compared import Comparison, compare_results
from isoflop.errors import require
from isoflop.exports import export

if TYPE_CHECKING:
    from isoflop.benchmark.files import write
    from isoflop.benchmark.found import Bench
    from isoflop.benchmark.roofline import predict
    from isoflop.benchmark.run import DEVICES, LIMIT, bench
    from isoflop.benchmark.tune import tune

__all__ = [
    "DEVICES",
    "LIMIT",
    "Bench",
    "Comparison",
    "bench",
    "compare_results",
    "predict",
    "tune",
    "write",
]


def _needed() -> None:
    require("torch", extra="train")
    require("triton", extra="gpu")


# Two results are compared where neither torch nor triton is.
export(
    __name__,
    {
        "files": ("write",),
        "found": ("Bench",),
        "roofline": ("predict",),
        "run": ("DEVICES", "LIMIT", "bench"),
        "tune": ("tune",),
    },
    before=_needed,
)
