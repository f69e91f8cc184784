"""Tokenizers of the Hugging Face tokenizers library: read from a file, or byte pairs trained here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from isoflop.data.stream import Tokens, token_type
from isoflop.data.texts import Piece
from isoflop.errors import CorpusError, require

Pieces = Callable[[], Iterator[Piece]]

END = "<|endoftext|>"
_ENDS = (END, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>")
_BATCH_PIECES = 256
_TRAINING_BYTES = 10**8
_LONG = re.compile(r"(\S{1000}|\s{1000})")
# The trainer takes a word's length squared: the words of a line without spaces, or of spaces alone, are cut for it.


@dataclass(frozen=True)
class Library:
    """A tokenizer of the Hugging Face tokenizers library, as its own JSON; the library is loaded on first use."""

    source: str

    @cached_property
    def _made(self) -> Any:
        made = require("tokenizers", extra="train").Tokenizer.from_str(self.source)
        made.encode_special_tokens = True  # a text that speaks of an end of document does not end there
        made.no_truncation()  # which files ask for that were saved with a model of sentences, as of padding
        made.no_padding()
        return made

    @cached_property
    def n_vocab(self) -> int:
        """One more than the largest token: numbers may be left out."""
        return 1 + int(max(self._made.get_vocab().values()))

    @cached_property
    def end(self) -> int:
        found = (self._made.token_to_id(name) for name in _ENDS)
        end = next((int(token) for token in found if token is not None), None)
        if end is None:
            raise CorpusError("the tokenizer has no token for the end of a document", hint=f"one of {', '.join(_ENDS)}")
        return end

    def encode(self, pieces: Iterable[Piece]) -> Iterator[tuple[Tokens, bool]]:
        kind, left = token_type(self.n_vocab), iter(pieces)
        while batch := list(islice(left, _BATCH_PIECES)):
            texts = [piece.text.decode() for piece in batch]
            for encoded, piece in zip(
                self._made.encode_batch_fast(texts, add_special_tokens=False), batch, strict=True
            ):
                yield np.array(encoded.ids + [self.end] * piece.last, kind), piece.last

    def decode(self, tokens: Sequence[int] | Tokens) -> bytes:
        kept = [token for token in np.asarray(tokens).tolist() if token != self.end]
        return str(self._made.decode(kept, skip_special_tokens=False)).encode()

    def to_json(self) -> str:
        return self.source


def train_bpe(n_vocab: int, training: Pieces) -> Library:
    """Byte pairs merged by their frequency in the first 100 MB of ``training``, into ``n_vocab`` tokens."""
    library = require("tokenizers", extra="train")
    level = library.pre_tokenizers.ByteLevel
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = level(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=n_vocab, special_tokens=[END], initial_alphabet=sorted(level.alphabet()), show_progress=False
    )

    def texts() -> Iterator[str]:
        left = _TRAINING_BYTES
        for piece in training():
            if left <= 0:
                return
            left -= len(piece.text)
            yield from _LONG.split(piece.text.decode())

    tokenizer.train_from_iterator(texts(), trainer)
    return Library(str(tokenizer.to_str()))
