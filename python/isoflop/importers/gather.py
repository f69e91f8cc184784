"""Rows of numbers gathered into runs: which rows are of one, its counts, its points, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import SpecError
from isoflop.importers.column_map import COUNTS, SPEC, Values
from isoflop.importers.found import Found
from isoflop.runs.part import HeldRun
from isoflop.runs.points import RUN, Columns
from isoflop.runs.record import RunRecord, run_id

HELD_OUT = ("val_loss", "loss")
"""The losses that can be the result of a run, the best first."""

STEP, TOKENS = "step", "tokens"
LONGEST_WORD = 4096
"""Characters of a word in a spec."""


@dataclass(frozen=True)
class Meaning:
    """What the import says of every run.

    Attributes:
        source: what the spec calls the source.
        count_of_n: the count that the column N is.
        nats_per_token: the factor of losses.
        said: what the record says of its making.
    """

    source: str
    count_of_n: str
    nats_per_token: float
    said: Mapping[str, str]


class _Unfit(Exception):
    """Why rows make no run."""


def gather(found: Found, values: Mapping[str, Values], meaning: Meaning, problems: list[str]) -> Iterator[HeldRun]:
    """The runs of what was found; rows that make none are named in ``problems``, each run once."""
    for key, rows in _groups(found, values):
        try:
            if key is None or len(str(key)) > LONGEST_WORD:
                raise _Unfit(f"a name of 1 to {LONGEST_WORD} characters is asked for")
            yield _run(found, key, {name: _at(value, rows) for name, value in values.items()}, meaning)
        except _Unfit as unfit:
            problems.append(f"run {str(key)[:80]}: {unfit}")


def _groups(found: Found, values: Mapping[str, Values]) -> Iterator[tuple[Any, NDArray[np.intp]]]:
    """The key of each run and its rows, in the order of their steps."""
    n_rows = found.table.num_rows
    if RUN in values:
        words = values[RUN].words
        assert words is not None
        numbers: dict[Any, int] = {}
        of = np.array([numbers.setdefault(None if word is None else str(word), len(numbers)) for word in words])
        keys: list[Any] = list(numbers)
    elif STEP in values:
        of, keys = np.zeros(n_rows, int), [found.name]
    else:
        of, keys = np.arange(n_rows), list(range(n_rows))
    order = np.lexsort((values[STEP].numbers, of)) if STEP in values else np.argsort(of, kind="stable")
    bounds = np.searchsorted(of[order], np.arange(len(keys) + 1))
    for index, key in enumerate(keys):
        yield key, order[bounds[index] : bounds[index + 1]]


def _at(values: Values, rows: NDArray[np.intp]) -> Values:
    words = values.words
    return Values(values.numbers[rows], values.absent[rows], None if words is None else [words[row] for row in rows])


def _run(found: Found, key: Any, values: Mapping[str, Values], meaning: Meaning) -> HeldRun:
    rows = len(next(iter(values.values())).numbers)
    if STEP not in values and rows > 1:
        raise _Unfit(f"{rows} rows are of it; map step, if they are its points")
    spec: dict[str, Any] = {"imported": meaning.source, "run": key}
    counts: dict[str, float] = {}
    points: Columns = {}
    for name, value in values.items():
        if name == RUN:
            continue
        if name.startswith(SPEC):
            _place(spec, name.removeprefix(SPEC).split("."), _constant(name, value))
        elif name in COUNTS:
            counts[meaning.count_of_n if name == "N" else name] = _count(name, value)
        else:
            points[name] = value.numbers * (meaning.nats_per_token if "loss" in name else 1.0)
    loss, last, diverged = _result(values, points)
    seen = float(points[TOKENS][last]) if TOKENS in points else counts.get("D", math.nan)
    if "D" not in counts and math.isfinite(seen) and seen > 0:
        counts["D"] = seen
    if "C" not in counts and {"N", "D"} <= counts.keys():
        counts["C"] = 6.0 * counts["N"] * counts["D"]
    killed = found.state == "killed" and not diverged
    result = {"loss": loss} | ({TOKENS: seen} if math.isfinite(seen) else {})
    record = RunRecord(
        id=_identity(spec),
        status="diverged" if diverged else "killed" if killed else "finished",
        attempt=1,
        started=found.started or meaning.said["imported_at"],
        seconds=found.seconds,
        spec=spec,
        counts=counts,
        result=None if diverged or killed else result,
        error="the last loss is not finite" if diverged else found.why,
        environment=dict(meaning.said),
    )
    return HeldRun.of(record, points if STEP in values else {}, {})


def _result(values: Mapping[str, Values], points: Columns) -> tuple[float, int, bool]:
    """The last loss that was recorded, its row, and whether it is not finite."""
    for name in HELD_OUT:
        if name in values:
            there = np.flatnonzero(~values[name].absent)
            if there.size:
                last = int(there[-1])
                loss = float(points[name][last])
                return loss, last, not math.isfinite(loss)
    raise _Unfit("it has no loss")


def _count(name: str, value: Values) -> float:
    """The count of a run: tokens and FLOPs as of its last point, the others all the same."""
    given = value.numbers[~value.absent]
    if not given.size:
        raise _Unfit(f"{name} is missing")
    last = float(given[-1])
    if name in ("N", "n_params") and (given != last).any():
        raise _Unfit(f"{name} is not the same on all of its rows")
    if not (math.isfinite(last) and last > 0):
        raise _Unfit(f"{name} = {last!r} must be a positive number")
    return last


def _constant(name: str, value: Values) -> Any:
    """A field of a spec, which all rows of a run have in common."""
    given: list[Any] = value.numbers.tolist() if value.words is None else value.words
    first = given[0]
    if any(other != first for other in given):
        raise _Unfit(f"{name} is not the same on all of its rows")
    if isinstance(first, float) and not math.isfinite(first):
        return None
    if isinstance(first, str | bytes) and len(first) > LONGEST_WORD:
        raise _Unfit(f"{name} has {len(first)} characters, more than {LONGEST_WORD}")
    return first if first is None or isinstance(first, str | int | float | bool) else str(first)[:LONGEST_WORD]


def _place(spec: dict[str, Any], path: list[str], value: Any) -> None:
    """``shape.d_model`` as a field of the object ``shape``."""
    for part in path[:-1]:
        spec = spec.setdefault(part, {})
        if not isinstance(spec, dict):
            raise _Unfit(f"spec.{'.'.join(path)} lies in a field that has a value")
    if path[-1] in spec:
        raise _Unfit(f"spec.{'.'.join(path)} has a value already")
    spec[path[-1]] = value


def _identity(spec: Mapping[str, Any]) -> str:
    try:
        return run_id(spec)
    except SpecError as error:
        raise _Unfit(error.message) from error
