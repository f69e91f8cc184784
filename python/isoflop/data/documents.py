"""Where text comes from: each source is a sorted list of named documents, read as bytes.

``stdlib`` is the source code of the running Python's own standard library: real text, on every machine, nothing to
fetch. Anything else is a path: a text file (one document) or a folder (every text file below it).
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from isoflop.errors import CorpusError

STDLIB = "stdlib"

# Left out of ``stdlib``: what distributions strip or package apart, what users add, and generated tables.
_STDLIB_SKIPPED = {
    *("test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"),
    *("idlelib", "lib2to3", "turtledemo", "encodings", "pydoc_data"),
}
_TEXT_SUFFIXES = {".txt", ".md", ".rst", ".py", ".text", ".tex", ".html", ".csv", ".json"}


def read_documents(source: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) in name order: the same order on every machine that holds the same text.

    Raises:
        CorpusError: the path does not exist, cannot be read, or a folder holds no text file.
    """
    if source == STDLIB:
        root = Path(sysconfig.get_paths()["stdlib"])
        paths = [path for path in _walk(root) if path.suffix == ".py"]
    else:
        root = Path(source).expanduser()
        paths = _text_files(root)
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CorpusError(f"cannot read {path}: {error.strerror}") from error
        yield path.relative_to(root).as_posix() if path != root else path.name, content


def _walk(root: Path) -> list[Path]:
    found = []
    for folder, children, files in os.walk(root):
        children[:] = [name for name in children if name not in _STDLIB_SKIPPED]
        found += [Path(folder, name) for name in files]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _text_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise CorpusError(f"corpus {str(root)!r} does not exist", hint=f"give a file, a folder, or {STDLIB!r}")
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix in _TEXT_SUFFIXES)
    if not paths:
        suffixes = " ".join(sorted(_TEXT_SUFFIXES))
        raise CorpusError(f"folder {str(root)!r} holds no text file", hint=f"files ending in {suffixes} are read")
    return paths
