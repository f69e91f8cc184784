"""Which part of a text is held out: a tenth, chosen by the text alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoflop.data.texts import Spans, Texts

HELD_OUT_SHARE = 0.1


def split(texts: Texts, kept: NDArray[np.int64]) -> tuple[Spans, Spans]:
    """The training and the held-out part; either may be empty, where there is too little text."""
    if len(kept) == 1:
        return _split_one(texts, int(kept[0]))
    hashes = texts.hashes[kept]
    # One document at least is held out, and not all.
    bound = min(max(int(HELD_OUT_SHARE * 2**64), int(hashes.min()) + 1), int(hashes.max()))
    held_out = hashes < np.uint64(bound)
    return texts.spans(kept[~held_out]), texts.spans(kept[held_out])


def _split_one(texts: Texts, index: int) -> tuple[Spans, Spans]:
    """Hold out the last tenth of a single document, cut at a line end where there is one."""
    content = texts.contents[index]
    cut = int(len(content) * (1 - HELD_OUT_SHARE))
    line_ends = np.flatnonzero(content[cut:] == ord("\n"))
    if len(line_ends) and (line_end := cut + int(line_ends[0]) + 1) < len(content):
        cut = line_end
    else:
        while 0 < cut < len(content) and content[cut] & 0xC0 == 0x80:  # never within a UTF-8 character
            cut += 1
    parts = [(index, 0, cut), (index, cut, len(content))]
    train, held_out = (
        np.array([part for part in [part] if part[1] < part[2]], np.int64).reshape(-1, 3) for part in parts
    )
    return train, held_out
