"""A part of a compacted store: runs in the order of their ids, and their points in the same order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from isoflop.errors import StoreError
from isoflop.runs.folder import Folder
from isoflop.runs.manifest import PartFiles
from isoflop.runs.points import Columns
from isoflop.runs.record import RunRecord, decode_record

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

RECORD, COUNT, COLUMNS, ATTEMPTS = "store.record", "store.points", "store.columns", "store.attempts"
"""Columns of the runs beside those of a table: the record as JSON, how many points there are, the names of their
columns as JSON, and the lines of earlier, interrupted attempts, ``{"points.1.jsonl": "..."}``, as JSON too."""
INTERNAL = (RECORD, COUNT, COLUMNS, ATTEMPTS)
RUN = "run"
"""The column of points that says whose they are."""


@dataclass(frozen=True)
class HeldRun:
    """A run in memory, on its way into a part.

    Attributes:
        id: of the run.
        state: of the run.
        record: as JSON.
        n_points: how many points it has.
        points: their columns, each (n_points,).
        attempts: lines of earlier attempts by the name of their file.
    """

    id: str
    state: str
    record: bytes
    n_points: int
    points: Columns
    attempts: Mapping[str, str]

    @classmethod
    def of(cls, record: RunRecord, points: Columns, attempts: Mapping[str, str]) -> HeldRun:
        n_points = len(next(iter(points.values()), ()))
        return cls(record.id, record.status, msgspec.json.encode(record), n_points, points, attempts)

    @property
    def held(self) -> int:
        """Bytes that it takes."""
        return len(self.record) + sum(map(len, self.attempts.values())) + sum(v.nbytes for v in self.points.values())


class Part:
    """Reads one part; its files stay open, so that they can be read to the end when a later part has replaced them.

    Raises:
        StoreError: a file is missing or damaged, by everything that reads it.
    """

    def __init__(self, folder: Folder, files: PartFiles) -> None:
        self.files = files
        self._folder = folder
        self._runs = self._open(files.runs.name)
        self._points = self._open(files.points.name)

    def _open(self, name: str) -> parquet.ParquetFile:
        from pyarrow import parquet

        with self._explained(name):
            return parquet.ParquetFile(self._folder.open(name))

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except StoreError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise StoreError(
                f"{self._folder.path / name} is damaged: {error}", hint="bring it back from a copy of the store"
            ) from error

    @cached_property
    def ids(self) -> NDArray[np.bytes_]:
        """Shape (n_runs,), sorted."""
        return np.array(self._column("id").to_pylist(), dtype=np.bytes_)

    @cached_property
    def states(self) -> list[str]:
        """Of each run."""
        return list(self._column("state").to_pylist())

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Shape (n_runs + 1,): the points of run i are rows offsets[i] to offsets[i + 1]."""
        counts = self._column(COUNT).to_numpy()
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def index(self, run: str) -> int | None:
        """Where a run stands, or None where it is in another part."""
        wanted = run.encode()
        at = int(np.searchsorted(self.ids, wanted))
        return at if at < len(self.ids) and self.ids[at] == wanted else None

    def record(self, index: int) -> RunRecord:
        [content] = self._slice(self._runs, self.files.runs.name, [RECORD], index, index + 1)[RECORD].to_pylist()
        return self._decoded(content)

    def records(self) -> Iterator[RunRecord]:
        """All of them, a few in memory at a time."""
        with self._explained(self.files.runs.name):
            for batch in self._runs.iter_batches(1024, columns=[RECORD]):
                for content in batch.column(0).to_pylist():
                    yield self._decoded(content)

    def table(self) -> pa.Table:
        """One row a run."""
        names = [name for name in self._runs.schema_arrow.names if name not in INTERNAL]
        with self._explained(self.files.runs.name):
            return self._runs.read(columns=names).replace_schema_metadata(None)

    def points(self, index: int) -> Columns:
        """The points of one run, in the columns that it has."""
        names = json.loads(
            self._slice(self._runs, self.files.runs.name, [COLUMNS], index, index + 1)[COLUMNS][0].as_py()
        )
        first, last = self.offsets[index : index + 2].tolist()
        table = self._slice(self._points, self.files.points.name, names, first, last)
        return {name: _float(table[name]) for name in names}

    def runs(self) -> Iterator[HeldRun]:
        """Every run with all that the part has of it; all points are in memory at once."""
        with self._explained(self.files.points.name):
            table = self._points.read()
        columns = {name: _float(table[name]) for name in table.column_names if name != RUN}
        with self._explained(self.files.runs.name):
            kept = self._runs.read(columns=[RECORD, COLUMNS, ATTEMPTS])
        ids, ends = [run.decode() for run in self.ids.tolist()], self.offsets.tolist()
        rows = zip(
            ids, self.states, ends, ends[1:], *(kept[name].to_pylist() for name in kept.column_names), strict=False
        )
        for run, state, begin, end, record, names, attempts in rows:
            points = {name: columns[name][begin:end] for name in json.loads(names)}
            yield HeldRun(run, state, record.encode(), end - begin, points, json.loads(attempts) if attempts else {})

    def _column(self, name: str) -> pa.ChunkedArray:
        with self._explained(self.files.runs.name):
            return self._runs.read(columns=[name])[name]

    def _slice(self, file: parquet.ParquetFile, name: str, columns: Sequence[str], first: int, last: int) -> pa.Table:
        """Rows first to last of some columns, no more row groups read than they stand in."""
        metadata = file.metadata
        with self._explained(name):
            ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
            begin, end = np.searchsorted(ends, [first, last - 1], side="right").tolist()
            groups = list(range(begin, end + 1)) if last > first else []
            before = int(ends[begin - 1]) if groups and begin else 0
            return file.read_row_groups(groups, columns=list(columns)).slice(first - before, last - first)

    def _decoded(self, content: str) -> RunRecord:
        return decode_record(content.encode(), f"a record in {self._folder.path / self.files.runs.name}")


def _float(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers as they are, null as NaN."""
    values: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    return values
