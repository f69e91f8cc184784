"""One pass over points: every chunk's sums in worker threads, added up in the order of the points."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.batches import CHUNK, Batches, Columns, Part
from isoflop.fitting.condensed import missed
from isoflop.fitting.data import RUN
from isoflop.fitting.desk import Desk, Shelf
from isoflop.fitting.laid import NO_COLUMN, Blocks, Laid, Sums, blocks_of, lay_out, summing
from isoflop.fitting.problem import Problem
from isoflop.fitting.threads import in_threads
from isoflop.laws.law import Law

Array = NDArray[np.float64]


@dataclass
class Store:
    """What a pass reads: points by the names that a law gives them.

    Attributes:
        batches: where the points are.
        law: names of the columns.
        logs: whether logarithms of the output are compared.
        weights: a column of weights, "run", or nothing.
        sigma: a column of known noise, or nothing.
        condense: whether stretches of curves are condensed to nodes, whose sums of squares are theirs.
        kept: parts that stay in memory between passes, by number.
        shelf: where they stand.
        n_parts: of the store, once it was read.
        desks: memory of workers that have none to do.
    """

    batches: Batches
    law: Law
    logs: bool = True
    weights: str | None = None
    sigma: str | None = None
    condense: bool = False
    kept: dict[int, list[Laid]] = field(default_factory=dict)
    shelf: Shelf | None = None
    n_parts: int | None = None
    desks: list[Desk] = field(default_factory=list)

    @property
    def by_run(self) -> bool:
        """Whether each run weighs 1."""
        return self.weights == RUN

    @property
    def names(self) -> tuple[str, ...]:
        """The law's columns, its output last."""
        return (*self.law.inputs, self.law.output)

    @property
    def signed(self) -> tuple[bool, ...]:
        """Which of the law's columns may have any sign: no output whose logarithm is taken."""
        return tuple(name in self.law.signed and not (self.logs and name == self.law.output) for name in self.names)

    def parts(self) -> Iterator[tuple[int, Part]]:
        """The parts and their numbers."""
        return enumerate(self.batches.parts((*self.names, *(name for name in (self.weights, self.sigma) if name))))

    @property
    def at_hand(self) -> bool:
        """Whether all points are kept, as few as they were condensed to: sums over them are no pass over points."""
        return self.condense and self.n_parts == len(self.kept)

    def read_or_kept(self) -> Iterator[Part | list[Laid]]:
        """The parts, as they were kept where they were; nothing is opened where all were, and few go together."""
        if self.n_parts == len(self.kept):
            return _together(self.kept[number] for number in range(len(self.kept)))
        return (self.kept.get(number, part) for number, part in self.parts())

    def laid(
        self,
        task: Part | list[Laid],
        points: Mapping[Any, int] | None,
        each_run: bool = False,
        look: Callable[[Columns, Array], None] = lambda columns, raw: None,
    ) -> Iterator[tuple[Any, Laid]]:
        """A part laid out, or as it was kept, with its run where each is by itself; gone when the next is asked for.

        ``look`` is shown each chunk and the law's columns of it as doubles.

        Raises:
            FitError: a value that cannot be (names file, row group and row), or points that were not there before.
        """
        if not isinstance(task, Part):
            yield from ((None, laid) for laid in task)
            return
        first = 0
        with self._desk() as desk:
            for columns in task.read():
                for run, some in by_run(columns) if each_run else [(None, columns)]:
                    n = len(some[self.law.output])
                    if desk.book and not desk.book.has_room(n):
                        yield None, desk.book.read()
                    raw = self._widen(task, some, desk)
                    look(some, raw)
                    laid = self._lay_out(task, first, some, points, raw, desk.blocks)
                    if desk.book:
                        desk.book.write(laid)
                    else:
                        yield run, laid
                    first += n
            if desk.book:
                yield None, desk.book.read()

    @contextlib.contextmanager
    def _desk(self) -> Iterator[Desk]:
        """A worker's memory, lent."""
        desk = self.desks.pop() if self.desks else Desk(self.law, self.condense)
        yield desk
        self.desks.append(desk)

    def lay_out_points(self) -> None:
        """Condense no more: from now on every pass is over the points themselves."""
        self.close()
        self.condense = False

    def close(self) -> None:
        """Give the memory of what was kept, and of workers, to the next fit."""
        self.kept.clear()
        for desk in self.desks:
            desk.close()
        if self.shelf:
            self.shelf.close()
        self.desks, self.shelf = [], None

    def _widen(self, part: Part, columns: Columns, desk: Desk) -> Array:
        """The law's columns of a chunk as doubles, shape (columns, n), on a desk.

        Raises:
            FitError: a column is not numeric.
        """
        raw = desk.raw(len(self.names), len(columns[self.law.output]))
        for row, name in zip(raw, self.names, strict=True):
            _widen(row, columns[name], f"{part.name}: column {name!r}")
        return raw

    def _lay_out(
        self, part: Part, first: int, columns: Columns, points: Mapping[Any, int] | None, raw: Array, into: Blocks
    ) -> Laid:
        """A chunk whose rows begin at ``first``, widened, laid into blocks.

        Raises:
            FitError: a value that cannot be, or points that were not there before.
        """
        n = raw.shape[1]
        if self.weights or self.sigma:
            self._refuse(part, first, columns)
        w = _weights(self, columns, points)
        s = 1.0 / columns[self.sigma].astype(np.float64) if self.sigma else NO_COLUMN
        if not lay_out(self.law, self.signed, self.logs, raw, into):
            self._refuse(part, first, columns)
        return Laid(into.part(0, blocks_of(n)), n, w, s)

    def _refuse(self, part: Part, first: int, columns: Columns) -> None:
        """Name the first row of a chunk, whose rows begin at ``first``, that has a value that cannot be.

        Raises:
            FitError: there is one.
        """
        found = []
        for name, signed in zip(self.names, self.signed, strict=True):
            values = columns[name].astype(np.float64)
            bad, rule = ~np.isfinite(values), "finite"
            if not signed:
                bad, rule = bad | ~(values > 0), "positive and finite"
            found += _first(name, bad, rule)
        if self.sigma:
            values = columns[self.sigma].astype(np.float64)
            found += _first(self.sigma, ~(np.isfinite(values) & (values > 0)), "positive and finite")
        if self.weights and not self.by_run:
            values = columns[self.weights].astype(np.float64)
            found += _first(self.weights, ~(np.isfinite(values) & (values >= 0)), "finite and not negative")
        if found:
            row, name, rule = min(found)
            kept = ", counted after decimation" if self.batches.decimate else ""
            raise FitError(
                f"{part.name}, row {first + row}{kept}: {name} = {columns[name][row]:g}; every {name} must be {rule}",
                hint="drop or repair those rows",
            )


def _together(parts: Iterable[list[Laid]]) -> Iterator[list[Laid]]:
    """The same parts, several at once until they have points enough for a thread."""
    some: list[Laid] = []
    for part in parts:
        some += part
        if sum(laid.n for laid in some) >= CHUNK:
            yield some
            some = []
    if some:
        yield some


def _first(name: str, bad: NDArray[np.bool_], rule: str) -> list[tuple[int, str, str]]:
    return [(int(np.argmax(bad)), name, rule)] if bad.any() else []


def stretches(column: NDArray[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Values of a column where they change, and how many rows each lasts."""
    starts = np.flatnonzero(np.concatenate([[True], column[1:] != column[:-1]])) if column.size else np.empty(0, int)
    return column[starts].tolist(), np.diff(np.append(starts, column.size))


def sums(
    store: Store,
    problem: Problem,
    v: Array,
    points: Mapping[Any, int],
    delta: float,
    *,
    newton: bool = True,
    each_run: bool = False,
) -> Sums:
    """A pass at free coordinates ``v``.

    Args:
        store: the points.
        problem: gives coordinates, kernels and the criterion; its own columns are not read.
        v: shape (q,).
        points: how many points each run has, where runs weigh 1.
        delta: of the criterion.
        newton: whether the Hessian is asked for; else the Gauss-Newton matrix stands for it.
        each_run: keep the gradient of every run.

    Raises:
        FitError: a value that cannot be (names file, row group and row), or points that were not there before.
    """

    over = summing(problem, v, delta, newton, problem.coordinates.centre)

    def work(task: Part | list[Laid]) -> Sums:
        own = Sums.zero(len(problem.law.names))
        for run, laid in store.laid(task, points, each_run):
            found = over([laid])
            own.add(found)
            if each_run:
                own.add_run(run, found.g)
        return own

    total = Sums.zero(len(problem.law.names))
    for part in in_threads(work, store.read_or_kept()):
        total.add(part)
    return total


def missed_by(store: Store, problem: Problem, v: Array) -> Array:
    """What the gradient of a condensed store by the law's coordinates, (p,), misses at most at free coordinates v."""

    def work(task: Part | list[Laid]) -> Array:
        if not isinstance(task, Part):
            return missed(problem, v, task, problem.coordinates.centre)
        each = (missed(problem, v, [laid], problem.coordinates.centre) for _, laid in store.laid(task, None))
        return sum(each, start=np.zeros(len(problem.law.names)))

    return sum(in_threads(work, store.read_or_kept()), start=np.zeros(len(problem.law.names)))


def sums_in_memory(problem: Problem, v: Array, delta: float, *, newton: bool = True) -> Sums:
    """The same over the runs of the problem itself."""
    over = summing(problem, v, delta, newton, np.zeros(len(problem.law.inputs)))
    total = Sums.zero(len(problem.law.names))
    for found in in_threads(lambda laid: over([laid]), problem.laid):
        total.add(found)
    return total


def by_run(columns: Columns) -> Iterator[tuple[Any, Columns]]:
    """The stretches of runs in a chunk."""
    at = 0
    for run, length in zip(*stretches(columns[RUN]), strict=True):
        yield run, {name: values[at : at + length] for name, values in columns.items()}
        at += length


def _widen(row: Array, values: NDArray[Any], what: str) -> None:
    try:
        np.copyto(row, values, casting="same_kind")
    except TypeError as error:
        raise FitError(f"{what} is not numeric: {values.dtype}") from error


def _weights(store: Store, columns: Columns, points: Mapping[Any, int] | None) -> Array:
    """Of the points of a chunk; none before those of each run were counted."""
    if store.weights is None or (store.by_run and points is None):
        return NO_COLUMN
    if points is None or not store.by_run:
        return np.ascontiguousarray(columns[store.weights], dtype=np.float64)
    runs, lengths = stretches(columns[RUN])
    try:
        return np.repeat([1.0 / points[run] for run in runs], lengths)
    except KeyError as error:
        raise FitError(f"run {error} was not there in the first pass", hint="each pass must give the same") from error
