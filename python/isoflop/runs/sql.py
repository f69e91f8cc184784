"""SQL over a store: DuckDB on its Parquet files and on what is not compacted yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isoflop.errors import StoreError, require
from isoflop.runs.csr import Points
from isoflop.runs.points import RUN

if TYPE_CHECKING:
    import pyarrow as pa

    from isoflop.runs.store import RunStore


def query(store: RunStore, sql: str) -> pa.Table:
    """See :meth:`isoflop.RunStore.sql`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    duckdb = require("duckdb", extra="sql")
    runs, parts = store.table(), store.compacted.parts()
    if not runs.num_rows:
        raise StoreError(f"{store.url} has no runs to ask about")
    compacted = {run for part in parts for run in part.ids.tolist()}
    apart = [run for run in runs["id"].to_pylist() if run.encode() not in compacted]
    with duckdb.connect() as connection:
        connection.register("runs", runs)
        connection.register("apart", _table(store.points(where=pc.field("id").isin(pa.array(apart, pa.string())))))
        tables = ["from apart", *(f"from read_parquet('{_quoted(part.rows.local)}')" for part in parts)]
        connection.execute("create view points as " + " union all by name ".join(tables))
        try:
            answer = connection.sql(sql)
            return answer.to_arrow_table() if answer is not None else runs.slice(0, 0).select([])
        except duckdb.Error as error:
            hint = 'the tables are runs and points; a column with dots in its name stands in double quotes: "spec.seed"'
            raise StoreError(str(error), hint=hint) from error


def _table(points: Points) -> pa.Table:
    import pyarrow as pa

    if not len(points):
        return pa.table({RUN: pa.array([], pa.string())})
    codes = np.repeat(np.arange(len(points)), np.diff(points.offsets))
    return pa.table({RUN: points.runs["id"].take(codes), **points.columns})


def _quoted(path: str) -> str:
    return path.replace("'", "''")
