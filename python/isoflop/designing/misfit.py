"""How a law may be wrong: a smooth surface over ln N and ln D that no constants of the law follow.

A choice that takes the law at its word measures at the corners of what is affordable, where a wrong law is the most
wrong. Terms that the law lacks, each likely small, keep it honest (DuMouchel and Jones 1994, "A simple Bayesian
modification of D-optimal designs to reduce dependence on an assumed model", Technometrics 36): the runs must tell the
constants apart from these too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.designing.inputs import Columns

Array = NDArray[np.float64]

MISFIT = 0.02
"""Standard deviation of each bend at its largest, relative to the loss, unless another is given."""

N_BENDS = 7


@dataclass(frozen=True)
class Bends:
    """Legendre polynomials of second and third degree in ln N and ln D, over the rectangle of the candidates.

    Attributes:
        middle, half: of ln N and ln D, (2,) each.
    """

    middle: Array
    half: Array

    @classmethod
    def over(cls, runs: Columns) -> Bends:
        """The rectangle of these runs."""
        logs = np.log([runs["N"], runs["D"]])
        low, high = logs.min(axis=1), logs.max(axis=1)
        return cls((low + high) / 2, np.maximum((high - low) / 2, 1e-9))

    def at(self, n: Array, d: Array) -> Array:
        """Each bend at N and D, (..., 7); outside the rectangle as at its edge, beyond which nothing is known."""
        x, y = (
            np.clip((np.log(values) - middle) / half, -1.0, 1.0)
            for values, middle, half in zip((n, d), self.middle, self.half, strict=True)
        )
        bends = (_two(x), x * y, _two(y), _three(x), _two(x) * y, x * _two(y), _three(y))
        return np.stack(bends, axis=-1)


def _two(x: Array) -> Array:
    return np.asarray(1.5 * x**2 - 0.5)


def _three(x: Array) -> Array:
    return np.asarray(2.5 * x**3 - 1.5 * x)
