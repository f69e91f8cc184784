"""What is minimised: a sum over runs of rho(ln Lhat - ln L)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from isoflop.errors import FitError


@dataclass(frozen=True)
class LeastSquares:
    """Sum of r^2/2 over runs, r = ln Lhat - ln L."""

    @property
    def delta(self) -> float:
        """Where the sum turns from quadratic to linear: never."""
        return math.inf

    def __str__(self) -> str:
        return "least squares of log loss"


@dataclass(frozen=True)
class Huber:
    """Sum over runs of r^2/2 up to |r| = delta and delta (|r| - delta/2) beyond (Hoffmann 2022, section 3.3).

    Attributes:
        delta: in units of log loss, as Hoffmann's 1e-3.
        log: whether residuals are of the log loss; only True is fitted.
    """

    delta: float = 1e-3
    log: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.delta) and self.delta > 0):
            raise FitError(f"Huber delta must be positive and finite, got {self.delta}", hint="Huber(1e-3)")
        if not self.log:
            raise FitError("Huber of the plain loss is not fitted", hint="Huber(delta, log=True)")

    def __str__(self) -> str:
        return f"Huber (delta {self.delta:g}) of log loss"


Objective = LeastSquares | Huber
