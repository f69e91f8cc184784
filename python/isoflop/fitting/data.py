"""What a fit reads: columns of runs, from a mapping, a table or a run store, checked value by value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, nearest
from isoflop.laws.law import Law

Array = NDArray[np.float64]

FLOP_PER_PARAM_TOKEN = 6.0
"""C = 6 N D: forward 2, backward 4 (Kaplan 2020, section 2.1)."""


@dataclass(frozen=True)
class FitData:
    """Columns of runs, one value a run.

    Attributes:
        columns: arrays of one length: N parameters, D tokens, C training FLOPs, L loss in nats per token.
        excluded: runs left out and why, such as "run ab12: diverged".
        source: where the runs come from.
        n_convention: which parameters N counts, such as "non-embedding"; empty where nobody said.
    """

    columns: Mapping[str, Array]
    excluded: tuple[str, ...] = ()
    source: str = ""
    n_convention: str = ""

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return len(next(iter(self.columns.values()), ()))

    def select(self, rows: NDArray[np.bool_]) -> FitData:
        """The runs where ``rows`` is true."""
        return FitData({k: v[rows] for k, v in self.columns.items()}, self.excluded, self.source, self.n_convention)

    def fingerprint(self) -> str:
        """SHA-256 over names and values of the columns."""
        digest = hashlib.sha256()
        for name in sorted(self.columns):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self.columns[name], dtype="<f8").tobytes())
        return digest.hexdigest()


@runtime_checkable
class RunSource(Protocol):
    """Anything that can give its runs for a fit, such as a run store."""

    def fit_data(self) -> FitData:
        """The runs as columns."""


def read_data(data: object, law: Law) -> tuple[FitData, tuple[str, ...]]:
    """The columns that ``law`` needs, in N, D, C, L order, each positive and finite; and notes on what was derived.

    Other columns among N, D and C are kept where the data have them: they say what the runs varied.

    Raises:
        FitError: a column is missing or of another length; a value is NaN, infinite, zero or negative (names the row).
    """
    given = data if isinstance(data, FitData) else data.fit_data() if isinstance(data, RunSource) else _from_table(data)
    raw = {name: _column(name, given.columns[name]) for name in "NDCL" if name in given.columns}
    notes = []
    if "C" in law.inputs and "C" not in raw and "N" in raw and "D" in raw and raw["N"].shape == raw["D"].shape:
        raw["C"] = FLOP_PER_PARAM_TOKEN * raw["N"] * raw["D"]
        notes.append("C was not given: taken as 6 N D")
    for name in (*law.inputs, "L"):
        if name not in raw:
            known = [str(column) for column in given.columns]
            hint = nearest(name, known) if known else "give columns such as N, D and L"
            raise FitError(
                f"{law.name} needs the column {name!r}; the data have {', '.join(known) or 'none'}", hint=hint
            )
    used = {name: raw[name] for name in "NDCL" if name in raw and (name in law.inputs or name in "LND")}
    lengths = {name: len(values) for name, values in used.items()}
    if len(set(lengths.values())) > 1:
        raise FitError("columns differ in length: " + ", ".join(f"{k} has {v}" for k, v in lengths.items()))
    for name, values in used.items():
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            more = f" and {bad.size - 1} more rows" if bad.size > 1 else ""
            raise FitError(
                f"column {name!r}, row {bad[0]}: {values[bad[0]]:g}{more}; every {name} must be positive and finite",
                hint="drop or repair those rows",
            )
    return FitData(used, tuple(given.excluded), given.source, given.n_convention), tuple(notes)


def _from_table(data: Any) -> FitData:
    if isinstance(data, Mapping):
        return FitData(data, source="columns")
    names = getattr(data, "column_names", None)
    if names is None:
        names = getattr(data, "columns", None)
    if names is None or not hasattr(data, "__getitem__"):
        raise FitError(
            f"cannot read runs from {type(data).__name__}",
            hint='give {"N": ..., "D": ..., "L": ...}, a table with these columns, or a run store',
        )
    return FitData({str(name): data[name] for name in names}, source=type(data).__name__)


def _column(name: str, values: Any) -> Array:
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FitError(f"column {name!r} is not numeric: {error}") from error
    if column.ndim != 1:
        raise FitError(f"column {name!r} has shape {column.shape}; one value a run is needed")
    return np.ascontiguousarray(column)
