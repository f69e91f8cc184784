"""The run store: a directory that is the only truth about which runs exist and what they gave.

store/
  store.json                   format of the store; locked while a process compacts it
  runs/<id>/run.json           spec, counts, status, result (renamed into place)
  runs/<id>/points.jsonl       one JSON object a point (appended by one writer, whole lines)
  runs/<id>/lease              locked while a process writes the run
  studies/NAME.json            what a study asked of which runs
  compacted/manifest.json      the files that hold the compacted runs (renamed into place)
  compacted/runs-*.parquet     one row a run: its record, and every field of it a column
  compacted/points-*.parquet   their points, sorted by run and in the order they were logged
  cache/                       prepared corpora; can be deleted

A run is in a folder of its own or compacted; where a kill left it in both, readers take it once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import StoreError
from isoflop.fitting.data import FitData
from isoflop.runs import marker
from isoflop.runs.compacted import Compacted
from isoflop.runs.csr import Points, read_batches, read_points
from isoflop.runs.files import explained
from isoflop.runs.lease import is_held
from isoflop.runs.part import Part
from isoflop.runs.points import Columns, read_lines
from isoflop.runs.record import ENDED, RunRecord, in_total, read_record
from isoflop.runs.rows import joined, row_of, to_table
from isoflop.runs.where import select

if TYPE_CHECKING:
    import pyarrow as pa

    from isoflop.runs.compaction import Compaction


class RunStore:
    """A run store at a local directory, made on first use unless ``create`` is false.

    Raises:
        StoreError: there is no store at ``url`` (``create=False``), the path is something else, or the format is newer.
    """

    def __init__(self, url: str | Path, *, create: bool = True) -> None:
        self.path = Path(url).expanduser()
        self.cache = self.path / "cache"
        self.marker = self.path / marker.NAME
        self.compacted = Compacted(self.path / "compacted")
        if not self.marker.exists():
            if not create:
                raise StoreError(f"there is no run store at {self.path}", hint="isoflop sweep STUDY.toml makes one")
            marker.make_store(self.path)
        marker.check_store(self.path)

    def __repr__(self) -> str:
        return f"RunStore({str(self.path)!r})"

    def folder(self, run: str) -> Path:
        return self.path / "runs" / run

    def folders(self) -> list[str]:
        """Names of what is in ``runs``, sorted."""
        runs = self.path / "runs"
        with explained("list", runs):
            return sorted(path.name for path in runs.iterdir()) if runs.is_dir() else []

    def loose(self) -> list[str]:
        """Ids of the runs that have a folder of their own, sorted."""
        return [run for run in self.folders() if (self.folder(run) / "run.json").exists()]

    def ids(self) -> list[str]:
        """Ids of all runs, sorted."""
        # Folders first: a run that leaves them later has been published before.
        return sorted({*self.loose(), *self.compacted.ids()})

    def __iter__(self) -> Iterator[RunRecord]:
        """Every run's record, in the order of their ids."""
        loose = self.loose()
        parts = self.compacted.parts()
        compacted = (record for record in merge(*(part.records() for part in parts), key=_id))
        apart = (record for run in loose if not _is_in(run, parts) and (record := self.get(run)) is not None)
        yield from merge(compacted, apart, key=_id)

    def get(self, run: str) -> RunRecord | None:
        """The record of a run by its full id, or None."""
        record = read_record(self.folder(run) / "run.json")
        if record is None and (found := self.compacted.find(run)) is not None:
            part, index = found
            record = part.record(index)
        return record

    def has_ended(self, run: str) -> bool:
        """Whether the run came to an end that a second try would not change: finished or diverged."""
        record = read_record(self.folder(run) / "run.json")
        return self.compacted.find(run) is not None if record is None else record.status in ENDED

    def find(self, prefix: str) -> RunRecord:
        """The record of the one run whose id starts with ``prefix``.

        Raises:
            StoreError: no run or several runs do.
        """
        found = [run for run in self.ids() if run.startswith(prefix)] if prefix else []
        record = self.get(found[0]) if len(found) == 1 else None
        if record is None:
            raise StoreError(
                f"{len(found)} runs have an id that starts with {prefix!r}", hint="isoflop runs ls shows the ids"
            )
        return record

    def state(self, record: RunRecord) -> str:
        """``finished``, ``diverged``, ``failed``; ``running`` while somebody writes it, else ``interrupted``."""
        if record.status == "running" and not is_held(self.folder(record.id) / "lease"):
            return "interrupted"
        return record.status

    def points_of(self, run: str) -> Columns:
        """The points of a run as columns (n_points,), NaN where a point lacks a value; a torn last line is left out.

        Raises:
            StoreError: there is no such run, or its points are damaged.
        """
        file = self.folder(run) / "points.jsonl"
        if not file.exists():
            if (found := self.compacted.find(run)) is not None:
                part, index = found
                return part.points(index)
            if self.get(run) is not None:
                return {}  # the run has just begun
        return read_lines(file)

    def points(self, columns: Sequence[str] | None = None, where: object = None) -> Points:
        """The points of many runs as flat arrays, run after run in the order of their ids.

        Args:
            columns: names such as ``["step", "loss"]``; all where None.
            where: which runs: ``"N >= 1e6 and spec.seed == 0"``, ``{"d_model": [64, 128]}``, or an Arrow expression
                over the columns of :meth:`table`.

        Raises:
            StoreError: a column that no run has, a condition that is none, or damaged points.
        """
        return read_points(self, columns, where)

    def batches(self, columns: Sequence[str], where: object = None) -> Iterator[dict[str, NDArray[Any]]]:
        """Points and, beside each, fields of its run, a stretch at a time, for fits that do not hold them all.

        ``iso.Batches(lambda: store.batches(["N", "step", "loss"]), columns={"S": "step", "L": "loss"})``. Points that
        lack one of the columns are left out; ``"run"`` numbers the runs.

        Args:
            columns: of points, or of :meth:`table`.
            where: which runs, as for :meth:`points`.

        Raises:
            StoreError: as :meth:`points`.
        """
        return read_batches(self, columns, where)

    def sql(self, query: str) -> pa.Table:
        """The answer of DuckDB to a query over the tables ``runs`` (as :meth:`table`) and ``points`` (with ``run``).

        Raises:
            MissingExtra: DuckDB is not installed.
            StoreError: the query is wrong, or there are no runs.
        """
        from isoflop.runs.sql import query as ask

        return ask(self, query)

    def table(self, where: object = None) -> pa.Table:
        """One row a run: id, state, every count and result, every field of the spec (``spec.shape.d_model``, ...).

        Args:
            where: which runs, as for :meth:`points`.

        Raises:
            StoreError: a condition that is none.
        """
        loose = self.loose()
        parts = self.compacted.parts()
        apart = (record for run in loose if not _is_in(run, parts) and (record := self.get(run)) is not None)
        rows = to_table([row_of(record, self.state(record)) for record in apart])
        table = joined([rows, *(part.table() for part in parts)])
        return select(table.sort_by("id") if parts else table, where)

    def compact(self) -> Compaction:
        """Move the finished and diverged runs into a few sorted Parquet files; see :mod:`isoflop.runs.compaction`.

        Raises:
            StoreError: another process compacts the store, a run is damaged, or the disk refuses.
        """
        from isoflop.runs.compaction import compact

        return compact(self)

    def fit_data(
        self, runs: Collection[str] | None = None, *, n_convention: Literal["non-embedding", "total"] = "non-embedding"
    ) -> FitData:
        """The finished runs as columns for a fit: N (parameters), D (tokens), C (6 N D), L (held-out, nats/token).

        And U, the unique tokens among those D, where all of the runs were recorded with it. D and C are those at which
        the loss was measured: an early-stopped run counts up to its best evaluation. Runs that are not finished, or
        were recorded without these counts, are left out and named in ``excluded``.

        Args:
            runs: ids of those to take, where not all.
            n_convention: which parameters N counts. With "total" it is the count ``n_params``, and C is 6 n_params D.
        """
        rows, excluded = [], []
        for record in self:
            if runs is not None and record.id not in runs:
                continue
            counts = record.counts
            if n_convention == "total":
                counts = in_total(counts)
            lacking = [name for name in ("N", "D", "C") if name not in counts]
            if record.status != "finished" or record.result is None:
                excluded.append(f"run {record.id}: {self.state(record)}")
            elif lacking:
                also = "; n_convention='total' takes its n_params" if "n_params" in counts and "N" in lacking else ""
                excluded.append(f"run {record.id}: recorded without counts of {', '.join(lacking)}{also}")
            else:
                n, d, c = (counts[name] for name in ("N", "D", "C"))
                seen = record.result.get("tokens", d)
                unique = min(counts.get("U", np.nan), seen)
                rows.append((n, seen, c * seen / d, unique, record.result["loss"]))
        columns = dict(zip("NDCUL", np.array(rows, float).reshape(-1, 5).T, strict=True))
        if np.isnan(columns["U"]).any():
            del columns["U"]
        return FitData(columns, tuple(excluded), str(self.path), n_convention=n_convention)

    def summary(self) -> dict[str, int]:
        """How many runs are in which state."""
        return dict(Counter(self.state(record) for record in self))


def _id(record: RunRecord) -> str:
    return record.id


def _is_in(run: str, parts: list[Part]) -> bool:
    return any(part.index(run) is not None for part in parts)
