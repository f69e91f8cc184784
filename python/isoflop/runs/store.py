"""The run store: a directory that is the only truth about which runs exist and what they gave.

store/
  store.json                   format of the store
  runs/<id>/run.json           spec, counts, status, result (renamed into place)
  runs/<id>/points.jsonl       one JSON object a point (appended by one writer, whole lines)
  runs/<id>/lease              locked while a process writes the run
  cache/                       prepared corpora; can be deleted
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isoflop.errors import StoreError
from isoflop.fitting.data import FitData
from isoflop.runs.files import explained, replace_file, whole_lines
from isoflop.runs.lease import is_held
from isoflop.runs.record import ENDED, FORMAT, RunRecord, read_record

if TYPE_CHECKING:
    import pyarrow as pa

_KIND = "isoflop run store"


class RunStore:
    """A run store at a local directory, made on first use unless ``create`` is false.

    Raises:
        StoreError: there is no store at ``url`` (``create=False``), the path is something else, or the format is newer.
    """

    def __init__(self, url: str | Path, *, create: bool = True) -> None:
        self.path = Path(url).expanduser()
        self.cache = self.path / "cache"
        marker = self.path / "store.json"
        if not marker.exists():
            if not create:
                raise StoreError(f"there is no run store at {self.path}", hint="isoflop sweep STUDY.toml makes one")
            self._create(marker)
        self._check(marker)

    def _create(self, marker: Path) -> None:
        if self.path.is_dir() and any(not _of_a_new_store(item.name) for item in self.path.iterdir()):
            raise StoreError(f"{self.path} is a folder with other things in it", hint="give a new or an empty folder")
        with explained("make a run store at", self.path):
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
            replace_file(marker, json.dumps({"kind": _KIND, "format": FORMAT}).encode() + b"\n")

    def _check(self, marker: Path) -> None:
        with explained("read", marker):
            content = marker.read_bytes()
        try:
            meta = json.loads(content)
            kind, written = meta["kind"], int(meta["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{marker} is not a run store's marker") from error
        if kind != _KIND:
            raise StoreError(f"{self.path} holds a {kind!r}, not a {_KIND!r}")
        if written > FORMAT:
            raise StoreError(
                f"{self.path} has format {written}; this version reads up to {FORMAT}", hint="upgrade isoflop"
            )

    def __repr__(self) -> str:
        return f"RunStore({str(self.path)!r})"

    def folder(self, run: str) -> Path:
        return self.path / "runs" / run

    def __iter__(self) -> Iterator[RunRecord]:
        """Every run's record, in the order of their ids."""
        for file in sorted((self.path / "runs").glob("*/run.json")):
            record = read_record(file)
            if record is not None:
                yield record

    def get(self, run: str) -> RunRecord | None:
        """The record of a run by its full id, or None."""
        return read_record(self.folder(run) / "run.json")

    def has_ended(self, run: str) -> bool:
        """Whether the run came to an end that a second try would not change: finished or diverged."""
        record = self.get(run)
        return record is not None and record.status in ENDED

    def find(self, prefix: str) -> RunRecord:
        """The record of the one run whose id starts with ``prefix``.

        Raises:
            StoreError: no run or several runs do.
        """
        found = [record for record in self if record.id.startswith(prefix)] if prefix else []
        if len(found) != 1:
            raise StoreError(
                f"{len(found)} runs have an id that starts with {prefix!r}", hint="isoflop runs ls shows the ids"
            )
        return found[0]

    def state(self, record: RunRecord) -> str:
        """``finished``, ``diverged``, ``failed``; ``running`` while somebody writes it, else ``interrupted``."""
        if record.status == "running" and not is_held(self.folder(record.id) / "lease"):
            return "interrupted"
        return record.status

    def points(self, run: str) -> dict[str, NDArray[np.float64]]:
        """The points of a run as columns (n_points,), NaN where a point lacks a value; a torn last line is left out.

        Raises:
            StoreError: there is no such run, or its points are damaged.
        """
        file = self.folder(run) / "points.jsonl"
        with explained("read", file):
            just_begun = not file.exists() and self.get(run) is not None
            lines = [] if just_begun else whole_lines(file).splitlines()
        decoder = msgspec.json.Decoder(dict[str, float | None])
        try:
            rows = [decoder.decode(line) for line in lines]
        except msgspec.MsgspecError as error:
            raise StoreError(
                f"{file} is damaged: {error}", hint="move its folder away; the run will be made again"
            ) from error
        names = dict.fromkeys(name for row in rows for name in row)
        return {
            name: np.array([np.nan if (value := row.get(name)) is None else value for row in rows], float)
            for name in names
        }

    def table(self) -> pa.Table:
        """One row a run: id, state, every count and result, every field of the spec (``spec.shape.d_model``, ...)."""
        import pyarrow as pa

        rows = [
            {"id": record.id, "state": self.state(record), "attempt": record.attempt, "seconds": record.seconds}
            | record.counts
            | (record.result or {})
            | _flat(record.spec, "spec.")
            for record in self
        ]
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: [row.get(name) for row in rows] for name in names})

    def fit_data(self) -> FitData:
        """The finished runs as columns for a fit: N (non-embedding), D (tokens), C (6 N D), L (held-out, nats/token).

        And U, the unique tokens among those D, where all of them were recorded with it. D and C are those at which the
        loss was measured: an early-stopped run counts up to its best evaluation.
        Runs that are not finished, or were recorded without these counts, are left out and named in ``excluded``.
        """
        rows, excluded = [], []
        for record in self:
            lacking = [name for name in ("N", "D", "C") if name not in record.counts]
            if record.status != "finished" or record.result is None:
                excluded.append(f"run {record.id}: {self.state(record)}")
            elif lacking:
                excluded.append(f"run {record.id}: recorded without counts of {', '.join(lacking)}")
            else:
                n, d, c = (record.counts[name] for name in ("N", "D", "C"))
                seen = record.result.get("tokens", d)
                unique = min(record.counts.get("U", np.nan), seen)
                rows.append((n, seen, c * seen / d, unique, record.result["loss"]))
        columns = dict(zip("NDCUL", np.array(rows, float).reshape(-1, 5).T, strict=True))
        if np.isnan(columns["U"]).any():
            del columns["U"]
        return FitData(columns, tuple(excluded), str(self.path), n_convention="non-embedding")

    def summary(self) -> dict[str, int]:
        """How many runs are in which state."""
        return dict(Counter(self.state(record) for record in self))


def _of_a_new_store(name: str) -> bool:
    """Whether a process that is making this store now, or was killed at it, leaves a file of this name."""
    return name == "runs" or name.startswith(".store.json.")


def _flat(spec: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A nested spec as one level: {"shape": {"d_model": 8}} -> {"spec.shape.d_model": 8}; lists become text."""
    flat: dict[str, Any] = {}
    for name, value in spec.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value) if isinstance(value, list) else value
    return flat
