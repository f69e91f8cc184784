"""What training takes: days, device-hours, money, electricity and carbon, of FLOPs on devices at a utilisation.

    seconds = C / (count * peak * mfu)
    kWh = hours * count * watts / 1000 * PUE                        (Patterson et al. 2021, arXiv 2104.10350)
    tCO2e = kWh * kg/kWh / 1000

Nothing is assumed of a place: a price, a grid and what was emitted to make the devices are the user's, or there is no
answer. Watts of a device are between 0.7 of its thermal design power and all of it, host and network with it, unless
they are given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from isoflop.errors import PlanError
from isoflop.planning.compute import parse_compute
from isoflop.planning.page import Shown

if TYPE_CHECKING:
    from isoflop.hardware import Device

POWER = (0.7, 1.0)
"""Shares of the thermal design power that a device at work, with its part of host and network, is taken to draw."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Bill(Shown):
    """What a training takes.

    Attributes:
        compute: FLOPs.
        device, count, mfu: what computes, and how well.
        days: of all devices together; ``device_hours`` of each added up.
        cost: in the currency of the price; None without one.
        kwh: low and high, the building's overhead included; None where nobody says what a device draws.
        tco2e: low and high, of that electricity; None without a grid.
        embodied_tco2e: of making the devices, for the share of their life that this takes; never part of ``tco2e``.
    """

    compute: float
    device: str
    count: int
    mfu: float
    days: float
    device_hours: float
    cost: float | None
    kwh: Range | None
    tco2e: Range | None
    embodied_tco2e: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.compute:.4g} FLOP on {self.count} {self.device} at {self.mfu:.0%} MFU: {self.days:.4g} days, "]
        lines[0] += f"{self.device_hours:.4g} device-hours" + ("" if self.cost is None else f", {self.cost:.4g} to pay")
        for value, unit in ((self.kwh, "kWh"), (self.tco2e, "tCO2e of that electricity")):
            if value is not None:
                low, high = (f"{end:.4g}" for end in value)
                lines.append(f"  {low} {unit}" if low == high else f"  {low} to {high} {unit}")
        if self.embodied_tco2e is not None:
            lines.append(f"  {self.embodied_tco2e:.4g} tCO2e of making the devices, apart")
        return "\n".join(lines)


def bill(
    compute: str | float, on: str | Device, *, mfu: float, count: int = 1, dtype: str = "bf16",
    price: float | None = None, watts: float | Range | None = None, pue: float | Range = 1.0,
    grid: float | Range | None = None, embodied: float | None = None, life_hours: float = 4 * 8766.0,
) -> Bill:  # fmt: skip
    """Time, money, electricity and carbon of training FLOPs.

    Args:
        compute: FLOPs, or text as :func:`parse_compute` reads it.
        on: a device or its name.
        mfu: share of its dense peak of ``dtype`` that is reached, in (0, 1].
        count: of devices, all of them at work.
        price: of a device's hour.
        watts: that a device draws with its part of host and network, a number or low and high.
        pue: the building's electricity over the devices'.
        grid: kg of CO2 equivalent a kWh, of the place and year.
        embodied: kg of CO2 equivalent that making one device emitted, written off over ``life_hours`` of work.

    Raises:
        PlanError: a number that is not positive and finite, a range that falls, or an unreadable budget.
        SpecError: an unknown device, or one without such a peak.
    """
    from isoflop.hardware import device

    chip = device(on)
    flops = parse_compute(compute)
    given: Mapping[str, float | None] = {
        "mfu": mfu, "count": count, "price": price, "embodied": embodied, "life_hours": life_hours,
    }  # fmt: skip
    for name, value in given.items():
        if value is not None and not (0 < value < math.inf and (name != "mfu" or value <= 1)):
            raise PlanError(f"{name} = {value!r} of a bill", hint="mfu is a share in (0, 1], the others are above 0")
    hours = flops / (chip.peak(dtype) * mfu) / 3600
    power = _range("watts", watts) or (None if chip.tdp is None else (POWER[0] * chip.tdp, POWER[1] * chip.tdp))
    kwh = None if power is None else _times(power, _range("pue", pue) or (1.0, 1.0), hours / 1000)
    intensity = _range("grid", grid)
    return Bill(
        compute=flops,
        device=chip.name,
        count=count,
        mfu=mfu,
        days=hours / count / 24,
        device_hours=hours,
        cost=None if price is None else hours * price,
        kwh=kwh,
        tco2e=None if kwh is None or intensity is None else _times(kwh, intensity, 1e-3),
        embodied_tco2e=None if embodied is None else embodied / 1000 * hours / life_hours,
    )


def _range(name: str, value: float | Range | None) -> Range | None:
    if value is None:
        return None
    low, high = value if isinstance(value, tuple) else (value, value)
    if not 0 < low <= high < math.inf:
        raise PlanError(f"{name} = {value!r} of a bill", hint=f"{name} is a number above 0, or its low and high")
    return float(low), float(high)


def _times(one: Range, other: Range, factor: float) -> Range:
    return one[0] * other[0] * factor, one[1] * other[1] * factor
