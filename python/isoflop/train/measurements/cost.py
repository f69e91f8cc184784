"""What a run takes: seconds, joules where processor and GPU count them, and the share of a peak that this makes.

Models trained together share a clock: of every second, and of every joule, each of those still training has an equal
part. So the costs of the runs of a stack add up to that of the stack, but for steps that are made once for several of
them: each has their cost whole, as it has their tokens.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from isoflop.counting.meter import Meter, Reading
from isoflop.errors import FitError
from isoflop.hardware import Energy
from isoflop.shape import Shape


class Shares:
    """Seconds and joules of one of the models that train together: the same for each as long as it trains."""

    def __init__(self, taken: Energy) -> None:
        self._energy = taken
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
