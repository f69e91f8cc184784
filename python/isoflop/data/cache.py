"""Prepared corpora on disk: token files, published by one rename, under the fingerprint of their content.

cache/<fingerprint>/train.bin, held_out.bin                    tokens, little-endian uint16 or uint32
                    train.offsets.npy, held_out.offsets.npy    where documents end
                    corpus.json                                what it is and how it was made
                    tokenizer.json                             where the tokens were made here
                    removed.jsonl                              documents left out, each with the reason
cache/prepared/<key>                                           the fingerprint that a text and a recipe led to
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isoflop.data.recipe import Preparation
from isoflop.data.stream import Stream
from isoflop.data.tokenizer import Tokenizer, read_tokenizer
from isoflop.errors import CorpusError

FORMAT = 2
_CHUNK = 1 << 22
_STREAMS = ("train", "held_out")
_DAMAGED = "delete that folder; it is made again"


@dataclass(frozen=True)
class Corpus:
    """Training and held-out tokens with the name they were asked for by and the fingerprint of their content.

    Attributes:
        tokenizer: what made the tokens; None for shards and synthetic sources.
        preparation: what was done to make it.
    """

    source: str
    fingerprint: str
    n_vocab: int
    train: Stream
    held_out: Stream
    tokenizer: Tokenizer | None = None
    preparation: Preparation = field(default_factory=Preparation)

    @property
    def bytes_per_token(self) -> float | None:
        """Held-out bytes a token: a loss in nats/token over this and ln 2 is in bits a byte, whatever the tokens."""
        text = self.preparation.held_out_bytes
        return text / len(self.held_out.tokens) if text else None

    def described(self) -> dict[str, Any]:
        """Where it came from and what was done to it, as plain JSON values: what a run records of its data."""
        made: dict[str, Any] = msgspec.to_builtins(self.preparation)
        return {"source": self.source, "fingerprint": self.fingerprint, "n_vocab": self.n_vocab, **made}


class _Meta(msgspec.Struct):
    """``corpus.json``; format 1 knew neither the type of tokens nor a preparation."""

    format: int
    source: str
    n_vocab: int
    type: str = "<u2"
    preparation: Preparation = msgspec.field(default_factory=Preparation)


@contextmanager
def workshop(source: str, cache: Path | None) -> Iterator[Path]:
    """A private folder in which a corpus is made: beside those of the cache, or a temporary one.

    Raises:
        CorpusError: the folder cannot be written, or what is in it.
    """
    try:
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".corpus-", dir=cache) as private:
            unfinished = Path(private) / "corpus"  # unlike the private folder, as readable as the user's other files
            unfinished.mkdir()
            yield unfinished
    except OSError as error:
        where = tempfile.gettempdir() if cache is None else cache
        raise CorpusError(f"cannot cache corpus {source!r} in {where}: {error.strerror or error}") from error


def write_stream(parts: Iterable[tuple[NDArray[Any], bool]], folder: Path, name: str, kind: np.dtype[Any]) -> Stream:
    """Write tokens as they come, in ``kind``, and map them; the flag of a part says whether a document ends with it."""
    offsets, written = array("q", [0]), 0
    with (folder / f"{name}.bin").open("wb") as file:
        for tokens, last in parts:
            for start in range(0, len(tokens), _CHUNK):
                file.write(np.ascontiguousarray(tokens[start : start + _CHUNK], kind).data)
            written += len(tokens)
            if last:
                offsets.append(written)
    np.save(folder / f"{name}.offsets.npy", np.array(offsets, np.int64))
    return Stream(_mapped(folder / f"{name}.bin", kind), np.array(offsets, np.int64))


def fingerprint_of(streams: Iterable[Stream], made: str) -> str:
    """The identity of a corpus: a hash of its boundaries, its tokens and how they were ``made``, empty if plainly."""
    digest = hashlib.sha256()
    for stream in streams:
        digest.update(stream.offsets.tobytes())
        for start in range(0, len(stream.tokens), _CHUNK):
            digest.update(np.ascontiguousarray(stream.tokens[start : start + _CHUNK]).data)
    digest.update(made.encode())
    return digest.hexdigest()[:16]


def publish(corpus: Corpus, folder: Path, cache: Path) -> None:
    """Describe the corpus whose tokens are in ``folder`` and publish it by a rename: no reader sees half of one."""
    kind = np.dtype(corpus.train.tokens.dtype).newbyteorder("<").str
    meta = _Meta(FORMAT, corpus.source, corpus.n_vocab, kind, corpus.preparation)
    (folder / "corpus.json").write_bytes(msgspec.json.encode(meta))
    if corpus.tokenizer is not None:
        (folder / "tokenizer.json").write_text(corpus.tokenizer.to_json())
    _rename(folder, cache / corpus.fingerprint)


def open_corpus(cache: Path, fingerprint: str) -> Corpus:
    """Open a corpus that :func:`load_corpus` has prepared in ``cache``, memory-mapped.

    Raises:
        CorpusError: no such corpus in the cache, or its files are damaged.
    """
    folder = cache / fingerprint
    if not folder.is_dir():
        raise CorpusError(f"no corpus {fingerprint} in {cache}", hint="load_corpus(source, cache) puts it there")
    try:
        meta = msgspec.json.decode((folder / "corpus.json").read_bytes(), type=_Meta)
        train, held_out = (
            Stream(_mapped(folder / f"{name}.bin", np.dtype(meta.type)), np.load(folder / f"{name}.offsets.npy"))
            for name in _STREAMS
        )
        made_by = folder / "tokenizer.json"
        tokenizer = read_tokenizer(made_by.read_text()) if made_by.exists() else None
        whole = all(len(stream.tokens) == stream.offsets[-1] for stream in (train, held_out))
        corpus = Corpus(meta.source, fingerprint, meta.n_vocab, train, held_out, tokenizer, meta.preparation)
    except (OSError, ValueError, LookupError, msgspec.MsgspecError) as error:
        raise CorpusError(f"corpus {folder} cannot be read: {error}", hint=_DAMAGED) from error
    if not whole:
        raise CorpusError(f"corpus {folder} lacks some of its tokens", hint=_DAMAGED)
    return corpus


def copy_corpora(made: Path, cache: Path) -> None:
    """Publish every corpus of one cache in another, with what they were made from.

    Raises:
        CorpusError: the other cannot be written.
    """
    for folder in made.iterdir():
        with workshop(folder.name, cache) as unfinished:
            shutil.copytree(folder, unfinished, dirs_exist_ok=True)
            _rename(unfinished, cache / folder.name)


def _rename(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        if not target.exists():  # else another process published the same tokens first
            raise


def _mapped(file: Path, kind: np.dtype[Any]) -> NDArray[Any]:
    return np.memmap(file, kind, "r") if file.stat().st_size else np.empty(0, kind)


class Prepared:
    """Which corpus a text and a recipe led to, so that tokens are not made twice."""

    def __init__(self, cache: Path, text: str, made: dict[str, Any]) -> None:
        key = hashlib.sha256(json.dumps([FORMAT, text, made], sort_keys=True).encode()).hexdigest()[:16]
        self._cache, self._file = cache, cache / "prepared" / key

    def corpus(self) -> Corpus | None:
        """The corpus, if it is there."""
        if not self._file.exists():
            return None
        fingerprint = self._file.read_text()
        return open_corpus(self._cache, fingerprint) if (self._cache / fingerprint).is_dir() else None

    def remember(self, fingerprint: str) -> None:
        """Write down what it led to."""
        self._file.parent.mkdir(exist_ok=True)
        unfinished = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        unfinished.write_text(fingerprint)
        unfinished.rename(self._file)
