"""A fit made ready for the solver: runs as arrays, centred, in the law's coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.constraints import Constraints, Coordinates
from isoflop.fitting.data import FitData
from isoflop.fitting.objective import Objective, scale_is_known
from isoflop.fitting.rho import rho
from isoflop.laws.law import Law

if TYPE_CHECKING:
    from isoflop.fitting.laid import Laid
    from isoflop.fitting.solver.compile import Kernels

Array = NDArray[np.float64]

MANY_RUNS = 50_000
_PRESENT = 1e-9
_BEYOND = 300.0
_LEAST_SCALE, _LARGEST_SCALE = 1e-300, 1e300


@dataclass(frozen=True)
class Problem:
    """What is minimised over free coordinates v, shape (q,).

    Attributes:
        law: the law to fit.
        data: the runs.
        criterion: the objective.
        coordinates: the map from v to the law's coordinates u.
        z: ln of the inputs less their centre, shape (inputs, n); 0 for inputs that have no logarithm.
        x: the inputs, shape (inputs, n), or (0, n) for a law that reads logarithms alone.
        y: the observations, as logarithms where the criterion asks for them, shape (n,).
        s: one over the known noise of each, shape (n,).
        w: weights, shape (n,).
    """

    law: Law
    data: FitData
    criterion: Objective
    coordinates: Coordinates
    z: Array
    x: Array
    y: Array
    s: Array
    w: Array

    @classmethod
    def of(cls, law: Law, data: FitData, criterion: Objective, constraints: Constraints | None = None) -> Problem:
        """Columns of checked runs as arrays."""
        code = law.code
        x = np.array([data.columns[name] for name in law.inputs])
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(np.array(code.POSITIVE)[:, None], np.log(x), 0.0)
        centre = np.where(code.CENTRED, logs.mean(axis=1), 0.0)
        coordinates = Coordinates.of(law, centre, constraints or Constraints())
        y = data.columns[law.output]
        ones = np.ones_like(y)
        return cls(
            law=law,
            data=data,
            criterion=criterion,
            coordinates=coordinates,
            z=np.ascontiguousarray(logs - coordinates.centre[:, None]),
            x=x if any(code.RAW) else np.empty((0, y.size)),
            y=np.log(y) if criterion.log else y,
            s=ones if data.sigma is None else 1.0 / data.sigma,
            w=ones if data.weights is None else data.weights,
        )

    @cached_property
    def kernels(self) -> Kernels:
        """The law, compiled."""
        from isoflop.fitting.solver.compile import kernels

        return kernels(self.law)

    @property
    def many(self) -> bool:
        """Whether the runs are gone over in passes, on all cores, as a store's are."""
        return self.n_used > MANY_RUNS and self.criterion.delta > 0.0

    @cached_property
    def laid(self) -> list[Laid]:
        """The runs in blocks, for passes over many of them."""
        from isoflop.fitting.laid import of_problem

        return of_problem(self)

    @property
    def scale_is_known(self) -> bool:
        """Whether the scale of the residuals is 1: that of a noise that was given."""
        return scale_is_known(self.criterion, self.data.sigma)

    @property
    def rho(self) -> tuple[float, float, float, bool]:
        """The criterion as the kernel takes it: delta, weights above and below, whether logarithms are compared."""
        return (self.criterion.delta, *self.criterion.sides, self.criterion.log)

    @property
    def n_used(self) -> int:
        """Runs of positive weight."""
        return int(np.count_nonzero(self.w))

    @property
    def rounding(self) -> float:
        """An objective that rounding of the observations alone makes: smaller ones are all the same."""
        largest = float(np.abs(self.y).max())
        unit = 1e-14 * (1.0 + largest if self.criterion.log else largest) * float(self.s.max())
        return float(self.w.sum()) * (unit if self.criterion.delta == 0.0 else unit**2)

    def natural(self, v: Array) -> Array:
        """Natural parameters (..., p), in the law's order, of free coordinates (..., q).

        A scale beyond what floats hold is the last that they do: it has a logarithm still.
        """
        with np.errstate(over="ignore", under="ignore"):
            values = self.law.code.natural(self.coordinates.expand(v), self.coordinates.centre)
        return np.where(self.law.code.LOG, np.clip(values, _LEAST_SCALE, _LARGEST_SCALE), values)

    def free(self, params: Array) -> Array:
        """Free coordinates (..., q) of natural parameters (..., p)."""
        return self.coordinates.contract(self.law.code.inner(params, self.coordinates.centre))

    def names_of(self, entry: int) -> tuple[str, ...]:
        """Parameters that a free coordinate stands for."""
        return tuple(self.law.names[i] for i in self.coordinates.members[entry])

    def at_bounds(self, v: Array) -> NDArray[np.int64]:
        """Entries that ended at a bound."""
        return np.flatnonzero((v <= self.coordinates.lower) | (v >= self.coordinates.upper))

    def moving(self, v: Array) -> NDArray[np.int64]:
        """Entries strictly inside their bounds."""
        return np.flatnonzero((v > self.coordinates.lower) & (v < self.coordinates.upper))

    def block(self, u: Array) -> tuple[Array, Array]:
        """The law's values (n,) at coordinates u and their derivatives by u, shape (p, n)."""
        f, j = np.empty(self.y.size), np.empty((u.size, self.y.size))
        self.kernels.jacobian(np.ascontiguousarray(u), self.z, self.x, f, j)
        return f, j

    def at(self, runs: NDArray[np.int64]) -> Problem:
        """The same of some runs; ``data`` stays that of all."""
        z, x = np.ascontiguousarray(self.z[:, runs]), np.ascontiguousarray(self.x[:, runs])
        return replace(self, z=z, x=x, y=self.y[runs], s=self.s[runs], w=self.w[runs])

    def residuals(self, v: Array) -> tuple[Array, Array]:
        """r (n,) in units of the known noise, and its derivatives by v, shape (n, q)."""
        f, j = self.block(self.coordinates.expand(v))
        slope = self.s / f if self.criterion.log else self.s
        values = np.log(f) if self.criterion.log else f
        return self.s * (values - self.y), (slope * (self.coordinates.spread.T @ j)).T

    def total(self, v: Array) -> float:
        """The objective at v."""
        r, _ = self.residuals(v)
        return float(self.w @ rho(r, self.criterion.delta, self.criterion.sides))

    def absent(self, v: Array) -> NDArray[np.bool_]:
        """Scales that have run out of the law, shape (R, p) for v (R, q): too small to see, or beyond any number."""
        from isoflop.fitting.solver.screen import reach

        u = np.ascontiguousarray(self.coordinates.expand(v))
        seen = np.empty_like(u)
        reach(self.kernels.jacobian, u, *self._corners, seen)
        with np.errstate(divide="ignore", over="ignore"):
            size = np.abs(np.log(np.abs(self.natural(v))))
        free = np.any(self.coordinates.spread != 0.0, axis=1)
        gone: NDArray[np.bool_] = np.array(self.law.code.LOG) & free & ~((seen > _PRESENT) & (size < _BEYOND))
        return gone

    @cached_property
    def _corners(self) -> tuple[Array, Array]:
        """The runs with the smallest and largest value of each input: what a power does, it does most there."""
        inputs = np.concatenate([self.z, self.x])  # those that may be zero have no logarithm
        rows = np.unique(np.concatenate([inputs.argmin(axis=1), inputs.argmax(axis=1)]))
        return np.ascontiguousarray(self.z[:, rows]), np.ascontiguousarray(self.x[:, rows])
