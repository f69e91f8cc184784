"""Points laid out for passes: logarithms in blocks, and the sums over them at one parameter vector."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
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

_IDLE = 2**23
"""Numbers that stay for the next fit."""


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
        inputs, raw, size = len(law.inputs), _raw(law), _block()
        count = numbers.size // (_width(law) * size)
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
    """

    blocks: Blocks
    n: int
    w: Array
    s: Array


def of_problem(problem: Problem) -> list[Laid]:
    """The runs of a problem, centred as they are there, a chunk at a time."""
    size, n = _block(), problem.y.size
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


class Desk:
    """Memory of one worker: a chunk as doubles and in blocks, overwritten by the next."""

    def __init__(self, law: Law) -> None:
        self.numbers = lend((len(law.inputs) + 1) * CHUNK)
        self.room = lend(_width(law) * CHUNK)
        self.blocks = Blocks.of(law, self.room)

    def raw(self, rows: int, n: int) -> Array:
        """Room for ``rows`` columns of n points."""
        return self.numbers[: rows * n].reshape(rows, n)

    def close(self) -> None:
        """Give the memory back; it is another's then."""
        take_back(self.numbers)
        take_back(self.room)


class Shelf:
    """Memory for points that stay between passes, given out in stretches."""

    def __init__(self, law: Law, points: int) -> None:
        self.room = lend(_width(law) * points)
        self.blocks = Blocks.of(law, self.room)
        self.taken, self.lock = 0, threading.Lock()

    def take(self, points: int) -> Blocks | None:
        """Room for some more, where there is any."""
        count = blocks_of(points)
        with self.lock:
            first, self.taken = self.taken, self.taken + count
        return self.blocks.part(first, count) if first + count <= len(self.blocks.y) else None

    def close(self) -> None:
        """Give the memory back; it is another's then."""
        take_back(self.room)


_idle: dict[int, list[Array]] = {}
_counting = threading.Lock()


def lend(size: int) -> Array:
    """Memory for numbers, (size,): of an earlier fit where there is any.

    New pages come from the system one at a time, zeroed: of a million points they took as long as their logarithms.
    """
    with _counting:
        found = _idle.get(size)
        return found.pop() if found else np.empty(size)


def take_back(numbers: Array) -> None:
    """Keep it for the next fit; all that is kept is no more than 64 MiB, other sizes go first."""
    with _counting:
        if sum(size * len(some) for size, some in _idle.items()) + numbers.size > _IDLE:
            _idle.clear()
        if numbers.size <= _IDLE:
            _idle.setdefault(numbers.size, []).append(numbers)


def _raw(law: Law) -> int:
    return len(law.inputs) if any(law.code.RAW) else 0


def _width(law: Law) -> int:
    """Numbers a point."""
    return len(law.inputs) + _raw(law) + 1


def _block() -> int:
    from isoflop.fitting.solver.polish import BLOCK

    return BLOCK


def blocks_of(points: int) -> int:
    """How many blocks points fill."""
    return -(-points // _block())


def lay_out(law: Law, logs: bool, raw: Array, into: Blocks) -> bool:
    """Fill the first blocks of ``into`` from columns (inputs + 1, n), the output last; False: a bad value."""
    from isoflop.fitting.solver.accumulate import lay_out as fill

    count = blocks_of(raw.shape[1])
    bad: int = fill(raw, ~np.array(law.code.POSITIVE), any(law.code.RAW), logs, *into.part(0, count))
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
        return found

    return over
