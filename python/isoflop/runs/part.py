"""A part of a compacted store: runs in the order of their ids, and their points in the same order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from isoflop.runs.folder import Folder
from isoflop.runs.manifest import PartFiles
from isoflop.runs.part_file import PartFile, to_floats
from isoflop.runs.points import RUN, Columns
from isoflop.runs.record import RunRecord, decode_record

if TYPE_CHECKING:
    import pyarrow as pa

RECORD, COUNT, COLUMNS, ATTEMPTS = "store.record", "store.points", "store.columns", "store.attempts"
"""Columns of the runs beside those of a table: the record as JSON, how many points there are, the names of their
columns as JSON, and the lines of earlier, interrupted attempts, ``{"points.1.jsonl": "..."}``, as JSON too."""
INTERNAL = (RECORD, COUNT, COLUMNS, ATTEMPTS)


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
        self._runs = PartFile(folder, files.runs.name)
        self.rows = PartFile(folder, files.points.name)

    @cached_property
    def ids(self) -> NDArray[np.bytes_]:
        """Shape (n_runs,), sorted."""
        return np.array(self._runs.read(["id"])["id"].to_pylist(), dtype=np.bytes_)

    @cached_property
    def states(self) -> list[str]:
        """Of each run."""
        texts = self._runs.read(["state"])["state"].combine_chunks().dictionary_encode()
        known = texts.dictionary.to_pylist()
        return [known[code] for code in texts.indices.to_pylist()]

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Shape (n_runs + 1,): the points of run i are ``rows`` offsets[i] to offsets[i + 1]."""
        counts = self._runs.read([COUNT])[COUNT].to_numpy()
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @property
    def columns(self) -> list[str]:
        """Of the points of its runs."""
        return [name for name in self.rows.names if name != RUN]

    def index(self, run: str) -> int | None:
        """Where a run stands, or None where it is in another part."""
        wanted = run.encode()
        at = int(np.searchsorted(self.ids, wanted))
        return at if at < len(self.ids) and self.ids[at] == wanted else None

    def record(self, index: int) -> RunRecord:
        [content] = self._runs.rows([RECORD], index, index + 1)[RECORD].to_pylist()
        return self._decoded(content)

    def records(self) -> Iterator[RunRecord]:
        """All of them, a few in memory at a time."""
        return map(self._decoded, self._runs.texts(RECORD))

    def table(self) -> pa.Table:
        """One row a run."""
        return self._runs.read([name for name in self._runs.names if name not in INTERNAL])

    def points(self, index: int) -> Columns:
        """The points of one run, in the columns that it has."""
        names = json.loads(self._runs.rows([COLUMNS], index, index + 1)[COLUMNS][0].as_py())
        first, last = self.offsets[index : index + 2].tolist()
        table = self.rows.rows(names, first, last)
        return {name: to_floats(table[name]) for name in names}

    def runs(self) -> Iterator[HeldRun]:
        """Every run with all that the part has of it; all points are in memory at once."""
        table = self.rows.read(self.columns)
        columns = {name: to_floats(table[name]) for name in self.columns}
        kept = self._runs.read([RECORD, COLUMNS, ATTEMPTS])
        begin, *ends = self.offsets.tolist()
        fields = (kept[name].to_pylist() for name in (RECORD, COLUMNS, ATTEMPTS))
        for run, state, end, record, names, attempts in zip(self.ids.tolist(), self.states, ends, *fields, strict=True):
            points = {name: columns[name][begin:end] for name in json.loads(names)}
            earlier = json.loads(attempts) if attempts else {}
            yield HeldRun(run.decode(), state, record.encode(), end - begin, points, earlier)
            begin = end

    def _decoded(self, content: str) -> RunRecord:
        return decode_record(content.encode(), f"a record in {self._runs.path}")
