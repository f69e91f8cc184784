"""TensorBoard's event files: every scalar of every folder that holds some."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isoflop.errors import SourceError, require
from isoflop.importers.documents import readable
from isoflop.importers.found import Found, by_step

_LENGTHS = struct.Struct("<Q4x")


def read(source: str) -> Iterator[Found]:
    """A file, or a folder: each folder inside it that holds event files is a run, called by its path in ``source``.

    Scalars are columns by their tags, ``step`` their step. TensorBoard records no end: all runs count as finished.

    Raises:
        SourceError: a file is none of TensorBoard's or damaged, a link, or there is none.
        MissingExtra: tensorboard is not installed.
    """
    path = Path(source)
    if path.is_file():
        yield _run(path.parent.name, [path])
        return
    folders: dict[Path, list[Path]] = {}
    for file in sorted(path.glob("**/*tfevents*")):
        if file.is_symlink():
            raise SourceError(f"{file} is a symbolic link", hint="name the file itself")
        folders.setdefault(file.parent, []).append(file)
    if not folders:
        raise SourceError(f"{source} holds no event files of TensorBoard")
    for folder, files in folders.items():
        inside = folder.relative_to(path).as_posix()
        yield _run(path.name if inside == "." else inside, files)


def _run(name: str, files: list[Path]) -> Found:
    tensor_util = require("tensorboard.util.tensor_util", extra="trackers")
    series: dict[str, list[tuple[float, float]]] = {}
    started = None
    for file in files:
        for event in _events(file):
            started = event.wall_time if started is None else min(started, event.wall_time)
            for value in event.summary.value:
                array = tensor_util.make_ndarray(value.tensor)
                if array.size == 1 and array.dtype.kind in "fiu":
                    series.setdefault(value.tag, []).append((float(event.step), float(array.item())))
    when = None if started is None else datetime.fromtimestamp(started, UTC).isoformat()
    return Found(name, by_step(series), started=when)


def _events(file: Path) -> Iterator[Any]:
    """Events with all values as tensors, whatever version wrote them; a torn last one is left out."""
    loader = require("tensorboard.backend.event_processing.event_file_loader", extra="trackers")
    _check_whole(file)
    with readable(str(file)):
        try:
            yield from loader.EventFileLoader(str(file)).Load()
        except Exception as error:  # of protobuf, or TensorBoard's own stand-ins for TensorFlow's
            raise SourceError(f"{file} is damaged: {error}") from error


def _check_whole(file: Path) -> None:
    """TensorBoard takes any file for an empty one up to its first damaged record; refuse one that has no record.

    The framing (TensorFlow, record_writer.h): length (8 bytes), its checksum (4), content, its checksum (4).
    """
    with readable(str(file)), file.open("rb") as opened:
        head = opened.read(_LENGTHS.size)
        size = file.stat().st_size
    if size and (len(head) < _LENGTHS.size or _LENGTHS.unpack(head)[0] + _LENGTHS.size + 4 > size):
        raise SourceError(f"{file} is no event file of TensorBoard")
