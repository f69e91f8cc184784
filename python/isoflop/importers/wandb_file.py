"""W&B's own files, ``offline-run-*/run-*.wandb``: a log of records in LevelDB's framing, each a message of wandb's.

The framing (LevelDB, log_format.md): blocks of 32 KiB; a record is one or several pieces, each checksum (4 bytes, the
CRC-32 of type and payload), length (2), type (1: whole, 2: first, 3: middle, 4: last), payload; less than 7 bytes at
the end of a block are padding. Before it all stand 7 bytes: ``:W&B``, 0xBEE1 and a version.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isoflop.errors import SourceError, require
from isoflop.importers.documents import readable
from isoflop.importers.found import Found, flat, to_table

_HEADER = struct.Struct("<4sHB")
_PIECE = struct.Struct("<IHB")
_BLOCK = 32768
_WHOLE, _FIRST, _LAST = 1, 2, 4


def read(source: str) -> Iterator[Found]:
    """The run of a ``.wandb`` file, or those of the folder ``wandb`` that holds folders with one each.

    The columns are what was logged, with ``_step``; the fields are ``config.lr``, ``summary.loss``, as W&B nests them.
    A run without its last record was killed.
    """
    path = Path(source)
    files = sorted(path.glob("**/*.wandb")) if path.is_dir() else [path]
    for file in files:
        if path.is_dir() and (file.is_symlink() or file.parent.is_symlink()):
            raise SourceError(f"{file} is a symbolic link", hint="name the file itself")
        yield _run(file)


def _run(file: Path) -> Found:
    messages = require("wandb.proto.wandb_internal_pb2", extra="trackers")
    rows: list[dict[str, Any]] = []
    fields: dict[str, Any] = {}
    name, started, exit_code, seconds = file.stem.removeprefix("run-"), None, None, None
    for content in _records(file):
        record = messages.Record()
        try:
            record.ParseFromString(content)
        except Exception as error:  # DecodeError's home depends on the version of protobuf
            raise SourceError(f"{file} is damaged: {error}") from error
        match record.WhichOneof("record_type"):
            case "run":
                name = record.run.run_id or name
                started = datetime.fromtimestamp(record.run.start_time.ToSeconds(), UTC).isoformat()
                fields |= flat(_items(record.run.config.update), "config.")
                fields |= {"display_name": record.run.display_name, "project": record.run.project}
            case "config":
                fields |= flat(_items(record.config.update), "config.")
            case "history":
                row = flat(_items(record.history.item))
                rows.append({"_step": float(record.history.step.num)} | row)
            case "summary":
                fields |= flat(_items(record.summary.update), "summary.")
            case "exit":
                exit_code, seconds = record.exit.exit_code, float(record.exit.runtime) or None
    table = to_table(rows)
    if exit_code == 0:
        return Found(name, table, fields, started=started, seconds=seconds)
    why = "it has no last record: killed, or still running" if exit_code is None else f"exit code {exit_code}"
    return Found(name, table, fields, "killed", f"W&B: {why}", started, seconds)


def _items(items: Any) -> dict[str, Any]:
    """``key`` or ``nested_key`` and JSON, as nested objects' dotted names; W&B writes the numbers NaN and Infinity."""
    return {".".join(item.nested_key) or item.key: _value(item.value_json) for item in items}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _records(file: Path) -> Iterator[bytes]:
    """The records up to the first that is torn.

    Raises:
        SourceError: it is no such file, or a checksum does not fit.
    """
    with readable(str(file)):
        content = file.read_bytes()
    if len(content) < _HEADER.size or _HEADER.unpack_from(content)[:2] != (b":W&B", 0xBEE1):
        raise SourceError(f"{file} is no file of W&B")
    whole: list[bytes] = []
    at = _HEADER.size
    while True:
        if _BLOCK - at % _BLOCK < _PIECE.size:
            at += _BLOCK - at % _BLOCK
        if at + _PIECE.size > len(content):
            return
        checksum, length, kind = _PIECE.unpack_from(content, at)
        payload = content[at + _PIECE.size : at + _PIECE.size + length]
        if len(payload) < length:
            return
        if zlib.crc32(bytes([kind]) + payload) != checksum:
            raise SourceError(f"{file} is damaged at byte {at}: the checksum does not fit")
        at += _PIECE.size + length
        if kind in (_WHOLE, _FIRST):
            whole = []
        whole.append(payload)
        if kind in (_WHOLE, _LAST):
            yield b"".join(whole)
