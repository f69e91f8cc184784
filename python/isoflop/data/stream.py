"""Tokens and where their documents end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint16 | np.uint32]
"""Token numbers, in the narrower type that holds the vocabulary."""

Offsets = NDArray[np.int64]


def token_type(n_vocab: int) -> np.dtype[np.uint16 | np.uint32]:
    """The type in which tokens 0 .. n_vocab - 1 are kept: little-endian uint16 up to 65536 of them, else uint32."""
    return np.dtype("<u2" if n_vocab <= 2**16 else "<u4")


@dataclass(frozen=True)
class Stream:
    """Tokens (n,) uint16 or uint32 and document boundaries (n_documents + 1,) int64: document i is tokens[o[i]:o[i+1]].

    The tokens of a prepared corpus are mapped from disk, not held in memory.
    """

    tokens: Tokens
    offsets: Offsets

    @property
    def n_documents(self) -> int:
        return len(self.offsets) - 1

    def document(self, index: int) -> Tokens:
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]
