"""Derivatives of a law and of targets by its free coordinates, at many draws of them at once: central differences.

The law is evaluated as it is printed, so that nothing has to be compiled for a design.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isoflop.designing.inputs import Columns
from isoflop.fitting.constraints import Coordinates
from isoflop.laws.law import Law

Array = NDArray[np.float64]

_STEP = 1e-4


def natural(law: Law, coordinates: Coordinates, draws: Array) -> Array:
    """Natural parameters (n, p) of free coordinates (n, q)."""
    return np.asarray(law.code.natural(coordinates.expand(draws), coordinates.centre), dtype=np.float64)


def of_runs(law: Law, coordinates: Coordinates, draws: Array, runs: Columns) -> Array:
    """d ln output / d v of every run at every draw, (draws, runs, q); the output itself where it may be negative."""
    inputs = [runs[name][None, :] for name in law.inputs]

    def outputs(v: Array) -> Array:
        params = natural(law, coordinates, v).T[:, :, None]
        with np.errstate(all="ignore"):
            values = np.asarray(law.code.evaluate(list(params), inputs), dtype=np.float64)
            return values if law.output in law.signed else np.log(values)

    return np.moveaxis(_differences(outputs, draws), 0, -1)


def of_target(scaled: Callable[[Array], Array], law: Law, coordinates: Coordinates, draws: Array) -> Array:
    """d target / d v, (draws, q)."""
    return np.moveaxis(_differences(lambda v: scaled(natural(law, coordinates, v)), draws), 0, -1)


def _differences(of: Callable[[Array], Array], draws: Array) -> Array:
    """Along each of the q coordinates, (q, draws, ...)."""
    steps = _STEP * np.eye(draws.shape[1])
    return np.stack([(of(draws + step) - of(draws - step)) / (2 * _STEP) for step in steps])
