"""Near duplicates: documents whose sets of shingles overlap by a Jaccard similarity of ``threshold`` or more.

A shingle is so many words behind each other. Words are runs of ASCII letters and digits, whatever their case, and every
other character of a script by itself, so that scripts without spaces have words too. MinHash (Broder 1997) keeps least
hashes of a document's shingles, here the least in each of ``n_hashes`` bins of one seeded hash (Li 2012), an empty
bin taking another's (Shrivastava 2017): two documents agree in each with the probability of their similarity. Documents
that agree in a whole band of minima are then compared by the shingles themselves: nothing is removed by chance. What
chance can do is to miss a pair, rarely (``rows_of``).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from isoflop.data.recipe import NearDuplicates
from isoflop.data.texts import Texts

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]

_MISSED = 0.01
"""Largest share of pairs just at the threshold that no band may show."""

_REMEMBERED = 256
"""Shingle sets kept between comparisons: copies of one document often follow each other."""

_NONE = np.uint64(2**64 - 1)
_PRIME, _BASIS = np.uint64(1099511628211), np.uint64(14695981039346656037)  # FNV-1a's


def near_duplicates(texts: Texts, indices: Indices, settings: NearDuplicates) -> dict[int, int]:
    """Those of ``indices`` near to an earlier one that is kept, each with that one: the first of a kind stays."""
    rows = rows_of(settings.threshold, settings.n_hashes)
    seed = np.random.default_rng(settings.seed).integers(2**64, dtype=np.uint64)

    @lru_cache(_REMEMBERED)
    def shingles(index: int) -> Hashes:
        return shingles_of(texts.contents[index], settings.shingle)

    keys = np.empty((len(indices), settings.n_hashes // rows), np.uint64)
    for position, index in enumerate(indices.tolist()):
        keys[position] = _bands(shingles(index), seed, settings.n_hashes, rows)
    kept_instead: dict[int, int] = {}
    for later, earlier in _candidates(keys):
        one, other = int(indices[later]), int(indices[earlier])
        other = kept_instead.get(other, other)
        if one not in kept_instead and similarity(shingles(one), shingles(other)) >= settings.threshold:
            kept_instead[one] = other
    return kept_instead


def rows_of(threshold: float, n_hashes: int) -> int:
    """Minima a band: as many, so as little to compare, as leave a pair at the threshold unseen once in 100 times.

    A band of r rows agrees with probability s^r at similarity s, and none of n/r bands with (1 - s^r)^(n/r).
    """
    rows = (r for r in range(n_hashes, 0, -1) if (1 - threshold**r) ** (n_hashes // r) <= _MISSED)
    return next(rows, 1)


def similarity(one: Hashes, other: Hashes) -> float:
    """Jaccard similarity of two sets of shingles: what they share over what either has."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def shingles_of(content: NDArray[np.uint8], n_words: int) -> Hashes:
    """The set of shingles of a document, as sorted hashes; of one with fewer words, all of them as one."""
    return np.unique(_shingles(content, n_words))


def _candidates(keys: Hashes) -> Indices:
    """Pairs (later, earlier) of rows that share a key, (n, 2) in order: the one before in its column, and the first."""
    pairs = []
    for column in keys.T:
        order = np.argsort(column, kind="stable")
        same = np.flatnonzero(column[order[1:]] == column[order[:-1]]) + 1
        begins = np.ones(len(order), bool)
        begins[same] = False
        first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
        pairs += [np.stack([order[same], order[same - 1]], 1), np.stack([order[same], order[first[same]]], 1)]
    return np.unique(np.concatenate(pairs), axis=0)


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
