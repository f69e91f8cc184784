"""Where text comes from: each source yields named documents, as bytes, in the same order on every machine.

``stdlib`` is the source code of the running Python's own standard library: real text, on every machine, nothing to
fetch. ``hf:NAME`` streams a Hugging Face dataset. Anything else is a path: a file, or a folder with every file below it
that can be read. JSON lines and Parquet hold a document a row; of other files each is one document.
"""

from __future__ import annotations

import mmap
import os
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

from isoflop.data import rows
from isoflop.data.rows import Content, Document
from isoflop.errors import CorpusError

STDLIB = "stdlib"

# Left out of ``stdlib``: what distributions strip or package apart, what users add, and generated tables.
_STDLIB_SKIPPED = {
    *("test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"),
    *("idlelib", "lib2to3", "turtledemo", "encodings", "pydoc_data"),
}
_MAPPED_BYTES = 1 << 20


def read_documents(source: str, column: str = "text") -> Iterator[Document]:
    """Yield (name, content) in name order: the same order on every machine that holds the same text.

    Args:
        source: ``stdlib``, ``hf:...`` or a path.
        column: the field of JSON lines, or the column of Parquet and datasets, that holds the text.

    Raises:
        CorpusError: the path does not exist, cannot be read, a folder holds nothing to read, or a row has no such text.
        MissingExtra: ``hf:`` without the datasets library.
    """
    if source.startswith(rows.HUGGING_FACE):
        yield from rows.read_dataset(source, column)
        return
    if source == STDLIB:
        root = Path(sysconfig.get_paths()["stdlib"])
        paths = [path for path in _walk(root) if path.suffix == ".py"]
    else:
        root = Path(source).expanduser()
        paths = _readable(root)
    for path in paths:
        name = path.relative_to(root).as_posix() if path != root else path.name
        try:
            yield from _reader(path)(path, name, column)
        except OSError as error:
            raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error


def _read_text(path: Path, name: str, _column: str) -> Iterator[Document]:
    """The file as one document: mapped where it is large, so that text of any size is never whole in memory."""
    with path.open("rb") as file:
        content: Content
        if os.fstat(file.fileno()).st_size > _MAPPED_BYTES:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            content = file.read()
    yield name, content


Reader = Callable[[Path, str, str], Iterator[Document]]
_READERS: dict[str, Reader] = {
    **dict.fromkeys((".txt", ".md", ".rst", ".py", ".text", ".tex", ".html", ".csv", ".json"), _read_text),
    ".jsonl": rows.read_jsonl,
    ".jsonl.gz": rows.read_jsonl,
    ".parquet": rows.read_parquet,
}


def _reader(path: Path) -> Reader:
    return next((reader for suffix, reader in _READERS.items() if path.name.endswith(suffix)), _read_text)


def _walk(root: Path) -> list[Path]:
    found = []
    for folder, children, files in os.walk(root):
        children[:] = [name for name in children if name not in _STDLIB_SKIPPED]
        found += [Path(folder, name) for name in files]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _readable(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise CorpusError(f"corpus {str(root)!r} does not exist", hint=f"give a file, a folder, or {STDLIB!r}")
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.name.endswith(tuple(_READERS)))
    if not paths:
        raise CorpusError(
            f"folder {str(root)!r} holds no text file", hint=f"files ending in {' '.join(_READERS)} are read"
        )
    return paths
