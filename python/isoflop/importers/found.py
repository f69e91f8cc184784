"""What a reader finds: columns of numbers and words, the fields around them, and how the run went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

DEEPEST = 8
"""Levels of nested objects whose fields get names of their own; what lies deeper is left out."""


@dataclass(frozen=True)
class Found:
    """A run as its file has it, or a table of many.

    Attributes:
        name: of the run, as its program calls it; "" where the rows say whose they are.
        table: its rows.
        fields: what holds for all of its rows, such as its configuration, by dotted names.
        state: whether it came to its end, was stopped before it, or is still being written.
        why: what its program says of how it ended, where that is not "finished".
        started: ISO 8601, or None where nobody knows.
        seconds: how long it ran.
    """

    name: str
    table: pa.Table
    fields: Mapping[str, Any] = field(default_factory=dict)
    state: Literal["finished", "killed", "running"] = "finished"
    why: str | None = None
    started: str | None = None
    seconds: float | None = None


def flat(nested: Mapping[str, Any], prefix: str = "", depth: int = DEEPEST) -> dict[str, Any]:
    """Numbers, words and truths by dotted names: {"model": {"d": 8}} -> {"model.d": 8}; lists are left out."""
    level: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            if depth > 1:
                level |= flat(value, f"{prefix}{name}.", depth - 1)
        elif isinstance(value, str | int | float):
            level[f"{prefix}{name}"] = value
    return level


def to_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of flat fields as a table: a column of numbers where all are, else of words; null where a row lacks it."""
    import pyarrow as pa

    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def by_step(series: Mapping[str, Iterable[tuple[float, float]]]) -> pa.Table:
    """Series of (step, value) by name as one table: a row for every step that one of them has, in their order.

    Of two values at one step the later one counts, as for a run that went on from a checkpoint.
    """
    rows: dict[float, dict[str, float]] = {}
    for name, pairs in series.items():
        for step, value in pairs:
            rows.setdefault(step, {"step": step})[name] = value
    return to_table(rows[step] for step in sorted(rows))


def _column(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    given = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in given):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
