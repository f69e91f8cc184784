"""Where in one block of memory tensors are put that live at different times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ALIGNMENT = 64


class Life(NamedTuple):
    """The bytes of a tensor, and the first and the last call that reads or writes it."""

    bytes: int
    first: int
    last: int


def aligned(count: int) -> int:
    """``count`` bytes, up to a whole number of cache lines."""
    return -(-count // ALIGNMENT) * ALIGNMENT


def lay_out(lives: Sequence[Life]) -> tuple[list[int], int]:
    """The offset of each tensor, and the bytes of all: no two that live at once share a byte.

    The largest first, each at the lowest place that is free for its whole life.
    """
    offsets = [0] * len(lives)
    placed: list[int] = []
    total = 0
    for index in sorted(range(len(lives)), key=lambda each: (-lives[each].bytes, lives[each].first)):
        life, offset = lives[index], 0
        beside = [each for each in placed if lives[each].first <= life.last and life.first <= lives[each].last]
        for other in sorted(beside, key=lambda each: offsets[each]):
            if offset + life.bytes <= offsets[other]:
                break
            offset = max(offset, aligned(offsets[other] + lives[other].bytes))
        offsets[index] = offset
        placed.append(index)
        total = max(total, aligned(offset + life.bytes))
    return offsets, total
