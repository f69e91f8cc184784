"""Ops of the benchmark as a roofline shows them: where they could be on a chip, or where they were measured."""

from __future__ import annotations

import json
from pathlib import Path

from isoflop.benchmark.cases import CASES
from isoflop.benchmark.ceilings import Ceilings, published
from isoflop.benchmark.roofline import predict
from isoflop.benchmark.sizes import Size
from isoflop.errors import SourceError
from isoflop.report.figures.roof import Kernel, Roof

_WIDTHS = (256, 1024, 4096)
_PHASES = ("forward", "backward")
_OURS = ("kernels", "native")
"""Implementations whose times are shown, with whatever they are run by."""


def predicted_roof(chip: str, *, dtype: str = "bf16") -> Roof:
    """Every op at some widths where a chip lets it be at most: arithmetic, nothing measured.

    Raises:
        SpecError: an unknown chip.
    """
    ceilings = published(chip)
    kernels = tuple(
        Kernel(f"{row.op} {row.phase}", row.intensity, row.flops / row.seconds)
        for row in predict(chips=(chip,), widths=_WIDTHS, dtype=dtype)
    )
    return _roof(ceilings, dtype, kernels, measured=False)


def read_roof(path: Path, *, dtype: str = "bf16") -> Roof:
    """The largest case of every op and pass that ``isoflop bench`` timed, by its fastest kernels.

    Raises:
        SourceError: the file is none that ``isoflop bench`` wrote, or has no times of kernels in ``dtype``.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        ceilings = Ceilings(**record["ceilings"])
        largest: dict[str, tuple[float, Kernel]] = {}
        for op in record["ops"]:
            ours = [time["median"] for name, time in op["times"].items() if name.split("+")[0] in _OURS]
            if op["dtype"] != dtype or not ours or op["op"] not in CASES or op["phase"] not in _PHASES:
                continue
            size, itemsize = Size(**op["size"]), 4 if dtype == "fp32" else 2
            passes = dict(zip(_PHASES, CASES[op["op"]].work(size, itemsize), strict=False))
            work, name = passes[op["phase"]], f"{op['op']} {op['phase']}"
            if name not in largest or work.flops > largest[name][0]:
                largest[name] = work.flops, Kernel(name, work.flops / work.bytes, work.flops / min(ours))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SourceError(f"{path} is no JSON of isoflop bench: {error}", hint="isoflop bench -o FOLDER") from error
    if not largest:
        raise SourceError(f"{path} has no times of our kernels in {dtype}", hint="of a machine where they run")
    ceilings = ceilings._replace(name=record["device"])
    return _roof(ceilings, dtype, tuple(kernel for _, kernel in largest.values()), measured=True)


def _roof(ceilings: Ceilings, dtype: str, kernels: tuple[Kernel, ...], *, measured: bool) -> Roof:
    peaks = {f"matrix products, {dtype}": ceilings.matrix[dtype], "vector units": ceilings.vector}
    return Roof(ceilings.name, peaks, ceilings.bandwidth, kernels, measured)
