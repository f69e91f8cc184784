"""Points laid out for passes: logarithms in blocks, and the sums over them at one parameter vector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.batches import CHUNK
from isoflop.fitting.problem import Problem
from isoflop.laws.law import Law

Array = NDArray[np.float64]

NO_COLUMN = np.empty(0)
"""Weights, or one over the noise, where all are 1."""

_OF_SQUARES = np.array([0.5, 0.0, 0.0, 1.0, 1.0, 0.0])
"""What squares of residuals add to the totals of least squares."""


class Blocks(NamedTuple):
    """Room for points.

    Attributes:
        z, x: shapes (blocks, inputs, BLOCK) and (blocks, inputs or 0, BLOCK): logarithms, not centred, and inputs.
        y: outputs, as logarithms where they are compared, shape (blocks, BLOCK).
    """

    z: NDArray[np.float64]
    x: NDArray[np.float64]
    y: Array

    @classmethod
    def of(cls, law: Law, numbers: Array) -> Blocks:
        """As many as fit into memory for numbers, (n,)."""
        inputs, raw, size = len(law.inputs), _raw(law), block_size()
        count = numbers.size // (width(law) * size)
        ends = np.cumsum([count * inputs * size, count * raw * size, count * size])
        z, x, y = np.split(numbers[: ends[-1]], ends[:-1])
        return cls(z.reshape(count, inputs, size), x.reshape(count, raw, size), y.reshape(count, size))

    def part(self, first: int, count: int) -> Blocks:
        """Some of them."""
        return Blocks(*(a[first : first + count] for a in self))


@dataclass(frozen=True)
class Laid:
    """Points in blocks, ready for any number of passes.

    Attributes:
        blocks: the last one filled up.
        n: points.
        w, s: weights and one over the noise, (n,), or empty where all are 1.
        spread: where some are nodes that stand for a stretch of points, for each NODES points the sum of squares about
            their mean of the observations that they stand for, -1 for points themselves, (n / NODES,); else empty.
        left: squares of residuals that the nodes leave out, whatever the parameters.
    """

    blocks: Blocks
    n: int
    w: Array
    s: Array
    spread: Array = field(default_factory=lambda: NO_COLUMN)
    left: float = 0.0


def of_problem(problem: Problem) -> list[Laid]:
    """The runs of a problem, centred as they are there, a chunk at a time."""
    size, n = block_size(), problem.y.size
    alike = bool((problem.w == 1.0).all()), bool((problem.s == 1.0).all())

    def blocks(rows: Array) -> Array:
        """Rows (k, m) as (blocks, k, BLOCK), the last one filled up with copies of the last point."""
        k, m = rows.shape
        full = np.concatenate([rows, np.repeat(rows[:, -1:], -m % size, axis=1)], axis=1)
        return np.ascontiguousarray(full.reshape(k, full.shape[1] // size, size).transpose(1, 0, 2))

    found = []
    for first in range(0, n, CHUNK):
        some = slice(first, first + CHUNK)
        y = blocks(problem.y[None, some])[:, 0]
        w, s = (NO_COLUMN if one else a[some] for one, a in zip(alike, (problem.w, problem.s), strict=True))
        found.append(
            Laid(Blocks(blocks(problem.z[:, some]), blocks(problem.x[:, some]), y), min(CHUNK, n - first), w, s)
        )
    return found


def _raw(law: Law) -> int:
    return len(law.inputs) if any(law.code.RAW) else 0


def width(law: Law) -> int:
    """Numbers a point."""
    return len(law.inputs) + _raw(law) + 1


def block_size() -> int:
    """Points of a block."""
    from isoflop.fitting.solver.polish import BLOCK

    return BLOCK


def blocks_of(points: int) -> int:
    """How many blocks points fill."""
    return -(-points // block_size())


def lay_out(law: Law, signed: Sequence[bool], logs: bool, raw: Array, into: Blocks) -> bool:
    """Fill the first blocks of ``into`` from columns (inputs + 1, n), the output last; False: a bad value.

    ``signed`` says which columns may have any sign.
    """
    from isoflop.fitting.solver.accumulate import lay_out as fill

    count = blocks_of(raw.shape[1])
    bad: int = fill(raw, np.array(signed), any(law.code.RAW), logs, *into.part(0, count))
    return bad < 0


@dataclass
class Sums:
    """Sums over points at one vector: gradient and (Hessian, Gauss-Newton) by the law's coordinates, and totals.

    Attributes:
        g, h: shapes (p,) and (2, p, p), lower triangles.
        totals: of rho, w, w s^2, w r^2, w psi^2, and w of residuals within delta.
        by_run: gradients (p,) of single runs, where they were asked for.
    """

    g: Array
    h: Array
    totals: Array
    by_run: dict[Any, Array] = field(default_factory=dict)

    @classmethod
    def zero(cls, p: int) -> Sums:
        """Of no points."""
        return cls(np.zeros(p), np.zeros((2, p, p)), np.zeros(6))

    def add(self, other: Sums) -> None:
        """Take in another stretch."""
        self.g += other.g
        self.h += other.h
        self.totals += other.totals
        for run, g in other.by_run.items():
            self.add_run(run, g)

    def add_run(self, run: Any, g: Array) -> None:
        """Take in another stretch of a run."""
        self.by_run[run] = self.by_run[run] + g if run in self.by_run else g

    @property
    def objective(self) -> float:
        """The sum of w rho(r); infinite where the law has no value."""
        return float(self.totals[0]) if np.isfinite(self.totals[0]) else float("inf")

    @property
    def residual_rms(self) -> float:
        """Root mean square of the residuals."""
        return float(np.sqrt(self.totals[3] / self.totals[1]))


def summing(problem: Problem, v: Array, delta: float, newton: bool, centre: Array) -> Callable[[Iterable[Laid]], Sums]:
    """What sums over chunks at free coordinates ``v``; ``centre`` (inputs,) is still to be taken off their logarithms.

    What a call needs beside its chunks is made ready once: it took half as long as a small chunk.
    """
    from isoflop.fitting.solver.accumulate import accumulate
    from isoflop.fitting.solver.compile import pointer
    from isoflop.fitting.solver.sums import DERIVATIVES, derivatives

    _, jacobian, curvature = problem.kernels.pointers
    units = (pointer(derivatives, DERIVATIVES), jacobian, curvature)
    u = np.ascontiguousarray(problem.coordinates.expand(v))
    _, up, down, logs = problem.rho

    def over(chunks: Iterable[Laid]) -> Sums:
        found = Sums.zero(u.size)
        for laid in chunks:
            accumulate(
                *units, u, centre, *laid.blocks, laid.w, laid.s, laid.n,
                delta, up, down, logs, newton, found.g, found.h, found.totals,
            )  # fmt: skip
            found.totals += laid.left * _OF_SQUARES
        return found

    return over
