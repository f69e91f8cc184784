"""What a run takes: seconds, joules where the processor counts them, and the share of a peak that this makes.

Models trained together share a clock: of every second, and of every joule, each of those still training has an equal
part. So the costs of the runs of a stack add up to that of the stack.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoflop.counting.meter import Meter, Reading
from isoflop.errors import FitError
from isoflop.shape import Shape

RAPL = Path("/sys/class/powercap")
"""Where Linux shows the energy counters of the processor's packages (Running Average Power Limit)."""


class Energy:
    """Joules that the processor's packages have taken since this was made; of the whole machine, not of a process.

    ``joules()`` is None where no counter can be read.
    """

    def __init__(self, folder: Path = RAPL) -> None:
        self._packages = [package for package in sorted(folder.glob("*-rapl:[0-9]*")) if package.name.count(":") == 1]
        self._range = {package: _counter(package / "max_energy_range_uj") for package in self._packages}
        self._last = {package: _counter(package / "energy_uj") for package in self._packages}
        self.readable = bool(self._packages) and None not in [*self._last.values(), *self._range.values()]
        self._total = 0.0

    def joules(self) -> float | None:
        """Since the beginning; None where unreadable. To be asked more often than the counters wrap, every minute."""
        if not self.readable:
            return None
        for package, last in self._last.items():
            now = _counter(package / "energy_uj")
            wraps = self._range[package]
            if now is None or last is None or wraps is None:
                self.readable = False
                return None
            self._total += (now - last if now >= last else now - last + wraps) / 1e6
            self._last[package] = now
        return self._total


class Shares:
    """Seconds and joules of one of the models that train together: the same for each as long as it trains."""

    def __init__(self, energy: Energy | None = None) -> None:
        self._energy = Energy() if energy is None else energy
        self._time, self._joules = time.perf_counter(), self._energy.joules()
        self.seconds = self.seconds_evaluating = 0.0
        self.joules: float | None = None if self._joules is None else 0.0

    def advance(self, models: int) -> None:
        """Take in the time since the last call, in which ``models`` were training."""
        joules_before = self._joules
        self.seconds += self._pass() / models
        if self.joules is not None and self._joules is not None and joules_before is not None:
            self.joules += (self._joules - joules_before) / models
        else:
            self.joules = None

    def rest(self, models: int) -> None:
        """Take in the time since the last call, in which ``models`` waited for evaluations and records."""
        self.seconds_evaluating += self._pass() / models

    def _pass(self) -> float:
        before = self._time
        self._time, self._joules = time.perf_counter(), self._energy.joules()
        return self._time - before

    def taken(self) -> dict[str, float]:
        """Columns of a point."""
        taken = {"seconds": self.seconds, "seconds_evaluating": self.seconds_evaluating}
        return taken if self.joules is None else taken | {"joules": self.joules}


def utilisation(
    points: Mapping[str, NDArray[np.float64]], shape: Shape, *, peak_flops: float, convention: str = "exact-causal"
) -> Reading:
    """Model FLOPs utilisation of a run at its last point: training alone, of ``peak_flops`` FLOP/s.

    ``peak_flops`` is that of what one run had to itself: where runs are trained side by side, one a core, a core's.

    Raises:
        FitError: the run did not measure its seconds.
        SpecError: an unknown convention, or a peak that is not a positive number.
    """
    if "seconds" not in points:
        raise FitError("these points have no seconds", hint='train with measurements = ["cost"]')
    meter = Meter(shape, peak_flops=peak_flops, convention=convention)
    return meter.add(float(points["tokens"][-1]), float(points["seconds"][-1]))


def _counter(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
