"""Where points are laid out: the desk of a worker, cleared for every chunk, and the shelf of those that stay."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.batches import CHUNK
from isoflop.fitting.condensed import Book
from isoflop.fitting.laid import Blocks, Laid, blocks_of, width
from isoflop.fitting.memory import lend, take_back
from isoflop.laws.law import Law

Array = NDArray[np.float64]


class Desk:
    """Memory of one worker: a chunk as doubles and in blocks, overwritten by the next; and what chunks come to."""

    def __init__(self, law: Law, condense: bool) -> None:
        self.numbers = lend((len(law.inputs) + 1) * CHUNK)
        self.room = lend(width(law) * CHUNK)
        self.blocks = Blocks.of(law, self.room)
        self.book = Book(law) if condense else None

    def raw(self, rows: int, n: int) -> Array:
        """Room for ``rows`` columns of n points."""
        return self.numbers[: rows * n].reshape(rows, n)

    def close(self) -> None:
        """Give the memory back; it is another's then."""
        take_back(self.numbers)
        take_back(self.room)
        if self.book:
            self.book.close()


class Shelf:
    """Memory for points that stay between passes."""

    def __init__(self, law: Law, points: int) -> None:
        self.room = lend(width(law) * points)
        self.blocks = Blocks.of(law, self.room)
        self.taken, self.lock = 0, threading.Lock()

    def keep(self, laid: Laid) -> Laid | None:
        """The same, in memory of its own; None where there is no room."""
        count = blocks_of(laid.n)
        with self.lock:
            first, self.taken = self.taken, self.taken + count
        if first + count > len(self.blocks.y):
            return None
        own = self.blocks.part(first, count)
        for ours, theirs in zip(own, laid.blocks, strict=True):
            ours[:] = theirs
        return Laid(own, laid.n, laid.w.copy(), laid.s, laid.spread.copy(), laid.left)

    def close(self) -> None:
        """Give the memory back; it is another's then."""
        take_back(self.room)
