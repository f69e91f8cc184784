"""Stores of points too large for memory, read a stretch at a time, anew for each pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, nearest

CHUNK = 65536
"""Rows that are worked on at once: a few columns of them stay in the second-level cache."""

Columns = Mapping[str, NDArray[Any]]

_TEXT = (".csv", ".jsonl")


@dataclass(frozen=True)
class Part:
    """A stretch of a store.

    Attributes:
        name: what an error calls it: "runs.parquet, row group 3".
        read: its columns, a few rows at a time; called in a worker thread.
    """

    name: str
    read: Callable[[], Iterable[Columns]]


@dataclass(frozen=True)
class Batches:
    """Points of a store, in an order that is the same in every pass.

    Attributes:
        source: Parquet files (a path, a folder, a list of them), a ``pyarrow.dataset``, a column batch, an iterable of
            them, or a function that returns one. A batch is a mapping or an Arrow table; N in parameters, D in tokens,
            L in nats per token, S in steps. Columns are read as they are stored, float32 for one, and widened in cache.
        columns: the store's names of the law's inputs and output: ``{"S_min": "step"}``; a name that is not here is its
            own.
        decimate: points a decade that are kept of a column along a curve: ``{"S": 50}`` keeps, of consecutive rows in
            one 50th of a decade of S, the first.

    Raises:
        FitError: a source that cannot be read twice; no points a decade.
    """

    source: Any
    columns: Mapping[str, str] = field(default_factory=dict)
    decimate: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.source, Iterator):
            raise FitError(
                f"a {type(self.source).__name__} can be read once; a fit reads its points in several passes",
                hint="give the function that makes it: Batches(lambda: read_batches())",
            )
        for name, each in self.decimate.items():
            if not each > 0:
                raise FitError(f"decimate {name}: points a decade must be positive, got {each}", hint="{'S': 50}")

    def parts(self, names: Sequence[str]) -> Iterator[Part]:
        """The store from its beginning; each chunk has the columns ``names``, as the law calls them.

        Raises:
            FitError: there is nothing to read, or a column is missing.
        """
        stored = {name: self.columns.get(name, name) for name in dict.fromkeys((*names, *self.decimate))}
        for part in self._stretches(stored):
            yield Part(part.name, functools.partial(self._kept, part)) if self.decimate else part

    def _stretches(self, stored: Mapping[str, str]) -> Iterator[Part]:
        if self._paths:
            for path, metadata, groups in self._files(stored):
                for group in range(groups):
                    read = functools.partial(_row_group, path, metadata, group, stored)
                    yield Part(f"{path.name}, row group {group}", read)
        elif hasattr(self.source, "get_fragments"):
            _require(stored, self.source.schema.names, "the dataset")
            for fragment in self.source.get_fragments():
                pieces = fragment.split_by_row_group() if hasattr(fragment, "split_by_row_group") else [fragment]
                for group, piece in enumerate(pieces):
                    read = functools.partial(_piece, piece, self.source.schema, stored)
                    yield Part(f"{Path(fragment.path).name}, row group {group}", read)
        else:
            source = self.source() if callable(self.source) else self.source
            for number, batch in enumerate([source] if _is_batch(source) else source):
                yield Part(f"batch {number}", functools.partial(_batch, batch, number, stored))

    @functools.cached_property
    def _paths(self) -> tuple[Path, ...]:
        given = [self.source] if isinstance(self.source, str | Path) else self.source
        if not (isinstance(given, Sequence) and given and all(isinstance(path, str | Path) for path in given)):
            return ()
        found: list[Path] = []
        for path in map(Path, given):
            if not path.exists():
                raise FitError(f"there is no {path}", hint="a Parquet file, or a folder of them")
            if path.suffix.lower() in _TEXT:
                raise FitError(f"{path} is no Parquet file", hint="isoflop.fitting.read_file(path) gives its columns")
            found += sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        if not found:
            raise FitError(f"no Parquet files in {', '.join(map(str, given))}", hint="their names end in .parquet")
        return tuple(found)

    def _files(self, stored: Mapping[str, str]) -> Iterator[tuple[Path, Any, int]]:
        import pyarrow as pa
        from pyarrow import parquet

        for path in self._paths:
            try:
                metadata = parquet.read_metadata(path)
            except (OSError, pa.ArrowException) as error:
                raise FitError(f"cannot read {path} as Parquet: {error}") from error
            _require(stored, metadata.schema.to_arrow_schema().names, str(path))
            yield path, metadata, metadata.num_row_groups

    def _kept(self, part: Part) -> Iterator[Columns]:
        for columns in part.read():
            keep = np.ones(len(next(iter(columns.values()))), dtype=bool)
            for name, each in self.decimate.items():
                with np.errstate(divide="ignore", invalid="ignore"):
                    cell = np.floor(each * np.log10(columns[name], dtype=np.float64))
                # what has no logarithm stays, to be refused by row
                keep[1:] &= (cell[1:] != cell[:-1]) | ~np.isfinite(cell[1:])
            yield {name: values[keep] for name, values in columns.items()}

    def __str__(self) -> str:
        if self._paths:
            first = str(self._paths[0])
            return first if len(self._paths) == 1 else f"{first} and {len(self._paths) - 1} more"
        return "a dataset" if hasattr(self.source, "get_fragments") else "batches of columns"


def _is_batch(source: object) -> bool:
    return isinstance(source, Mapping) or hasattr(source, "column_names") or hasattr(source, "columns")


def is_store(data: object) -> bool:
    """Whether ``data`` is read in passes: a path or several, a dataset, :class:`Batches`, or a function of batches."""
    several = isinstance(data, list | tuple) and bool(data) and all(isinstance(path, str | Path) for path in data)
    return isinstance(data, Batches | str | Path) or several or hasattr(data, "get_fragments") or callable(data)


def _row_group(path: Path, metadata: Any, group: int, stored: Mapping[str, str]) -> Iterator[Columns]:
    from pyarrow import parquet

    with parquet.ParquetFile(path, metadata=metadata) as file:
        names = list(dict.fromkeys(stored.values()))
        for batch in file.iter_batches(CHUNK, row_groups=[group], columns=names, use_threads=False):
            yield {name: _array(batch.column(column)) for name, column in stored.items()}


def _piece(piece: Any, schema: Any, stored: Mapping[str, str]) -> Iterator[Columns]:
    names = list(dict.fromkeys(stored.values()))
    for batch in piece.to_batches(schema=schema, columns=names, batch_size=CHUNK, use_threads=False):
        yield {name: _array(batch.column(column)) for name, column in stored.items()}


def _batch(batch: Any, number: int, stored: Mapping[str, str]) -> Iterator[Columns]:
    known = batch.keys() if isinstance(batch, Mapping) else getattr(batch, "column_names", None)
    if known is None:
        known = batch.schema.names if hasattr(batch, "schema") else batch.columns
    _require(stored, [str(name) for name in known], f"batch {number}")
    columns = {name: _array(batch[column]) for name, column in stored.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise FitError(f"batch {number}: columns differ in length: {lengths}")
    for first in range(0, next(iter(lengths.values())), CHUNK):
        yield {name: values[first : first + CHUNK] for name, values in columns.items()}


def _array(column: Any) -> NDArray[Any]:
    """Numbers as they are stored, nulls as NaN."""
    return np.asarray(column.to_numpy(zero_copy_only=False) if hasattr(column, "null_count") else column)


def _require(stored: Mapping[str, str], known: Iterable[str], where: str) -> None:
    known = list(known)
    for name, column in stored.items():
        if column not in known:
            close = f"{nearest(column, known)}; " if known else ""
            raise FitError(
                f"{where} has no column {column!r}; it has {', '.join(known) or 'none'}",
                hint=f"{close}Batches(source, columns={{{name!r}: ...}}) names another",
            )
