"""What a fit reads: columns of runs, from a mapping, a table or a run store, checked value by value."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, nearest
from isoflop.fitting.copies import refuse_copies
from isoflop.laws.law import Law

Array = NDArray[np.float64]

FLOP_PER_PARAM_TOKEN = 6.0
"""C = 6 N D: forward 2, backward 4 (Kaplan 2020, section 2.1)."""


@dataclass(frozen=True, eq=False)
class FitData:
    """Columns of runs, one value a run.

    Attributes:
        columns: arrays of one length by name: N parameters, D tokens, C training FLOPs, L loss in nats per token.
        excluded: runs left out and why, such as "run ab12: diverged".
        source: where the runs come from.
        n_convention: which parameters N counts, such as "non-embedding"; empty where nobody said.
        weights: how much each run counts, None for all alike.
        sigma: known noise of each run's residual, None where it is to be estimated.
        cluster: number of the group of runs that share their noise, such as the points of one curve; None where all
            are independent.
        distinct: rows are known to be different runs, however alike, as those of a run store are by their ids.
    """

    columns: Mapping[str, Array]
    excluded: tuple[str, ...] = ()
    source: str = ""
    n_convention: str = ""
    weights: Array | None = None
    sigma: Array | None = None
    cluster: NDArray[np.int64] | None = None
    distinct: bool = False

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return len(next(iter(self.columns.values()), ()))

    def select(self, rows: NDArray[np.bool_]) -> FitData:
        """The runs where ``rows`` is true."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        weights, sigma = (None if a is None else a[rows] for a in (self.weights, self.sigma))
        cluster = None if self.cluster is None else self.cluster[rows]
        return replace(self, columns=columns, weights=weights, sigma=sigma, cluster=cluster)

    def __eq__(self, other: object) -> bool:
        """The same columns, to the bit, from the same place."""
        if not isinstance(other, FitData):
            return NotImplemented
        said = ("excluded", "source", "n_convention", "distinct")
        alike = all(getattr(self, name) == getattr(other, name) for name in said)
        return alike and self.fingerprint() == other.fingerprint()

    __hash__ = None  # type: ignore[assignment]

    def fingerprint(self) -> str:
        """SHA-256 over names and values of the columns."""
        digest = hashlib.sha256()
        extra = {"weights": self.weights, "sigma": self.sigma, "cluster": self.cluster}
        for name, values in (*sorted(self.columns.items()), *extra.items()):
            if values is not None:
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()


@runtime_checkable
class RunSource(Protocol):
    """Anything that can give its runs for a fit, such as a run store."""

    def fit_data(self) -> FitData:
        """The runs as columns."""


Given = str | Sequence[float] | Array | None
"""Weights or noise: the name of a column, or one value a run."""

RUN = "run"
"""The column that says which points are of one run; asked for as weights, it gives each run the weight 1."""

_DERIVED: dict[str, tuple[tuple[str, ...], str, Callable[..., Array]]] = {
    "C": (("N", "D"), "6 N D", lambda n, d: FLOP_PER_PARAM_TOKEN * n * d),
    "D": (("N", "C"), "C/(6 N)", lambda n, c: c / (FLOP_PER_PARAM_TOKEN * n)),
    "M": (("N", "D"), "D/N", lambda n, d: d / n),
}
"""Inputs that others give: from which, how it is said, how it is computed."""


Labels = str | Sequence[Any] | NDArray[Any] | None
"""Groups of runs: the name of a column, or one label a run."""


def read_data(
    data: object, law: Law, weights: Given = None, sigma: Given = None, cluster: Labels = None
) -> tuple[FitData, tuple[str, ...]]:
    """The columns that ``law`` reads, its output last, each value checked; and notes on what was derived.

    N and D are kept where the data have them, whatever the law reads: they say what the runs varied.

    Raises:
        FitError: a column is missing or of another length; a value that cannot be, or a run that stands twice: both
            name the row.
    """
    given = from_any(data)
    wanted = dict.fromkeys((*law.inputs, *(n for n in "ND" if n != law.output), law.output))
    raw = {name: _column(name, given.columns[name]) for name in wanted if name in given.columns}
    notes = []
    for name, (sources, said, compute) in _DERIVED.items():
        if name in law.inputs and name not in raw:
            found = {k: _column(k, given.columns[k]) for k in sources if k in given.columns}
            if len(found) == len(sources) and len({len(v) for v in found.values()}) == 1:
                for source, values in found.items():
                    _refuse_unless_positive(source, values)
                raw[name] = compute(*found.values())
                notes.append(f"{name} was not given: taken as {said}")
    for name in (*law.inputs, law.output):
        if name not in raw:
            known = [str(column) for column in given.columns]
            hint = f"give columns such as {', '.join((*law.inputs, law.output))}"
            if known:
                hint = f"{nearest(name, known)}; name the column {name}: on the command line --column {name}=COLUMN"
            raise FitError(
                f"{law.name} needs the column {name!r}; the data have {', '.join(known) or 'none'}", hint=hint
            )
    used = {name: raw[name] for name in sorted(raw, key=list(wanted).index)}
    lengths = {name: len(values) for name, values in used.items()}
    weighed, noise = _of_runs("weights", weights, given), _of_runs("sigma", sigma, given)
    given = replace(
        given,
        weights=given.weights if weighed is None else weighed,
        sigma=given.sigma if noise is None else noise,
        cluster=given.cluster if cluster is None else labels("cluster", cluster, given),
    )
    extra = (("weights", given.weights), ("sigma", given.sigma), ("cluster", given.cluster))
    lengths |= {what: len(a) for what, a in extra if a is not None}
    if len(set(lengths.values())) > 1:
        raise FitError("columns differ in length: " + ", ".join(f"{k} has {v}" for k, v in lengths.items()))
    for name, values in used.items():
        if name in law.signed:
            _refuse(f"column {name!r}", values, ~np.isfinite(values), f"every {name} must be finite")
        else:
            _refuse_unless_positive(name, values)
    if given.weights is not None:
        bad = ~(np.isfinite(given.weights) & (given.weights >= 0))
        _refuse("weights", given.weights, bad, "weights must be finite and not negative")
        if not given.weights.any():
            raise FitError("all weights are zero: nothing to fit", hint="give a run a positive weight")
    if given.sigma is not None:
        bad = ~(np.isfinite(given.sigma) & (given.sigma > 0))
        _refuse("sigma", given.sigma, bad, "a known noise must be positive and finite")
    if given.weights is None and not given.distinct:
        refuse_copies(used, given.columns)
    return replace(given, columns=used, excluded=tuple(given.excluded)), tuple(notes)


def _refuse_unless_positive(name: str, values: Array) -> None:
    bad = ~(np.isfinite(values) & (values > 0))
    _refuse(f"column {name!r}", values, bad, f"every {name} must be positive and finite")


def _refuse(what: str, values: Array, bad: NDArray[np.bool_], rule: str) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        more = f" and {rows.size - 1} more rows" if rows.size > 1 else ""
        raise FitError(f"{what}, row {rows[0]}: {values[rows[0]]:g}{more}; {rule}", hint="drop or repair those rows")


def _of_runs(what: str, value: Given, given: FitData) -> Array | None:
    if value is None:
        return None
    if not isinstance(value, str):
        return _column(what, value)
    if value not in given.columns:
        raise FitError(f"{what}: the data have no column {value!r}", hint=nearest(value, map(str, given.columns)))
    if what == "weights" and value == RUN:
        _, run, points = np.unique(np.asarray(given.columns[value]), return_inverse=True, return_counts=True)
        return np.asarray(1.0 / points[run])
    return _column(value, given.columns[value])


def from_any(data: object) -> FitData:
    """Columns of a mapping, a table or a run store, as they are.

    Raises:
        FitError: it is none of them.
    """
    return data if isinstance(data, FitData) else data.fit_data() if isinstance(data, RunSource) else _from_table(data)


def labels(what: str, value: Labels, given: FitData, fewest: int = 2) -> NDArray[np.int64]:
    """Groups of runs, numbered in the order of their labels.

    Raises:
        FitError: no such column, or fewer than ``fewest`` groups.
    """
    if isinstance(value, str):
        if value not in given.columns:
            raise FitError(f"{what}: the data have no column {value!r}", hint=nearest(value, map(str, given.columns)))
        value = given.columns[value]
    given_labels = np.asarray(value)
    for row in np.flatnonzero([label is None or label != label for label in given_labels.tolist()])[:1]:
        raise FitError(f"{what}, row {row}: no label ({given_labels[row]})", hint="every run needs one")
    names, numbers = np.unique(given_labels, return_inverse=True)
    if names.size < fewest:
        raise FitError(f"{what}: all runs are of one group", hint="give one label for each independent run or curve")
    return np.ascontiguousarray(numbers, dtype=np.int64)


def _from_table(data: Any) -> FitData:
    if isinstance(data, Mapping):
        return FitData(data, source="columns")
    names = getattr(data, "column_names", None)
    if names is None:
        names = getattr(data, "columns", None)
    if names is None or not hasattr(data, "__getitem__"):
        hint = 'give {"N": ..., "D": ..., "L": ...}, a table with these columns, or a run store'
        if isinstance(data, Iterator):
            hint = "it can be read once, and a fit reads its points in several passes: give the function that makes it"
        raise FitError(f"cannot read runs from {type(data).__name__}", hint=hint)
    return FitData({str(name): data[name] for name in names}, source=type(data).__name__)


def _first_odd(values: Any) -> str:
    """The row and the value of the first that is no number, where there is one."""
    for row, value in enumerate(values if hasattr(values, "__iter__") else ()):
        try:
            float(value)
        except (TypeError, ValueError):
            return f", row {row}: {str(value)!r}"
    return ""


def _column(name: str, values: Any) -> Array:
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FitError(f"column {name!r}{_first_odd(values)} is not numeric", hint="numbers, one a run") from error
    if column.ndim != 1:
        raise FitError(f"column {name!r} has shape {column.shape}; one value a run is needed")
    return np.ascontiguousarray(column)
