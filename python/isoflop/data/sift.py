"""Which documents are kept: good ones, then one of equal ones, then one of similar ones; the rest is written down."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from isoflop.data.quality import bounds_of, why_not
from isoflop.data.recipe import NearDuplicates, Recipe, Removed
from isoflop.data.texts import Texts

Keep = Callable[[str], bool]
Indices = NDArray[np.int64]


class _Log:
    """The documents removed, a JSON line each, and their sums by reason."""

    def __init__(self, texts: Texts, file: IO[str]) -> None:
        self._texts, self._file = texts, file
        self._sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])

    def remove(self, index: int, why: str, **more: object) -> None:
        size = len(self._texts.contents[index])
        line = {"document": self._texts.name(index), "bytes": size, "why": why, **more}
        self._file.write(json.dumps(line) + "\n")
        self._sums[why][0] += 1
        self._sums[why][1] += size

    def sums(self) -> dict[str, Removed]:
        return {why: Removed(*sums) for why, sums in self._sums.items()}


def sift(texts: Texts, recipe: Recipe, keep: Keep | None, file: Path) -> tuple[Indices, dict[str, Removed]]:
    """The documents to keep, in their order, and what was removed and why; each removed one is a line of ``file``."""
    with file.open("w") as lines:
        log = _Log(texts, lines)
        kept = [index for index in range(len(texts)) if _is_good(texts, index, recipe, keep, log)]
        if recipe.deduplicate != "none":
            kept = _without_copies(texts, kept, log)
        if recipe.near is not None:
            kept = _without_near(texts, kept, recipe.near, log)
    return np.array(kept, np.int64), log.sums()


def _is_good(texts: Texts, index: int, recipe: Recipe, keep: Keep | None, log: _Log) -> bool:
    if not len(texts.contents[index]):
        log.remove(index, "empty")
        return False
    bounds = bounds_of(recipe.quality)
    if not bounds and keep is None:
        return True
    text = texts.content(index).decode(errors="replace")
    if fault := why_not(text, bounds):
        log.remove(index, f"quality: {fault[0]}", value=fault[1])
        return False
    if keep is not None and not keep(text):
        log.remove(index, f"keep: {name_of(keep)}")
        return False
    return True


def name_of(keep: Keep) -> str:
    """How a filter of the user's own is recorded: its module and name."""
    return f"{keep.__module__}.{getattr(keep, '__qualname__', type(keep).__qualname__)}"


def _without_copies(texts: Texts, kept: list[int], log: _Log) -> list[int]:
    first: dict[int, int] = {}
    different = []
    for index in kept:
        original = first.setdefault(int(texts.hashes[index]), index)
        if original != index and np.array_equal(texts.contents[original], texts.contents[index]):
            log.remove(index, "exact duplicate", of=texts.name(original))
        else:
            different.append(index)
    return different


def _without_near(texts: Texts, kept: list[int], settings: NearDuplicates, log: _Log) -> list[int]:
    from isoflop.data.near import near_duplicates

    instead = near_duplicates(texts, np.array(kept, np.int64), settings)
    for index in sorted(instead):
        log.remove(index, "near duplicate", of=texts.name(instead[index]))
    return [index for index in kept if index not in instead]
