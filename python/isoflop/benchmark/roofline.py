"""The roofline of every op on published devices: arithmetic, nothing measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from isoflop.benchmark.cases import CASES
from isoflop.benchmark.ceilings import published
from isoflop.benchmark.sizes import Size

CHIPS = ("a100-sxm-80gb", "h100-sxm", "b200", "rtx-4090", "mi300x")
WIDTHS = (64, 256, 1024, 4096)


@dataclass(frozen=True)
class Row:
    """One pass of one op on one chip.

    Attributes:
        flops, bytes: that the op states of itself.
        intensity: FLOPs a byte.
        ridge: of the chip in that dtype: FLOPs a byte above which arithmetic decides.
        bound: "compute" or "memory".
        seconds: max(flops/peak, bytes/bandwidth).
    """

    op: str
    phase: str
    width: int
    dtype: str
    chip: str
    flops: float
    bytes: float
    intensity: float
    ridge: float
    bound: str
    seconds: float


def predict(
    *, chips: Sequence[str] = CHIPS, widths: Sequence[int] = WIDTHS, models: int = 1, batch: int = 8, seq: int = 1024,
    vocabulary: int = 8192, dtype: str = "bf16", ops: Sequence[str] | None = None,
) -> Iterator[Row]:  # fmt: skip
    """Every pass of every op at every width on every chip.

    Raises:
        SpecError: an unknown chip.
    """
    itemsize = 4 if dtype == "fp32" else 2
    ceilings = [published(chip) for chip in chips]
    for op in ops or CASES:
        case = CASES[op]
        for width in widths:
            passes = zip(
                ("forward", "backward"), case.work(Size(models, batch, seq, width, vocabulary), itemsize), strict=False
            )
            for phase, work in passes:
                for chip, on in zip(chips, ceilings, strict=True):
                    intensity, ridge = work.flops / work.bytes, on.ridge(dtype, matrix=case.matrix)
                    yield Row(
                        op, phase, width, dtype, chip, work.flops, work.bytes, intensity, ridge,
                        "compute" if intensity >= ridge else "memory", on.seconds(work, dtype, matrix=case.matrix),
                    )  # fmt: skip
