"""The run store: a folder that is the only truth about which runs exist and what they gave.

store/
  store.json                   format of the store
  lease                        held by a process that compacts it
  runs/<id>/run.json           spec, counts, status, result (renamed into place)
  runs/<id>/points.jsonl       one JSON object a point (appended by one writer, whole lines)
  runs/<id>/lease              held by the process that writes the run
  studies/NAME.json            what a study asked of which runs
  compacted/manifest.json      the files that hold the compacted runs (renamed into place)
  compacted/runs-*.parquet     one row a run: its record, and every field of it a column
  compacted/points-*.parquet   their points, sorted by run and in the order they were logged
  cache/                       prepared corpora; can be deleted

A run is in a folder of its own or compacted; where a kill left it in both, readers take it once. In an object store
some of these files are several objects: :mod:`isoflop.runs.object_folder` says which.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from numpy.typing import NDArray

from isoflop.errors import StoreError
from isoflop.fitting.data import FitData
from isoflop.runs import marker
from isoflop.runs.compacted import Compacted
from isoflop.runs.csr import Points, read_batches, read_points
from isoflop.runs.finished import read_finished
from isoflop.runs.folder import RECORD, RunFolder
from isoflop.runs.listing import every, table_of
from isoflop.runs.location import located
from isoflop.runs.points import Columns, read_lines
from isoflop.runs.record import ENDED, NConvention, RunRecord, in_total, read_record

if TYPE_CHECKING:
    import pyarrow as pa

    from isoflop.runs.compaction import Compaction


class RunStore:
    """A run store, made on first use unless ``create`` is false.

    Args:
        url: a folder, or the URL of one in an object store (``s3://bucket/folder``, ``gs://``, ``az://``,
            ``memory://``); who may use that, and where it is, its driver reads from the environment as ever.
        create: make it where there is none.

    Attributes:
        url: where it is.
        path: a folder on this machine: the store itself, or the caches of one elsewhere.
        cache: prepared corpora, and copies of what is compacted elsewhere.

    Raises:
        MissingExtra: no driver for such a URL is installed.
        StoreError: there is no store at ``url`` (``create=False``), the path is something else, or the format is newer.
    """

    def __init__(self, url: str | Path, *, create: bool = True) -> None:
        self.root, self.path = located(url)
        self.url = self.root.url
        self.cache = self.path / "cache"
        self.compacted = Compacted(self.root.sub("compacted"))
        self.n_convention: NConvention = "non-embedding"
        self._runs = self.root.sub("runs")
        if create and self.root.read(marker.NAME) is None:
            marker.make_store(self.root)
        marker.check_store(self.root)

    @classmethod
    def at(cls, url: str | Path) -> RunStore | None:
        """The store at ``url``, or None where there is none."""
        root, _ = located(url)
        return None if root.read(marker.NAME) is None else cls(url)

    @property
    def address(self) -> str:
        """Where it is, for a process that works in another folder."""
        return self.url if self.is_far else str(self.path.absolute())

    @property
    def is_far(self) -> bool:
        """Whether it is in an object store."""
        return "://" in self.url

    def __repr__(self) -> str:
        return f"RunStore({self.url!r})"

    def counting(self, n_convention: NConvention) -> RunStore:
        """This store, whose records come, one after the other and to fits, with an N of these parameters and its C.

        "total" makes N the count ``n_params`` and C 6 n_params D. A record by its id, points and :meth:`table` are as
        they were recorded.
        """
        view = copy(self)
        view.n_convention = n_convention
        return view

    def _repr_html_(self) -> str:
        from isoflop.runs.present import as_html

        return as_html(self)

    def run(self, run: str) -> RunFolder:
        """The folder of a run."""
        return self._runs.run(run)

    def files(self, pattern: str) -> list[tuple[str, str]]:
        """Runs, and the files in their folders whose names match a shell pattern."""
        return self._runs.matching(pattern)

    def folders(self) -> list[str]:
        """Names of what is in ``runs``, sorted."""
        return self._runs.names()

    def loose(self) -> list[str]:
        """Ids of the runs that have a folder of their own, sorted."""
        return self._runs.having(RECORD)

    def ids(self) -> list[str]:
        """Ids of all runs, sorted."""
        # Folders first: a run that leaves them later has been published before.
        return sorted({*self.loose(), *self.compacted.ids()})

    def __iter__(self) -> Iterator[RunRecord]:
        """Every run's record, in the order of their ids."""
        as_recorded = self.n_convention == "non-embedding"
        return every(self) if as_recorded else (replace(run, counts=in_total(run.counts)) for run in every(self))

    def get(self, run: str) -> RunRecord | None:
        """The record of a run by its full id, or None."""
        record = read_record(self.run(run))
        if record is None and (found := self.compacted.find(run)) is not None:
            part, index = found
            record = part.record(index)
        return record

    def has_ended(self, run: str) -> bool:
        """Whether the run came to an end that a second try would not change: finished or diverged."""
        record = read_record(self.run(run))
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
        if record.status == "running" and not self.run(record.id).is_held():
            return "interrupted"
        return record.status

    def points_of(self, run: str) -> Columns:
        """The points of a run as columns (n_points,), NaN where a point lacks a value; a torn last line is left out.

        Raises:
            StoreError: there is no such run, or its points are damaged.
        """
        if (points := read_lines(self.run(run))) is not None:
            return points
        if (found := self.compacted.find(run)) is not None:
            part, index = found
            return part.points(index)
        if self.get(run) is None:
            raise StoreError(f"there is no run {run!r} in {self.url}", hint="isoflop runs ls shows the ids")
        return {}  # the run has just begun

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
        return table_of(self, where)

    def compact(self) -> Compaction:
        """Move the finished and diverged runs into a few sorted Parquet files; see :mod:`isoflop.runs.compaction`.

        Raises:
            StoreError: another process compacts the store, a run is damaged, or the disk refuses.
        """
        from isoflop.runs.compaction import compact

        return compact(self)

    def fit_data(self, runs: Collection[str] | None = None, *, n_convention: NConvention | None = None) -> FitData:
        """The finished runs as columns for a fit: N (parameters), D (tokens), C (6 N D), L (held-out, nats/token).

        And U, the unique tokens among those D, where all of the runs were recorded with it. D and C are those at which
        the loss was measured: an early-stopped run counts up to its best evaluation. Runs that are not finished, or
        were recorded without these counts, are left out and named in ``excluded``.

        Args:
            runs: ids of those to take, where not all.
            n_convention: which parameters N counts, where not those of :meth:`counting`.
        """
        return read_finished(self, runs, n_convention or self.n_convention)

    def summary(self) -> dict[str, int]:
        """How many runs are in which state."""
        return dict(Counter(self.state(record) for record in self))
