"""Near duplicates: documents whose sets of shingles overlap by a Jaccard similarity of ``threshold`` or more.

A shingle is so many words behind each other. Words are runs of ASCII letters and digits, whatever their case, and every
other character of a script by itself, so that scripts without spaces have words too. MinHash (Broder 1997) keeps least
hashes of a document's shingles, here the least in each of ``n_hashes`` bins of one seeded hash (Li 2012), an empty
bin taking another's (Shrivastava 2017): two documents agree in each with the probability of their similarity. Each is
then compared, by the shingles themselves, with every document kept before it that agrees in a whole band of minima:
nothing is removed by chance. What chance can do is to miss a pair, rarely (``rows_of``).
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from isoflop.data.recipe import MISSED, NearDuplicates
from isoflop.data.texts import Texts

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

_REMEMBERED_BYTES = 1 << 26
"""Of shingle sets kept between comparisons, about: documents that agree in a band often follow each other."""

_NONE = np.uint64(2**64 - 1)
_PRIME, _BASIS = np.uint64(1099511628211), np.uint64(14695981039346656037)  # FNV-1a's


def near_duplicates(texts: Texts, indices: Indices, settings: NearDuplicates) -> dict[int, int]:
    """Those of ``indices`` near to an earlier one that is kept, each with that one: the first of a kind stays."""
    rows = rows_of(settings.threshold, settings.n_hashes)
    seed = np.random.default_rng(settings.seed).integers(2**64, dtype=np.uint64)

    @lru_cache(max(2, _REMEMBERED_BYTES * len(texts) // (len(texts.contents.data) + 1)))
    def shingles(index: int) -> Hashes:
        return shingles_of(texts.contents[index], settings.shingle)

    keys = np.empty((len(indices), settings.n_hashes // rows), np.uint64)
    for position, index in enumerate(indices.tolist()):
        keys[position] = _bands(shingles(index), seed, settings.n_hashes, rows)
    kept_instead: dict[int, int] = {}
    kept: defaultdict[int, list[int]] = defaultdict(list)
    shared = _shared(keys)
    for position in np.flatnonzero((shared >= 0).any(axis=1)).tolist():
        one, agreeing = int(indices[position]), shared[position][shared[position] >= 0].tolist()
        earlier = sorted(set().union(*map(kept.__getitem__, agreeing)))
        near = (other for other in earlier if similarity(shingles(one), shingles(other)) >= settings.threshold)
        if (first := next(near, None)) is not None:
            kept_instead[one] = first
            continue
        for group in agreeing:
            kept[group].append(one)
    return kept_instead


def rows_of(threshold: float, n_hashes: int) -> int:
    """Minima a band: as many, so as little to compare, as leave a pair at the threshold unseen once in 100 times.

    A band of r rows agrees with probability s^r at similarity s, and none of n/r bands with (1 - s^r)^(n/r).
    """
    rows = (r for r in range(n_hashes, 0, -1) if (1 - threshold**r) ** (n_hashes // r) <= MISSED)
    return next(rows)


@njit(cache=True, nogil=True)
def similarity(one: Hashes, other: Hashes) -> float:
    """Jaccard similarity of two sets of shingles, sorted: what they share over what either has."""
    shared, i, j = 0, 0, 0
    while i < len(one) and j < len(other):
        shared += one[i] == other[j]
        i, j = i + (one[i] <= other[j]), j + (other[j] <= one[i])
    return shared / (len(one) + len(other) - shared)


def shingles_of(content: NDArray[np.uint8], n_words: int) -> Hashes:
    """The set of shingles of a document, as sorted hashes; of one with fewer words, all of them as one."""
    return np.unique(_shingles(content, n_words))


def _shared(keys: Hashes) -> Indices:
    """For each key of (n, bands) a number that those have which are equal to it in its column; -1 where none is."""
    groups = np.full(keys.shape, -1, np.int64)
    for band, column in enumerate(keys.T):
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        several = counts[inverse] > 1
        groups[several, band] = inverse[several] * keys.shape[1] + band
    return groups


@njit(cache=True, nogil=True)
def _shingles(content: NDArray[np.uint8], n_words: int) -> Hashes:
    words = np.zeros(n_words, np.uint64)
    found = np.empty(len(content) + 1, np.uint64)
    n_found, n_seen, word, before = 0, 0, _BASIS, np.uint8(0)  # ``before``: the last byte, 0 for none of a word
    for position in range(len(content) + 1):
        byte = content[position] if position < len(content) else np.uint8(0)
        byte = byte + np.uint8(32) if 65 <= byte <= 90 else byte
        byte = byte if byte >= 128 or 97 <= byte <= 122 or 48 <= byte <= 57 else np.uint8(0)
        starts = byte >= 192 or (byte > 0 and before == 0) or (0 < byte < 128 and before >= 128)
        if before > 0 and (starts or byte == 0):
            words[n_seen % n_words] = _mixed(word)
            n_seen += 1
            if n_seen >= n_words:
                found[n_found] = _joined(words, n_seen)
                n_found += 1
        if starts:
            word = _BASIS
        word = (word ^ np.uint64(byte)) * _PRIME
        before = byte
    if n_found == 0:
        words[n_seen % n_words] = np.uint64(n_seen)
        found[0] = _joined(words, n_seen + 1)
        n_found = 1
    return found[:n_found]


@njit(cache=True, nogil=True)
def _joined(words: Hashes, n_seen: int) -> np.uint64:
    """One hash of the words in a ring, from the oldest on."""
    joined = _BASIS
    for back in range(len(words)):
        joined = _mixed((joined ^ words[(n_seen + back) % len(words)]) * _PRIME)
    return joined


@njit(cache=True, nogil=True)
def _mixed(value: np.uint64) -> np.uint64:
    """Every bit of the value in every bit of the hash: the finaliser of SplitMix64 (Steele 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def _bands(shingles: Hashes, seed: np.uint64, n_hashes: int, rows: int) -> Hashes:
    """One key a band of ``rows`` minima."""
    minima = np.full(n_hashes, _NONE, np.uint64)
    for shingle in shingles:
        value = _mixed(shingle ^ seed)
        place = ((value >> np.uint64(32)) * np.uint64(n_hashes)) >> np.uint64(32)
        minima[place] = min(minima[place], value & np.uint64(0xFFFFFFFF))
    keys = np.empty(n_hashes // rows, np.uint64)
    for band in range(len(keys)):
        key = _BASIS
        for k in range(band * rows, (band + 1) * rows):
            place = np.uint64(k)
            attempt = np.uint64(0)
            while minima[place] == _NONE:  # the same place for every document in which it is not empty
                attempt += np.uint64(1)
                place = _mixed(np.uint64(k) * _PRIME + attempt) % np.uint64(n_hashes)
            key = _mixed((key ^ minima[place]) * _PRIME)
        keys[band] = key
    return keys
