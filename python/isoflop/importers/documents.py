"""JSON that somebody else wrote: read with a bound on its size, and refused in words where it is damaged."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from isoflop.errors import IsoflopError, SourceError

LARGEST = 1 << 30
"""Bytes of a document that is read whole, unpacked."""


@contextmanager
def readable(source: str) -> Iterator[None]:
    """Turn what the disk refuses into a :class:`SourceError`."""
    try:
        yield
    except (OSError, EOFError) as error:
        if isinstance(error, IsoflopError):
            raise
        raise SourceError(f"cannot read {source}: {getattr(error, 'strerror', None) or error}") from error


def decoded(source: str) -> dict[str, Any]:
    """The object in a file of JSON.

    Raises:
        SourceError: it is too large, no object, damaged or nested too deeply, or cannot be read.
    """
    return _decode(_content(source), source, "")


def decoded_lines(source: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines.

    Raises:
        SourceError: as :func:`decoded`, with the number of the line.
    """
    for number, line in enumerate(_content(source).splitlines(), 1):
        if line.strip():
            yield _decode(line, source, f" line {number}")


def _decode(content: bytes, source: str, where: str) -> dict[str, Any]:
    try:
        # json.dump writes NaN and Infinity, which JSON has no words for; the standard library reads them.
        value = msgspec.json.decode(content)
    except RecursionError as error:
        raise SourceError(f"{source}{where} is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        value = _lenient(content, f"{source}{where}", error)
    if not isinstance(value, dict):
        raise SourceError(f"{source}{where} is no JSON object: {str(value)[:40]!r}")
    return value


def _lenient(content: bytes, where: str, first: Exception) -> Any:
    """JSON as Python writes it, with NaN and Infinity."""
    import json

    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where} is damaged: {first}") from error


def _content(source: str) -> bytes:
    with readable(source):
        path = Path(source)
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise SourceError(f"{source} is larger than {LARGEST / 1e9:.1f} GB", hint="as Parquet it is read by column")
    return content
