"""How busy a device really is: the utilisation that ``isoflop bench`` measured on it."""

from __future__ import annotations

import json
from pathlib import Path

from isoflop.errors import PlanError


def measured_mfu(file: str | Path, on: str, *, dtype: str = "bf16") -> float:
    """The best utilisation of a training step of the largest model that was timed.

    Args:
        file: JSON that ``isoflop bench --out`` wrote.
        on: the device that is asked about, by name.
        dtype: of the steps.

    Raises:
        PlanError: no such file, none of a bench, of another device, or one without a step in ``dtype``.
        SpecError: an unknown device.
    """
    from isoflop.hardware import device

    try:
        record = json.loads(Path(file).read_text(encoding="utf-8"))
        made_on, steps = record["ceilings"]["name"], record["steps"]
        timed = [(step["n"], step["mfu"]) for step in steps if step["dtype"] == dtype]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(
            f"{file} is no result of isoflop bench: {type(error).__name__}", hint="isoflop bench --out bench/results"
        ) from error
    if made_on != device(on).name:
        raise PlanError(f"{file} was measured on {made_on}, not on {device(on).name}", hint="a share: --mfu 0.4")
    if not timed:
        raise PlanError(f"{file} holds no step in {dtype}", hint="a share: --mfu 0.4")
    largest = max(n for n, _ in timed)
    return float(max(mfu for n, mfu in timed if n == largest))
