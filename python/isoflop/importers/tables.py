"""CSV, Parquet and JSON lines: a row is a run, or a point of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from isoflop.errors import SourceError
from isoflop.importers.documents import decoded_lines, readable
from isoflop.importers.found import Found, flat, to_table


def read_csv(source: str) -> Iterator[Found]:
    """A CSV file, compressed or not, or a TSV."""
    from pyarrow import csv

    delimiter = "\t" if ".tsv" in source else ","
    yield Found("", _read(source, csv.read_csv, parse_options=csv.ParseOptions(delimiter=delimiter)))


def read_parquet(source: str) -> Iterator[Found]:
    """A Parquet file; fields of structures are columns of dotted names."""
    from pyarrow import parquet

    yield Found("", _read(source, lambda path: parquet.ParquetFile(path).read().flatten()))


def read_jsonl(source: str) -> Iterator[Found]:
    """An object a line; fields of objects in it are columns of dotted names, lists are left out."""
    yield Found("", to_table(flat(row) for row in decoded_lines(source)))


def _read(source: str, read: Any, **options: Any) -> Any:
    import pyarrow as pa

    with readable(source):
        try:
            table = read(source, **options)
            table.column_names  # noqa: B018  # names that are no text are found out when they are asked for
            return table
        except (pa.ArrowException, MemoryError, UnicodeDecodeError) as error:
            raise SourceError(f"cannot read {source}: {error}") from error
