"""Documents on disk: every source is written down once, so that later passes read it mapped, in any order."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isoflop.data.rows import Document
from isoflop.data.stream import Offsets
from isoflop.errors import CorpusError

Spans = NDArray[np.int64]
"""Parts of documents, (n, 3): index of the document, first byte, byte after the last."""

_PIECE_BYTES = 1 << 20


class Piece(NamedTuple):
    """A part of a document, and whether the document ends with it."""

    text: bytes
    last: bool


@dataclass(frozen=True)
class _Blobs:
    """Byte strings behind each other in a mapped file; the i-th is data[offsets[i]:offsets[i + 1]]."""

    data: NDArray[np.uint8]
    offsets: Offsets

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return self.data[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True)
class Texts:
    """Named documents of a source, mapped from disk.

    Attributes:
        hashes: the first 8 bytes of each document's SHA-256 as a number, (n,) uint64; equal texts have equal hashes.
        fingerprint: of all documents in their order.
    """

    source: str
    names: _Blobs
    contents: _Blobs
    hashes: NDArray[np.uint64]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.hashes)

    def name(self, index: int) -> str:
        return self.names[index].tobytes().decode()

    def content(self, index: int) -> bytes:
        return self.contents[index].tobytes()

    def spans(self, indices: NDArray[np.int64]) -> Spans:
        """These documents, whole."""
        sizes = np.diff(self.contents.offsets)[indices]
        return np.stack([indices, np.zeros_like(sizes), sizes], axis=1)

    def pieces(self, spans: Spans) -> Iterator[Piece]:
        """These parts in pieces of a MiB at most, cut at line ends, so that no document is ever whole in memory."""
        for index, begin, end in spans.tolist():
            content = self.contents[index][begin:end]
            start = 0
            while len(content) - start > _PIECE_BYTES:
                piece = content[start : start + _PIECE_BYTES].tobytes()
                piece = piece[: piece.rfind(b"\n") + 1 or _character_end(piece)]
                yield Piece(piece, last=False)
                start += len(piece)
            yield Piece(content[start:].tobytes(), last=True)


def _character_end(piece: bytes) -> int:
    """The end of the last whole UTF-8 character: the next piece may begin with no continuation byte."""
    end = len(piece) - 1
    while end > len(piece) - 4 and piece[end] & 0xC0 == 0x80:
        end -= 1
    return end or len(piece)


def write_texts(documents: Iterable[Document], source: str, folder: Path) -> Texts:
    """Write the documents of ``source`` into ``folder`` as they come, and map them.

    Raises:
        CorpusError: a document holds a NUL byte, which no text does.
    """
    hashes, digest = array("Q"), hashlib.sha256()
    name_ends, ends = array("q", [0]), array("q", [0])
    with (folder / "names").open("wb") as names, (folder / "texts").open("wb") as contents:
        for name, content in documents:
            if content.find(b"\0") >= 0:
                raise CorpusError(f"{name} in corpus {source!r} is not text: it holds a NUL byte")
            own = hashlib.sha256(content).digest()
            hashes.append(int.from_bytes(own[:8], "big"))
            digest.update(own)
            names.write(name.encode(errors="replace"))
            contents.write(content)
            name_ends.append(names.tell())
            ends.append(contents.tell())
    written = _map(folder / "names", name_ends), _map(folder / "texts", ends)
    return Texts(source, *written, np.array(hashes, np.uint64), digest.hexdigest())


def _map(file: Path, ends: array[int]) -> _Blobs:
    data = np.memmap(file, np.uint8, "r") if file.stat().st_size else np.empty(0, np.uint8)
    return _Blobs(data, np.array(ends, np.int64))


def refuse_undecodable(texts: Texts, spans: Spans) -> None:
    """Raise a CorpusError that names the first document which is not UTF-8, and the byte where it is not."""
    for span in spans:
        at = 0
        for piece in texts.pieces(span[None]):
            try:
                piece.text.decode()
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"{texts.name(span[0])} in corpus {texts.source!r} is not UTF-8: "
                    f"byte {piece.text[error.start]:#04x} at {at + error.start:,}",
                    hint='tokenizer = "byte" takes any bytes',
                ) from error
            at += len(piece.text)
