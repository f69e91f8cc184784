"""Curves condensed to the nodes of their stretches, and by how much their sums then differ from those of the points."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.batches import CHUNK
from isoflop.fitting.laid import NO_COLUMN, Blocks, Laid, block_size, blocks_of, width
from isoflop.fitting.memory import lend, take_back
from isoflop.fitting.problem import Problem
from isoflop.laws.law import Law

Array = NDArray[np.float64]


_AT_ONCE = 512
"""Stretches whose derivatives stay in the second-level cache."""

_ROOM = 2 * CHUNK
"""Points of a book: the last chunk may stay as it is, and a hundred that were condensed stand before it. Each book is
a call of the compiled sums, 60 us, whatever it holds: books of one chunk were most of what a step cost."""


class Book:
    """What chunks come to, written one after another until there is no room for the next.

    The sums of squares of any number of curves are those of a few hundred points of each: a store is read once.
    """

    def __init__(self, law: Law) -> None:
        self.signed = ~np.array(law.code.POSITIVE)
        self.room = lend((width(law) + 2) * _ROOM)
        self.blocks = Blocks.of(law, self.room[: width(law) * _ROOM])
        self.w, self.spread = np.split(self.room[width(law) * _ROOM :], 2)
        self.n, self.left = 0, 0.0

    def has_room(self, n: int) -> bool:
        """Whether n points more can be written whatever they come to."""
        from isoflop.fitting.solver.condense import NODES

        return self.n + NODES * -(-n // NODES) <= _ROOM

    def write(self, laid: Laid) -> None:
        """Add points that all weigh 1, without known noise."""
        from isoflop.fitting.solver.condense import condense

        self.n, left = condense(*laid.blocks, laid.n, self.signed, *self.blocks, self.w, self.spread, self.n)
        self.left += left

    def read(self) -> Laid:
        """What was written, gone when the next is; the book is empty then."""
        from isoflop.fitting.solver.condense import NODES

        n, size = self.n, block_size()
        blocks = self.blocks.part(0, blocks_of(n))
        for rows in blocks:
            # the last block is filled up with copies that will weigh nothing
            rows[-1:, ..., n - size * (len(rows) - 1) :] = rows[-1:, ..., :1]
        w = self.w[:n]
        found = Laid(blocks, n, NO_COLUMN if (w == 1.0).all() else w, NO_COLUMN, self.spread[: n // NODES], self.left)
        self.n, self.left = 0, 0.0
        return found

    def close(self) -> None:
        """Give the memory back; it is another's then."""
        take_back(self.room)


def missed(problem: Problem, v: Array, chunks: Iterable[Laid], centre: Array) -> Array:
    """What the gradient by the law's coordinates, shape (p,), misses at most where nodes stand for points.

    With J the derivative of the residual F - y by a parameter and c any number, the nodes of a stretch give the sum of
    J (F - y) over its points but for the sums of D[J (F - c)] and of (y - c) D[J], D[g] being g less its interpolation.
    D swings as the Chebyshev polynomial of one degree more does and is evaluated where that is largest.
    """
    from isoflop.fitting.solver.condense import AT, LAGRANGE, NODES

    swings = np.cos(np.pi * np.arange(NODES + 1) / NODES)
    interpolate = LAGRANGE @ np.cos(np.outer(np.arange(NODES), np.arccos(swings)))
    sums = np.zeros(len(problem.law.names))
    for laid in chunks:
        chosen = np.flatnonzero(laid.spread >= 0.0)
        for first in range(0, chosen.size, _AT_ONCE):
            z, x, y, w, spread = _nodes(laid, chosen[first : first + _AT_ONCE], NODES)
            half = (z[..., :1] - z[..., -1:]) / (AT[0] - AT[-1])
            there = z[..., :1] + half * (swings - AT[0])
            # along a stretch an input that does not move is what it is at its first node
            moved = x[..., :1] * np.exp(there - z[..., :1])[: len(x)]
            count = w.sum(axis=-1)
            level = ((w * y).sum(axis=-1) / count)[:, None]
            at_nodes, between = (
                _law(problem, v, at - centre[:, None, None], raw) for at, raw in ((z, x), (there, moved))
            )
            for size, a, b in (
                (count, *(j * (f - level) for f, j in (at_nodes, between))),
                (np.sqrt(count * spread), at_nodes[1], between[1]),
            ):
                sums += np.abs(b - a @ interpolate).max(axis=-1) @ size
    return sums


def _nodes(laid: Laid, stretches: NDArray[np.int64], each: int) -> tuple[Array, ...]:
    """z, x (k, stretches, each), y and w (stretches, each) of some stretches, and the spread of each, (stretches,)."""
    per_block = block_size() // each
    block, place = np.divmod(stretches, per_block)

    def of(rows: Array) -> Array:
        return rows.reshape(*rows.shape[:-1], per_block, each)[block, ..., place, :]

    z, x, y = laid.blocks
    w = laid.w.reshape(-1, each)[stretches] if laid.w.size else np.ones((stretches.size, each))
    return of(z).swapaxes(0, 1), of(x).swapaxes(0, 1), of(y), w, laid.spread[stretches]


def _law(problem: Problem, v: Array, z: Array, x: Array) -> tuple[Array, Array]:
    """What is compared with y, shape (...), and its derivatives by the law's coordinates (p, ...), at z (k, ...)."""
    f, slopes = np.empty(z[0].size), np.empty((len(problem.law.names), z[0].size))
    u = np.ascontiguousarray(problem.coordinates.expand(v))
    problem.kernels.jacobian(u, *(np.ascontiguousarray(a.reshape(len(a), f.size)) for a in (z, x)), f, slopes)
    if problem.criterion.log:
        slopes, f = slopes / f, np.log(f)
    return f.reshape(z.shape[1:]), slopes.reshape(len(slopes), *z.shape[1:])
