"""Text that stands in rows: JSON lines, Parquet, Hugging Face datasets; a document a row, one row at a time."""

from __future__ import annotations

import gzip
import json
import mmap
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from isoflop.data.query import read_query
from isoflop.errors import CorpusError, nearest, require

Content = bytes | mmap.mmap
Document = tuple[str, Content]

HUGGING_FACE = "hf:"
_BATCH_ROWS = 1024


def read_rows(given: Iterable[Any], column: str) -> Iterator[Document]:
    """Documents of any iterable of texts (str or bytes) or of mappings with the text in ``column``; a null is empty.

    Raises:
        CorpusError: a row lacks the column, or holds something else there; one text, or a mapping of several sets.
    """
    if isinstance(given, (str, bytes)):
        raise CorpusError(f"rows = {given[:30]!r}... is one text, not texts", hint="rows=[text], of several documents")
    if isinstance(given, Mapping):
        raise CorpusError(
            "rows is a mapping, whose keys are no texts", hint=f"one of its values: {', '.join(map(str, given))}"
        )
    return _texts(given, "row", column)


def read_jsonl(path: Path, name: str, column: str) -> Iterator[Document]:
    """Documents of a file of JSON lines, gzipped or not; blank lines are none.

    Raises:
        CorpusError: a line is torn or not JSON, or lacks the field.
    """
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                if not line.isspace():
                    where = f"{name}:{number}"
                    yield where, _text(_decoded(line, where), where, column)
        except EOFError as error:
            raise CorpusError(f"{name} is torn: {error}", hint="fetch the file again") from error


def _decoded(line: bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{where} is not a line of JSON: {error}", hint="one whole JSON object a line") from error


def read_parquet(path: Path, name: str, column: str) -> Iterator[Document]:
    """Documents of a Parquet file, some rows in memory at a time.

    Raises:
        CorpusError: the file is torn or not Parquet, or lacks the column of text.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            known = file.schema_arrow.names
            if column not in known:
                raise CorpusError(f"{name} has no column {column!r}", hint=nearest(column, known))
            batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=[column])
            yield from _texts((row for batch in batches for row in batch.to_pylist()), name, column)
    except arrow.ArrowException as error:
        raise CorpusError(f"{name} is torn or no Parquet file: {error}", hint="fetch the file again") from error


def read_dataset(source: str, column: str) -> Iterator[Document]:
    """Documents of ``hf:NAME?config=...&split=train&documents=10000``, streamed: nothing but those rows is fetched.

    Raises:
        CorpusError: an unknown option, no such column, or the library refuses the name.
        MissingExtra: the datasets library is not installed.
    """
    name, options = read_query(source, {"config": "", "split": "train", "revision": "", "documents": 0})
    library = require("datasets", extra="hf")
    name = name.removeprefix(HUGGING_FACE)
    if not name:
        raise CorpusError(f"corpus {source!r} names no dataset", hint=f"{HUGGING_FACE}NAME?split=train")
    try:
        rows = library.load_dataset(
            name,
            options["config"] or None,
            split=options["split"],
            revision=options["revision"] or None,
            streaming=True,
        )
        wanted = int(options["documents"]) or None
        yield from _texts(islice(rows, wanted), f"{name}/{options['split']}", column)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(f"cannot stream {source!r}: {error}") from error


def _texts(rows: Iterable[Any], name: str, column: str) -> Iterator[Document]:
    for number, row in enumerate(rows, start=1):
        where = f"{name}:{number}"
        yield where, _text(row, where, column)


def _text(row: Any, where: str, column: str) -> bytes:
    value = row
    if isinstance(row, Mapping):
        if column not in row:
            raise CorpusError(f"{where} has no {column!r}", hint=nearest(column, map(str, row)))
        value = row[column]
    if value is None:
        return b""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:  # half a surrogate pair, which JSON can hold and UTF-8 cannot
            raise CorpusError(f"{where}: {column!r} is not text: {error}") from error
    if isinstance(value, bytes):
        return value
    raise CorpusError(f"{where}: {column!r} holds a {type(value).__name__}, not text", hint="name the column of text")
