"""What text is like, as numbers: a document is kept where each of the measures asked for lies within its bounds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from isoflop.errors import SpecError, nearest

Bounds = Mapping[str, tuple[float, float]]
"""Measure to least and greatest value, both kept."""

_LETTER = re.compile(r"[^\W\d_]")
_BULLETS = ("•", "-", "*", "‣", "◦")
_ELLIPSES = ("...", "…")
_STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))


def _characters(text: str) -> float:
    return len(text)


def _words(text: str) -> float:
    return len(text.split())


def _mean_word_length(text: str) -> float:
    words = text.split()
    return sum(map(len, words)) / max(1, len(words))


def _alphabetic(text: str) -> float:
    return sum(map(str.isalpha, text)) / max(1, len(text))


def _alphabetic_words(text: str) -> float:
    words = text.split()
    return sum(_LETTER.search(word) is not None for word in words) / max(1, len(words))


def _stop_words(text: str) -> float:
    return len(_STOP_WORDS.intersection(text.lower().split()))


def _symbols_per_word(text: str) -> float:
    return max(text.count("#"), sum(map(text.count, _ELLIPSES))) / max(1, len(text.split()))


def _bullet_lines(text: str) -> float:
    lines = _lines(text)
    return sum(line.startswith(_BULLETS) for line in lines) / max(1, len(lines))


def _ellipsis_lines(text: str) -> float:
    lines = _lines(text)
    return sum(line.endswith(_ELLIPSES) for line in lines) / max(1, len(lines))


def _repeated_lines(text: str) -> float:
    lines = _lines(text)
    return (len(lines) - len(set(lines))) / max(1, len(lines))


def _repeated_line_characters(text: str) -> float:
    counts = Counter(_lines(text))
    repeated = sum(len(line) * (count - 1) for line, count in counts.items())
    return repeated / max(1, sum(len(line) * count for line, count in counts.items()))


def _commonest_pair(text: str) -> float:
    words = text.split()
    pairs = Counter(pairwise(words))
    if not pairs:
        return 0.0
    (pair, count), characters = pairs.most_common(1)[0], sum(map(len, words))
    return min(1.0, count * sum(map(len, pair)) / characters) if count > 1 else 0.0


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line]


MEASURES: dict[str, Callable[[str], float]] = {
    "characters": _characters,
    "words": _words,
    "mean_word_length": _mean_word_length,
    "alphabetic": _alphabetic,  # share of characters that are letters
    "alphabetic_words": _alphabetic_words,  # share of words with a letter
    "stop_words": _stop_words,  # how many of eight common English words occur
    "symbols_per_word": _symbols_per_word,  # hashes, or ellipses, a word
    "bullet_lines": _bullet_lines,  # share of lines that begin with a bullet
    "ellipsis_lines": _ellipsis_lines,  # share of lines that end in an ellipsis
    "repeated_lines": _repeated_lines,  # share of lines that stood before
    "repeated_line_characters": _repeated_line_characters,
    "commonest_pair": _commonest_pair,  # share of characters in the commonest pair of words
}

_MANY = float(2**53)
PRESETS: dict[str, Bounds] = {
    # Rae et al. 2021 (Gopher, arXiv 2112.11446), section A1.1: its bounds on documents, lines and the commonest 2-gram.
    "gopher": {
        "words": (50, 100_000),
        "mean_word_length": (3, 10),
        "symbols_per_word": (0, 0.1),
        "bullet_lines": (0, 0.9),
        "ellipsis_lines": (0, 0.3),
        "alphabetic_words": (0.8, 1),
        "stop_words": (2, _MANY),
        "repeated_lines": (0, 0.3),
        "repeated_line_characters": (0, 0.2),
        "commonest_pair": (0, 0.2),
    }
}


def bounds_of(quality: str | Bounds) -> Bounds:
    """The bounds that a preset's name or a table asks for.

    Raises:
        SpecError: no such preset or measure, or bounds that no number meets.
    """
    if isinstance(quality, str):
        if quality not in PRESETS:
            raise SpecError(f"quality = {quality!r} is no preset", hint=nearest(quality, PRESETS))
        return PRESETS[quality]
    for name, bounds in quality.items():
        if name not in MEASURES:
            raise SpecError(f"unknown measure {name!r} in quality", hint=nearest(name, MEASURES))
        if np.shape(bounds) != (2,):
            raise SpecError(f"quality {name} = {bounds!r} is not two bounds", hint="[least, greatest]")
        if not bounds[0] <= bounds[1]:
            raise SpecError(f"quality {name} = [{bounds[0]}, {bounds[1]}] keeps nothing", hint="[least, greatest]")
    return quality


def why_not(text: str, bounds: Bounds) -> tuple[str, float] | None:
    """The first measure out of its bounds with its value, or None for a document to keep."""
    for name, (low, high) in bounds.items():
        value = MEASURES[name](text)
        if not low <= value <= high:
            return name, value
    return None
