"""Runs from a file: CSV, JSON lines or Parquet, its columns by name."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.errors import FitError, nearest
from isoflop.fitting.data import FitData


def read_file(path: str | Path, rename: Mapping[str, str] | None = None) -> FitData:
    """The columns of a file of runs; those of text stay text, an empty cell of a column of numbers is NaN.

    Args:
        path: a file that ends in one of ``READERS``.
        rename: names of the file by the names that laws use: ``{"N": "Model Size"}``.

    Raises:
        FitError: no such file, another kind of file, rows of different length, or a column that is not there.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise FitError(f"cannot read runs from {path}", hint=f"a run store, or a file {', '.join(READERS)}")
    try:
        columns = reader(path)
    except OSError as error:
        raise FitError(f"cannot read runs from {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FitError(f"{path.name} is not text in UTF-8: {error}", hint="save it as UTF-8") from error
    for name, known in (rename or {}).items():
        if known not in columns:
            raise FitError(f"{path.name} has no column {known!r}", hint=nearest(known, columns))
        columns = {name: columns[known], **{k: v for k, v in columns.items() if k != name}}
    return FitData(columns, source=path.name)


def _csv(path: Path) -> dict[str, Any]:
    # spreadsheets write a mark of byte order before the first heading
    with path.open(newline="", encoding="utf-8-sig") as file:
        head, *rows = [row for row in csv.reader(file) if row] or [[]]
    head = [name.strip() for name in head]
    for name in head:
        if head.count(name) > 1:
            raise FitError(f"{path.name} has {head.count(name)} columns {name!r}", hint="give each its own heading")
    for i, row in enumerate(rows):
        if len(row) != len(head):
            raise FitError(f"{path.name}, row {i}: {len(row)} cells under {len(head)} headings")
    return {name: _numbers([row[i] for row in rows]) for i, name in enumerate(head)}


def _jsonl(path: Path) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for i, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines()):
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError as error:
            raise FitError(f"{path.name}, row {i}: {error}") from error
        if row is not None and not isinstance(row, dict):
            raise FitError(f"{path.name}, row {i}: not an object")
        rows += [] if row is None else [row]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _numbers([row.get(name) for row in rows]) for name in names}


def _parquet(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pa.ArrowInvalid as error:
        raise FitError(f"{path.name} is no Parquet file: {error}") from error
    return {name: table[name].to_numpy() for name in table.column_names}


def _numbers(cells: list[Any]) -> Any:
    """Cells as numbers; as they are where one is neither a number nor empty."""
    try:
        return np.array([np.nan if cell is None or cell == "" else float(cell) for cell in cells])
    except (TypeError, ValueError):
        return np.array([str(cell) for cell in cells])


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
"""By the end of the file's name."""
