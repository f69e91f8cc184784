"""Tokenizers: text to tokens and back, one token at the end of every document.

| name | tokens | end of document |
|---|---|---|
| ``byte`` | the 256 bytes | 0, which text never holds |
| ``char`` | the characters of the text, by code point | 0 |
| ``bpe`` | byte pairs merged by frequency (Sennrich 2016, on bytes as GPT-2 has it), trained on the training text | 0 |
| a ``tokenizer.json`` | as the Hugging Face tokenizers library reads it, or as a corpus keeps its own | its own |
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from isoflop.data.stream import Tokens, token_type
from isoflop.data.texts import Piece
from isoflop.data.tokenizers_library import Library, Pieces, train_bpe
from isoflop.errors import CorpusError, SpecError, nearest, require

_LEAST_BPE = 257


class Tokenizer(Protocol):
    """Text to tokens and back."""

    @property
    def n_vocab(self) -> int:
        """How many tokens there are."""
        ...

    @property
    def end(self) -> int:
        """The token after every document."""
        ...

    def encode(self, pieces: Iterable[Piece]) -> Iterator[tuple[Tokens, bool]]:
        """The tokens of each piece, the end after the last of a document, and whether it was the last."""
        ...

    def decode(self, tokens: Sequence[int] | Tokens) -> bytes:
        """The text of these tokens; ends of documents are left out."""
        ...

    def to_json(self) -> str:
        """All it takes to make this tokenizer again, by :func:`read_tokenizer`."""
        ...


@dataclass(frozen=True)
class Bytes:
    """Every byte is its own token."""

    n_vocab: int = 256
    end: int = 0

    def encode(self, pieces: Iterable[Piece]) -> Iterator[tuple[Tokens, bool]]:
        for text, last in pieces:
            yield np.frombuffer(text + b"\0" * last, np.uint8).astype("<u2"), last

    def decode(self, tokens: Sequence[int] | Tokens) -> bytes:
        return np.asarray(tokens).astype(np.uint8).tobytes().replace(b"\0", b"")

    def to_json(self) -> str:
        return json.dumps({"tokenizer": "byte"})


@dataclass(frozen=True)
class Characters:
    """Characters that occur, in the order of their code points, from token 1 on."""

    characters: str
    end: int = 0

    @property
    def n_vocab(self) -> int:
        return len(self.characters) + 1

    @cached_property
    def _token_of(self) -> Tokens:
        codes = [ord(character) for character in self.characters]
        table = np.zeros(max(codes, default=0) + 1, token_type(self.n_vocab))
        table[codes] = np.arange(1, self.n_vocab)
        return table

    def encode(self, pieces: Iterable[Piece]) -> Iterator[tuple[Tokens, bool]]:
        """As :meth:`Tokenizer.encode`.

        Raises:
            CorpusError: a character that is not of this vocabulary.
        """
        for text, last in pieces:
            codes = _code_points(text.decode())
            known = codes < len(self._token_of)
            tokens = self._token_of[np.where(known, codes, 0)]
            if not (known & (tokens > 0)).all():
                strange = chr(codes[~known | (tokens == 0)][0])
                raise CorpusError(
                    f"{strange!r} is none of the {len(self.characters)} characters of this tokenizer",
                    hint='tokenizer = "byte" or "bpe" takes any text',
                )
            yield np.append(tokens, tokens.dtype.type(self.end)) if last else tokens, last

    def decode(self, tokens: Sequence[int] | Tokens) -> bytes:
        return "".join(
            self.characters[token - 1] for token in np.asarray(tokens).tolist() if token != self.end
        ).encode()

    def to_json(self) -> str:
        return json.dumps({"tokenizer": "char", "characters": self.characters})


def make_tokenizer(name: str, n_vocab: int, training: Pieces, whole: Pieces) -> Tokenizer:
    """The tokenizer of this name, trained where it needs to be.

    Args:
        name: ``byte``, ``char``, ``bpe`` or the path of a ``tokenizer.json``.
        n_vocab: tokens to train, the end of a document and the 256 bytes among them; 0 for the others.
        training: the training text, of which BPE sees the first 100 MB.
        whole: all text, whose characters ``char`` takes.

    Raises:
        SpecError: an unknown name, or a vocabulary that it cannot have.
        CorpusError: a ``tokenizer.json`` that is not one.
        MissingExtra: the tokenizers library is not installed.
    """
    if name == "bpe":
        if n_vocab < _LEAST_BPE:
            raise SpecError(
                f"n_vocab = {n_vocab} is too small for tokenizer = 'bpe'",
                hint=f"{_LEAST_BPE} or more: 256 bytes, the end of a document, and what is merged",
            )
        return train_bpe(n_vocab, training)
    if n_vocab:
        raise SpecError(f"n_vocab = {n_vocab} is not for tokenizer = {name!r}", hint="leave it out: the text decides")
    if name == "byte":
        return Bytes()
    if name == "char":
        codes = np.zeros(0x110000, bool)
        for piece in whole():
            codes[_code_points(piece.text.decode())] = True
        return Characters("".join(map(chr, np.flatnonzero(codes).tolist())))
    if not name.endswith(".json"):
        raise SpecError(f"tokenizer = {name!r} is unknown", hint=nearest(name, ("byte", "char", "bpe", "FILE.json")))
    return _read_file(Path(name).expanduser())


def key_of(name: str) -> str:
    """What decides the tokens beside the text: the name with the library's version, or the content of a file."""
    if name.endswith(".json"):
        return _read_file(Path(name).expanduser()).to_json()
    return f"{name} {require('tokenizers', extra='train').__version__}" if name == "bpe" else name


def read_tokenizer(text: str) -> Tokenizer:
    """The tokenizer that :meth:`Tokenizer.to_json` wrote."""
    values = json.loads(text)
    own = values.get("tokenizer") if isinstance(values, dict) else None
    if own == "byte":
        return Bytes()
    return Characters(values["characters"]) if own == "char" else Library(text)


def _read_file(path: Path) -> Tokenizer:
    """The tokenizer in a ``tokenizer.json``, of the library or as a corpus keeps it. Raises CorpusError."""
    try:
        made = read_tokenizer(path.read_text())
        made.end  # noqa: B018 - read now, so that a file that is no tokenizer is refused now
    except OSError as error:
        raise CorpusError(f"cannot read tokenizer {str(path)!r}: {error.strerror}") from error
    except CorpusError:
        raise
    except Exception as error:  # the library raises Exception itself, what is no JSON or no UTF-8 a ValueError
        if type(error) is not Exception and not isinstance(error, ValueError):
            raise
        raise CorpusError(f"{str(path)!r} is not a tokenizer of the tokenizers library: {error}") from error
    return made


def _code_points(text: str) -> Tokens:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")
