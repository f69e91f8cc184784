"""Writing a part: the files that :class:`isoflop.runs.part.Part` reads."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from isoflop.runs.folder import Folder
from isoflop.runs.manifest import File, PartFiles
from isoflop.runs.part import ATTEMPTS, COLUMNS, COUNT, RECORD, HeldRun
from isoflop.runs.points import RUN, typed
from isoflop.runs.record import RunRecord
from isoflop.runs.rows import joined, row_of, to_table

if TYPE_CHECKING:
    import pyarrow as pa

_POINTS_A_GROUP = 2**18
_RUNS_A_GROUP = 2**12
_RECORD = msgspec.json.Decoder(RunRecord)


def write_part(folder: Folder, number: int, runs: Sequence[HeldRun]) -> PartFiles:
    """Write runs, sorted by id, as the files of a part; no reader knows of them yet.

    Raises:
        StoreError: the disk refuses.
    """
    name = f"{number}-{secrets.token_hex(4)}.parquet"  # two stores can be merged without renaming
    return PartFiles(
        n_runs=len(runs),
        n_points=sum(run.n_points for run in runs),
        held=sum(run.held for run in runs),
        points=_write(folder, f"points-{name}", _points(runs)),
        runs=_write(folder, f"runs-{name}", _rows(runs)),
    )


def _write(folder: Folder, name: str, groups: Iterator[pa.Table]) -> File:
    """A Parquet file with a row group for each table; all have the columns of the first."""
    import pyarrow as pa
    from pyarrow import parquet

    first = next(groups)
    encodings = {
        field.name: "BYTE_STREAM_SPLIT" if pa.types.is_floating(field.type) else "DELTA_BINARY_PACKED"
        for field in first.schema
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    }
    with (
        folder.create(name) as file,
        parquet.ParquetWriter(
            file,
            first.schema,
            compression="zstd",
            use_dictionary=[field.name for field in first.schema if field.name not in encodings],
            column_encoding=encodings,
        ) as writer,
    ):
        writer.write_table(first)
        for table in groups:
            writer.write_table(table)
    content = folder.read(name)
    assert content is not None, "it was just written"
    return File(name, len(content), hashlib.sha256(content).hexdigest())


def _points(runs: Sequence[HeldRun]) -> Iterator[pa.Table]:
    import pyarrow as pa

    names = dict.fromkeys(name for run in runs for name in run.points)
    columns = {name: typed(name, np.concatenate([_values(run, name) for run in runs])) for name in names}
    offsets = np.concatenate([[0], np.cumsum([run.n_points for run in runs])])
    for begin in range(0, max(1, int(offsets[-1])), _POINTS_A_GROUP):
        end = min(begin + _POINTS_A_GROUP, int(offsets[-1]))
        first, last = int(np.searchsorted(offsets, begin, side="right")) - 1, int(np.searchsorted(offsets, end))
        codes = np.repeat(np.arange(last - first, dtype=np.int32), np.diff(offsets[first : last + 1].clip(begin, end)))
        labels = pa.array([run.id for run in runs[first:last]], pa.string())
        which = pa.DictionaryArray.from_arrays(pa.array(codes), labels)
        yield pa.table({RUN: which, **{name: column[begin:end] for name, column in columns.items()}})


def _values(run: HeldRun, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values = run.points.get(name)
    return np.full(run.n_points, np.nan) if values is None else values


def _rows(runs: Sequence[HeldRun]) -> Iterator[pa.Table]:
    import pyarrow as pa

    groups = [runs[begin : begin + _RUNS_A_GROUP] for begin in range(0, len(runs), _RUNS_A_GROUP)]
    # The columns of a file are those of all its groups; their records come later, a group at a time.
    fields = joined([to_table([row_of(_RECORD.decode(run.record), run.state) for run in group]) for group in groups])
    for number, group in enumerate(groups):
        internal = {
            RECORD: pa.array([run.record.decode() for run in group]),
            COUNT: pa.array([run.n_points for run in group]),
            COLUMNS: pa.array([json.dumps(list(run.points)) for run in group]),
            ATTEMPTS: pa.array([json.dumps(run.attempts) if run.attempts else None for run in group], pa.string()),
        }
        table = fields.slice(number * _RUNS_A_GROUP, len(group))
        for name, column in internal.items():
            table = table.append_column(name, column)
        yield table
