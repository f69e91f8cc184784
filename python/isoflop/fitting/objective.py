"""What is minimised: a weighted sum over runs of rho(r), r = (ln f - ln y)/sigma, or (f - y)/sigma with ``log=False``.

Sums, not means: an objective does not change its meaning with the number of runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from isoflop.errors import FitError, nearest


def _residuals(log: bool) -> str:
    return "log residuals" if log else "residuals"


def scale_is_known(criterion: Objective, sigma: object | None) -> bool:
    """Whether a noise that was given is the scale of the residuals.

    Least squares takes it at its word; sums that bend, asked for where the noise is not as said, estimate its scale.
    """
    return sigma is not None and math.isinf(criterion.delta)


@dataclass(frozen=True)
class LeastSquares:
    """Sum of r^2/2.

    Attributes:
        log: residuals of the logarithm of the output.
    """

    log: bool = True
    name: ClassVar[str] = "least-squares"

    @property
    def delta(self) -> float:
        """Where the sum turns from quadratic to linear: never."""
        return math.inf

    @property
    def sides(self) -> tuple[float, float]:
        """Weights of predictions above and below the observation."""
        return 1.0, 1.0

    def __str__(self) -> str:
        return f"least squares of {_residuals(self.log)}"


@dataclass(frozen=True)
class Huber:
    """Sum of r^2/2 up to |r| = delta and delta (|r| - delta/2) beyond (Hoffmann 2022, section 3.3).

    Attributes:
        delta: in units of r, as Hoffmann's 1e-3 of log loss.
        log: residuals of the logarithm of the output.

    Raises:
        FitError: delta is not positive and finite.
    """

    delta: float = 1e-3
    log: bool = True
    name: ClassVar[str] = "huber"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.delta) and self.delta > 0):
            raise FitError(f"Huber delta must be positive and finite, got {self.delta}", hint="Huber(1e-3)")

    @property
    def sides(self) -> tuple[float, float]:
        """Weights of predictions above and below the observation."""
        return 1.0, 1.0

    def __str__(self) -> str:
        return f"Huber (delta {self.delta:g}) of {_residuals(self.log)}"


@dataclass(frozen=True)
class LAD:
    """Sum of |r|: least absolute deviations, the median.

    Attributes:
        log: residuals of the logarithm of the output.
    """

    log: bool = True
    name: ClassVar[str] = "lad"

    @property
    def delta(self) -> float:
        """Where the sum turns from quadratic to linear: at once."""
        return 0.0

    @property
    def sides(self) -> tuple[float, float]:
        """Weights of predictions above and below the observation."""
        return 1.0, 1.0

    def __str__(self) -> str:
        return f"least absolute deviations of {_residuals(self.log)}"


@dataclass(frozen=True)
class Quantile:
    """Sum of (1 - tau) r over predictions above the runs and tau |r| over those below.

    The law is drawn through the tau-quantile of the runs: a small tau gives the lower envelope, 1/2 half of LAD's sum.

    Attributes:
        tau: the share of runs to lie below the law.
        log: residuals of the logarithm of the output.

    Raises:
        FitError: tau is not inside (0, 1).
    """

    tau: float = 0.5
    log: bool = True
    name: ClassVar[str] = "quantile"

    def __post_init__(self) -> None:
        if not 0 < self.tau < 1:
            raise FitError(f"a quantile must lie between 0 and 1, got {self.tau}", hint="Quantile(0.1): lower envelope")

    @property
    def delta(self) -> float:
        """Where the sum turns from quadratic to linear: at once."""
        return 0.0

    @property
    def sides(self) -> tuple[float, float]:
        """Weights of predictions above and below the observation."""
        return 1.0 - self.tau, self.tau

    def __str__(self) -> str:
        return f"quantile {self.tau:g} of {_residuals(self.log)}"


Objective = LeastSquares | Huber | LAD | Quantile

OBJECTIVES: dict[str, type[Objective]] = {kind.name: kind for kind in (LeastSquares, Huber, LAD, Quantile)}
"""By the name that a saved fit gives them."""


def parse_objective(text: str) -> Objective:
    """An objective as it is said on a command line: ``least-squares``, ``huber:1e-3``, ``lad``, ``quantile:0.1``.

    ``:raw`` after it compares outputs instead of their logarithms.

    Raises:
        FitError: an unknown name, or a number that is none.
    """
    name, *rest = text.strip().lower().split(":")
    if name not in OBJECTIVES:
        raise FitError(f"unknown objective {name!r}", hint=nearest(name, OBJECTIVES))
    number = _NUMBERS.get(name)
    given = [part for part in rest if part != "raw"]
    if len(given) > (number is not None):
        raise FitError(f"{text!r}: {name} takes {'no number' if number is None else 'one number, its ' + number}")
    options: dict[str, Any] = {"log": "raw" not in rest}
    try:
        options |= {str(number): float(part) for part in given}
    except ValueError:
        raise FitError(f"{given[0]!r} in {text!r} is no number", hint="huber:1e-3, quantile:0.1:raw") from None
    return OBJECTIVES[name](**options)


_NUMBERS = {Huber.name: "delta", Quantile.name: "tau"}
