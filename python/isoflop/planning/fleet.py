"""Devices that train one model together: how fast each is, and how little work it can be given."""

from __future__ import annotations

import math
from dataclasses import dataclass

from isoflop.errors import PlanError


@dataclass(frozen=True)
class Fleet:
    """Devices that share a batch out.

    Attributes:
        device: its name.
        mfu: share of the dense peak of ``dtype`` that work on a full batch reaches, in (0, 1].
        share: tokens a device gets a step at least, such as one sequence.
        latency: seconds that a step takes besides, however small it is.
    """

    device: str
    mfu: float
    dtype: str = "bf16"
    share: float = 2048.0
    latency: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("mfu", 0.0, 1.0), ("share", 0.0, math.inf)):
            if not low < (value := getattr(self, name)) <= high or not math.isfinite(value):
                raise PlanError(f"{name} = {value!r} of a fleet", hint="Fleet('h100-sxm', mfu=0.4, share=4096)")
        if not 0 <= self.latency < math.inf:
            raise PlanError(f"latency = {self.latency!r} of a fleet", hint="seconds a step, 0 or more")

    @property
    def rate(self) -> float:
        """FLOP/s of one device at work."""
        from isoflop.hardware import device

        return device(self.device).peak(self.dtype) * self.mfu
