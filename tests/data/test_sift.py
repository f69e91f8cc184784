"""Copies go, near copies go, poor text goes, nothing else does; and all of it is written down."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.data import Corpus, NearDuplicates, Recipe, load_corpus, open_corpus
from isoflop.data.near import rows_of, shingles_of, similarity
from isoflop.data.quality import MEASURES, PRESETS, why_not
from isoflop.errors import SpecError

WORDS = [f"word{index}" for index in range(500)]


def document(seed: int, n_words: int = 120) -> list[str]:
    return random.Random(seed).choices(WORDS, k=n_words)


def changed(words: list[str], n_changes: int, seed: int) -> list[str]:
    """The same document with words replaced at so many random places."""
    chance, other = random.Random(seed), list(words)
    for place in chance.sample(range(len(words)), n_changes):
        other[place] = f"new{chance.randrange(10**6)}"
    return other


def texts(corpus: Corpus) -> set[str]:
    streams = (corpus.train, corpus.held_out)
    return {bytes(s.document(i)[:-1].tolist()).decode() for s in streams for i in range(s.n_documents)}


def shingles(text: str, n_words: int = 5) -> np.ndarray:
    return shingles_of(np.frombuffer(text.encode(), np.uint8), n_words)


def brute_similarity(one: str, other: str, n_words: int) -> float:
    sets = []
    for text in (one, other):
        words = text.lower().split()
        sets.append({tuple(words[i : i + n_words]) for i in range(max(1, len(words) - n_words + 1))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@given(st.integers(0, 60), st.integers(1, 120), st.integers(1, 8), st.integers(0, 1000))
def test_similarity_of_shingles_is_that_of_sets_of_words(n_changes: int, n: int, n_words: int, seed: int) -> None:
    one = document(seed, n)
    other = changed(one, min(n, n_changes), seed + 1)
    a, b = " ".join(one), "  ".join(other).upper()
    assert similarity(shingles(a, n_words), shingles(b, n_words)) == pytest.approx(brute_similarity(a, b, n_words))


def test_scripts_without_spaces_have_words_too() -> None:
    assert len(shingles("線形代数は楽しいです", 5)) == 6
    assert similarity(shingles("線形代数は楽しいです", 2), shingles("線形代数は難しいです", 2)) == pytest.approx(7 / 11)


def test_punctuation_and_case_are_no_difference() -> None:
    assert similarity(shingles("One, two; three four FIVE six."), shingles("one two THREE four five six")) == 1.0


def test_copies_are_removed_and_the_first_of_them_is_kept(tmp_path: Path) -> None:
    rows = [" ".join(document(seed)) for seed in range(30)]
    corpus = load_corpus(Recipe(source="rows", deduplicate="exact"), tmp_path, rows=[*rows, rows[3], rows[7], rows[3]])
    assert texts(corpus) == set(rows)
    removed = corpus.preparation.removed["exact duplicate"]
    assert (removed.documents, removed.bytes) == (3, 2 * len(rows[3]) + len(rows[7]))
    lines = [json.loads(line) for line in (tmp_path / corpus.fingerprint / "removed.jsonl").read_text().splitlines()]
    assert [(line["document"], line["of"]) for line in lines] == [
        ("row:31", "row:4"),
        ("row:32", "row:8"),
        ("row:33", "row:4"),
    ]
    assert {line["why"] for line in lines} == {"exact duplicate"}


def test_near_copies_are_removed_where_they_pass_the_threshold_and_no_other() -> None:
    originals = [document(seed) for seed in range(60)]
    near = [changed(words, 1, seed) for seed, words in enumerate(originals[:20])]  # similarity 111/121 or more
    apart = [changed(words, 9, seed) for seed, words in enumerate(originals[20:40])]  # similarity about 0.5
    rows = [" ".join(words) for words in (*originals, *near, *apart)]
    corpus = load_corpus(Recipe(source="rows", deduplicate="near"), rows=rows)
    assert corpus.preparation.removed["near duplicate"].documents == 20
    assert texts(corpus) == {*rows[:60], *rows[80:]}


def test_a_chain_of_copies_leaves_the_first() -> None:
    rows = [document(0, 400)]
    for step in range(40):
        rows.append(changed(rows[0], 2, step))
    corpus = load_corpus(
        Recipe(source="rows", deduplicate="near"), rows=[" ".join(words) for words in (*rows, document(1), document(2))]
    )
    assert texts(corpus) == {" ".join(words) for words in (rows[0], document(1), document(2))}


def test_pairs_at_the_threshold_are_found_99_times_in_100() -> None:
    for threshold in (0.5, 0.7, 0.8, 0.9):
        rows = rows_of(threshold, 128)
        assert (1 - threshold**rows) ** (128 // rows) <= 0.01
        assert (1 - threshold ** (rows + 1)) ** (128 // (rows + 1)) > 0.01


def test_most_pairs_a_little_above_the_threshold_are_found() -> None:
    originals = [document(seed, 200) for seed in range(200)]
    copies = [changed(words, 4, seed) for seed, words in enumerate(originals)]  # similarity about 176/216 = 0.81
    rows = [" ".join(words) for words in (*originals, *copies)]
    wanted = sum(brute_similarity(a, b, 5) >= 0.8 for a, b in zip(rows[:200], rows[200:], strict=True))
    found = load_corpus(Recipe(source="rows", deduplicate="near"), rows=rows).preparation.removed["near duplicate"]
    assert wanted > 150
    assert 0.97 * wanted <= found.documents <= wanted


def test_near_copies_among_documents_that_are_all_somewhat_alike_are_found() -> None:
    originals = [changed(document(0, 400), 6, seed) for seed in range(100)]  # of each other about 0.75
    rows = [" ".join(words) for words in (*originals, *(changed(words, 6, 1) for words in originals))]
    kept = sorted(texts(load_corpus(Recipe(source="rows", deduplicate="near"), rows=rows)), key=rows.index)
    sets = [shingles(text) for text in kept]
    near = [one for one, own in enumerate(sets) if any(similarity(own, other) >= 0.8 for other in sets[:one])]
    assert len(near) <= 1
    assert len(kept) < 100


@pytest.mark.parametrize("settings", [{"threshold": 0}, {"threshold": 1.5}, {"n_hashes": 0}, {"shingle": 0}])
def test_near_duplicates_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"NearDuplicates\(.* cannot be\n.*threshold in \(0, 1\]"):
        NearDuplicates(**settings)


def test_a_corpus_without_a_source_is_refused() -> None:
    with pytest.raises(SpecError, match=r"source names no corpus\n.*synthetic:NAME"):
        Recipe(source="")


def test_so_few_hashes_that_pairs_go_unseen_are_refused_with_as_many_as_it_takes() -> None:
    with pytest.raises(SpecError, match=r"n_hashes = 20 miss 12% of the pairs .* = 0.1\n.*n_hashes = 44, or more"):
        NearDuplicates(threshold=0.1, n_hashes=20)
    assert rows_of(0.1, NearDuplicates(threshold=0.1, n_hashes=44).n_hashes) == 1


def test_settings_of_near_duplicates_count_and_are_recorded() -> None:
    originals = [document(seed) for seed in range(20)]
    rows = [" ".join(words) for words in (*originals, *(changed(words, 9, 1) for words in originals))]
    strict, loose = (Recipe(source="rows", deduplicate=NearDuplicates(threshold=t, shingle=3)) for t in (0.9, 0.4))
    assert not load_corpus(strict, rows=rows).preparation.removed
    corpus = load_corpus(loose, rows=rows)
    assert corpus.preparation.removed["near duplicate"].documents == 20
    assert corpus.preparation.settings["deduplicate"] == {"threshold": 0.4, "shingle": 3, "n_hashes": 128, "seed": 0}


def test_quality_keeps_what_is_within_bounds_and_says_which_measure_was_not(tmp_path: Path) -> None:
    good = [" ".join(document(seed)) for seed in range(20)]
    rows = [*good, "too short", " ".join(["12"] * 60), "same line\n" * 40]
    bounds = {"words": (5.0, 1000.0), "alphabetic_words": (0.5, 1.0), "repeated_lines": (0.0, 0.3)}
    corpus = load_corpus(Recipe(source="rows", quality=bounds), tmp_path, rows=rows)
    assert texts(corpus) == set(good)
    assert {why: sums.documents for why, sums in corpus.preparation.removed.items()} == {
        "quality: words": 1,
        "quality: alphabetic_words": 1,
        "quality: repeated_lines": 1,
    }
    again = open_corpus(tmp_path, corpus.fingerprint)
    assert again.preparation == corpus.preparation
    assert again.described()["removed"]["quality: words"] == {"documents": 1, "bytes": 9}


def test_a_filter_of_ones_own_is_recorded_by_its_name() -> None:
    rows = [" ".join(document(seed)) for seed in range(20)]

    def without_word7(text: str) -> bool:
        return "word7 " not in text

    corpus = load_corpus(Recipe(source="rows"), rows=rows, keep=without_word7)
    assert texts(corpus) == {text for text in rows if without_word7(text)} != set(rows)
    assert [why for why in corpus.preparation.removed if why.startswith("keep: ") and "without_word7" in why]
    assert corpus.fingerprint != load_corpus(Recipe(source="rows"), rows=[*texts(corpus)]).fingerprint


@pytest.mark.parametrize(
    ("measure", "text", "value"),
    [
        ("characters", "été", 3),
        ("words", "one two\nthree", 3),
        ("mean_word_length", "a abc", 2),
        ("alphabetic", "ab12", 0.5),
        ("alphabetic_words", "a1 22 b -", 0.5),
        ("stop_words", "The cat and the dog have it", 3),
        ("symbols_per_word", "# one ... two", 0.25),
        ("bullet_lines", "- one\n* two\nthree\n\n• four", 0.75),
        ("ellipsis_lines", "one...\ntwo…\nthree\nfour", 0.5),
        ("repeated_lines", "a\nb\na\na\n", 0.5),
        ("repeated_line_characters", "aaa\nb\naaa\n", 3 / 7),
        ("commonest_pair", "to be or not to be", 8 / 13),
    ],
)
def test_measures_are_what_they_say(measure: str, text: str, value: float) -> None:
    assert MEASURES[measure](text) == pytest.approx(value)


@pytest.mark.parametrize("measure", MEASURES)
def test_measures_of_nothing_are_numbers(measure: str) -> None:
    assert MEASURES[measure]("") == 0


def test_gopher_keeps_prose_and_refuses_lists() -> None:
    prose = "It is not that the rules have to be right, but that they be of use to us. " * 3
    prose = "\n".join(f"{prose} Reason {index} of many follows with other words." for index in range(4))
    assert why_not(prose, PRESETS["gopher"]) is None
    assert why_not("- buy now\n" * 60, PRESETS["gopher"]) is not None


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        ("gofer", r"quality = 'gofer' is no preset\n.*'gopher'"),
        ({"word": (0, 1)}, r"unknown measure 'word' in quality\n.*did you mean 'words'"),
        ({"words": (9, 1)}, r"quality words = \[9, 1\] keeps nothing"),
        ({"words": 50}, r"quality words = 50 is not two bounds\n.*least, greatest"),
    ],
)
def test_measures_that_there_are_not_are_refused(quality: str | dict[str, tuple[float, float]], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Recipe(source="rows", quality=quality)
