"""Runs as rows of a table: every count, result and field of the spec a column."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from isoflop.runs.record import RunRecord

if TYPE_CHECKING:
    import pyarrow as pa


def row_of(record: RunRecord, state: str) -> dict[str, Any]:
    """Columns of one run, ``spec.shape.d_model`` for a field of the spec; lists become text."""
    return (
        {"id": record.id, "state": state, "attempt": record.attempt, "seconds": record.seconds}
        | {"started": record.started, "ended": record.ended, "error": record.error}
        | record.counts
        | (record.result or {})
        | _flat(record.spec, "spec.")
    )


def to_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """A column of every name that a row has, null where a row lacks it."""
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Rows of all tables under the columns of all; numbers of two kinds become floating, other mixtures text."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    for table in tables:
        for field in table.schema:
            types[field.name] = _common(types.get(field.name, field.type), field.type)
    columns = [
        {name: _cast(table[name], kind) if name in table.column_names else pa.nulls(table.num_rows, kind)
         for name, kind in types.items()}
        for table in tables
    ]  # fmt: skip
    return pa.concat_tables([pa.table(named) for named in columns]) if types else pa.table({})


def _column(values: list[Any]) -> pa.Array:
    """Values of one kind as they are, of several as text: words stay, the others as JSON."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


def _common(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if first.equals(second) or types.is_null(second):
        return first
    if types.is_null(first):
        return second
    numbers = all(types.is_integer(kind) or types.is_floating(kind) for kind in (first, second))
    return pa.float64() if numbers else pa.string()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column if column.type.equals(kind) else column.cast(kind)


def _flat(spec: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A nested spec as one level: {"shape": {"d_model": 8}} -> {"spec.shape.d_model": 8}."""
    flat: dict[str, Any] = {}
    for name, value in spec.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value) if isinstance(value, list) else value
    return flat
