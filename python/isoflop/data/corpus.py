"""A corpus is two token streams, training and held-out, with the boundaries of their documents.

Text becomes byte-level tokens (0..255), and every document ends in token 0, which text never holds. One document in
ten is held out, chosen by a hash of its content, so that the split does not depend on order, machine or seed.
Prepared corpora are cached as memory-mapped uint16 shards under their fingerprint, the hash of every token: equal
fingerprints are equal text.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoflop.data.documents import read_documents
from isoflop.data.shards import is_shard_source, read_shards
from isoflop.errors import CorpusError

Tokens = NDArray[np.uint16]
Offsets = NDArray[np.int64]

BYTE_VOCABULARY = 256
HELD_OUT_SHARE = 0.1
_FORMAT = 1


@dataclass(frozen=True)
class Stream:
    """Tokens (n,) uint16 and the document boundaries (n_documents + 1,) int64: document i is tokens[o[i]:o[i+1]]."""

    tokens: Tokens
    offsets: Offsets

    @property
    def n_documents(self) -> int:
        return len(self.offsets) - 1

    def document(self, index: int) -> Tokens:
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True)
class Corpus:
    """Training and held-out tokens with the name they were asked for by and the fingerprint of their content."""

    source: str
    fingerprint: str
    n_vocab: int
    train: Stream
    held_out: Stream


def load_corpus(source: str, cache: Path | None = None) -> Corpus:
    """Read a corpus: ``"stdlib"``, a text file, a folder of text, or uint16 ``.bin`` shards.

    Args:
        source: the name or path. A folder (or file) of ``.bin`` shards is taken as tokens, not as text.
        cache: a folder in which the prepared tokens are kept and shared, memory-mapped, between processes.

    Raises:
        CorpusError: nothing there, nothing readable, an empty corpus, or nothing left to train on or to hold out.
    """
    train, held_out, n_vocab = _read_shards(source) if is_shard_source(source) else _read_text(source)
    corpus = Corpus(source, _fingerprint(train, held_out), n_vocab, train, held_out)
    if cache is None:
        return corpus
    _save(corpus, cache / corpus.fingerprint)
    # Another source with the same text may have put it there.
    return replace(open_corpus(cache, corpus.fingerprint), source=source, n_vocab=n_vocab)


def open_corpus(cache: Path, fingerprint: str) -> Corpus:
    """Open a corpus that :func:`load_corpus` has prepared in ``cache``, memory-mapped.

    Raises:
        CorpusError: no such corpus in the cache, or its files are damaged.
    """
    folder = cache / fingerprint
    if not folder.is_dir():
        raise CorpusError(f"no corpus {fingerprint} in {cache}", hint="load_corpus(source, cache) puts it there")
    try:
        meta = json.loads((folder / "corpus.json").read_text())
        train, held_out = (
            Stream(np.memmap(folder / f"{name}.bin", np.uint16, "r"), np.load(folder / f"{name}.offsets.npy"))
            for name in ("train", "held_out")
        )
        whole = all(len(stream.tokens) == stream.offsets[-1] for stream in (train, held_out))
        corpus = Corpus(meta["source"], fingerprint, meta["n_vocab"], train, held_out)
    except (OSError, ValueError, LookupError) as error:
        raise CorpusError(
            f"corpus {folder} cannot be read: {error}", hint="delete that folder; it is made again"
        ) from error
    if not whole:
        raise CorpusError(f"corpus {folder} lacks some of its tokens", hint="delete that folder; it is made again")
    return corpus


def _read_text(source: str) -> tuple[Stream, Stream, int]:
    documents = [(name, content) for name, content in read_documents(source) if content]
    if not documents:
        raise CorpusError(f"corpus {source!r} is empty", hint="it holds no byte of text")
    for name, content in documents:
        if b"\0" in content:
            raise CorpusError(f"{name} in corpus {source!r} is not text: it holds a NUL byte")
    if len(documents) == 1:
        train, held_out = _split_one(documents[0][1])
    else:
        train, held_out = _split([content for _, content in documents])
    if not train or not held_out:
        size = sum(len(content) for _, content in documents)
        raise CorpusError(
            f"corpus {source!r}, {len(documents)} documents of {size} bytes, is too little to train on and to hold out",
            hint="give more text, in documents that differ",
        )
    return _stream(train), _stream(held_out), BYTE_VOCABULARY


def _split_one(content: bytes) -> tuple[list[bytes], list[bytes]]:
    """Hold out the last tenth of a single document, cut at a line end where there is one."""
    cut = int(len(content) * (1 - HELD_OUT_SHARE))
    line_end = content.find(b"\n", cut) + 1
    cut = line_end if 0 < line_end < len(content) else cut
    return [part for part in (content[:cut],) if part], [part for part in (content[cut:],) if part]


def _split(documents: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Hold out the documents whose hash is in the lowest tenth: one at least, and not all."""
    hashes = [int.from_bytes(hashlib.sha256(content).digest()[:8], "big") for content in documents]
    bound = min(max(int(HELD_OUT_SHARE * 2**64), min(hashes) + 1), max(hashes))
    train = [content for content, value in zip(documents, hashes, strict=True) if value >= bound]
    return train, [content for content, value in zip(documents, hashes, strict=True) if value < bound]


def _stream(documents: list[bytes]) -> Stream:
    tokens = np.frombuffer(b"".join(content + b"\0" for content in documents), np.uint8).astype(np.uint16)
    offsets = np.cumsum([0] + [len(content) + 1 for content in documents], dtype=np.int64)
    return Stream(tokens, offsets)


def _read_shards(source: str) -> tuple[Stream, Stream, int]:
    train, held_out = read_shards(source)
    if held_out is None:
        cut = int(len(train) * (1 - HELD_OUT_SHARE))
        train, held_out = train[:cut], train[cut:]
    if not len(train) or not len(held_out):
        raise CorpusError(f"corpus {source!r} is empty", hint="it needs tokens to train on and tokens to hold out")
    n_vocab = int(max(train.max(), held_out.max())) + 1
    whole = [Stream(tokens, np.array([0, len(tokens)], np.int64)) for tokens in (train, held_out)]
    return whole[0], whole[1], n_vocab


def _fingerprint(*streams: Stream) -> str:
    digest = hashlib.sha256()
    for stream in streams:
        digest.update(stream.offsets.tobytes())
        digest.update(np.ascontiguousarray(stream.tokens).data)
    return digest.hexdigest()[:16]


def _save(corpus: Corpus, folder: Path) -> None:
    """Publish the tokens by renaming a finished folder, so that no reader sees half of one."""
    if folder.exists():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".corpus-", dir=folder.parent) as private:
            unfinished = Path(private) / folder.name  # unlike the private folder, as readable as the user's other files
            unfinished.mkdir()
            for name, stream in (("train", corpus.train), ("held_out", corpus.held_out)):
                (unfinished / f"{name}.bin").write_bytes(np.ascontiguousarray(stream.tokens).data)
                np.save(unfinished / f"{name}.offsets.npy", stream.offsets)
            meta = {"format": _FORMAT, "source": corpus.source, "n_vocab": corpus.n_vocab}
            (unfinished / "corpus.json").write_text(json.dumps(meta))
            unfinished.rename(folder)
    except OSError as error:
        if not folder.exists():  # else another process published the same tokens first
            raise CorpusError(
                f"cannot cache corpus {corpus.source!r} in {folder.parent}: {error.strerror or error}"
            ) from error
