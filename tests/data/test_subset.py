"""Subsets nest, windows lose nothing they need not, and both are the same for everybody."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.data import Stream, epochs, nested_subset, unique_tokens, windows
from isoflop.errors import CorpusError, NotEnoughTokens


def stream_of(lengths: list[int]) -> Stream:
    """Documents of these lengths, every token of all of them different."""
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    return Stream(np.arange(offsets[-1], dtype=np.uint16), offsets)


LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=20)


@given(LENGTHS, st.data(), st.integers(0, 5))
def test_a_smaller_subset_is_the_beginning_of_every_larger_one(
    lengths: list[int], data: st.DataObject, seed: int
) -> None:
    stream = stream_of(lengths)
    small, large = sorted(data.draw(st.lists(st.integers(1, sum(lengths)), min_size=2, max_size=2)))
    subset = nested_subset(stream, large, seed=seed)
    assert len(subset) == large
    np.testing.assert_array_equal(nested_subset(stream, small, seed=seed), subset[:small])


@given(LENGTHS, st.integers(0, 5))
def test_the_whole_stream_is_every_document_once_and_whole(lengths: list[int], seed: int) -> None:
    stream = stream_of(lengths)
    taken = nested_subset(stream, sum(lengths), seed=seed).tolist()
    assert sorted(taken) == stream.tokens.tolist()
    jumps = sum(b != a + 1 for a, b in pairwise(taken))
    assert jumps <= max(1, len(lengths) - 1)


def test_a_single_document_is_entered_where_the_seed_says_and_goes_round() -> None:
    stream = stream_of([100])
    starts = {int(nested_subset(stream, 1, seed=seed)[0]) for seed in range(20)}
    assert len(starts) > 10
    taken = nested_subset(stream, 100, seed=3).tolist()
    assert taken == [*range(taken[0], 100), *range(taken[0])]


def test_subsets_follow_the_seed() -> None:
    stream = stream_of([10] * 20)
    one, same, other = (nested_subset(stream, 50, seed=seed).tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_the_order_of_documents_is_the_same_with_every_numpy() -> None:
    assert nested_subset(stream_of([1] * 8), 8, seed=0).tolist() == [2, 4, 3, 6, 5, 0, 1, 7]


def test_more_tokens_than_there_are_is_refused() -> None:
    with pytest.raises(CorpusError, match="31 tokens asked of a stream that holds 30"):
        nested_subset(stream_of([10, 20]), 31, seed=0)


@given(st.integers(2, 200), st.integers(1, 20))
def test_each_target_occurs_once_and_follows_its_input(n_tokens: int, n_ctx: int) -> None:
    if n_tokens <= n_ctx:
        with pytest.raises(CorpusError, match=f"fewer than one context of {n_ctx} and its next token"):
            windows(np.arange(n_tokens, dtype=np.uint16), n_ctx)
        return
    cut = windows(np.arange(n_tokens, dtype=np.uint16), n_ctx)
    np.testing.assert_array_equal(cut[:, 1:], cut[:, :-1] + 1)
    targets = Counter(cut[:, 1:].ravel().tolist())
    assert set(targets.values()) == {1}
    assert sorted(targets) == list(range(1, len(targets) + 1))
    assert n_tokens - 1 - n_ctx < len(targets) <= n_tokens - 1, "less than one context is left over"


def test_a_run_longer_than_the_text_says_how_many_epochs_that_is() -> None:
    stream = stream_of([1001])
    with pytest.raises(
        NotEnoughTokens, match=r"2,500 tokens asked of corpus 'mine', .* 1,000 .*: 2\.50 epochs"
    ) as caught:
        unique_tokens(stream, 2500, n_ctx=10, source="mine")
    assert caught.value.epochs == 2.5
    assert unique_tokens(stream, 2500, n_ctx=10, allow_repeats=True) == 1000
    assert epochs(2500, 1000) == 2.5


def test_unique_tokens_are_what_is_asked_for_where_there_are_enough() -> None:
    stream = stream_of([1001])
    assert unique_tokens(stream, 800, n_ctx=10) == 800
    assert unique_tokens(stream, 2500, n_ctx=10, at_most=500) == 500
    assert unique_tokens(stream, 300, n_ctx=10, at_most=500) == 300


def test_tokens_keep_their_type_through_subsets_and_windows() -> None:
    stream = Stream(np.arange(10**5, 10**5 + 1000, dtype=np.uint32), np.array([0, 400, 1000]))
    cut = windows(nested_subset(stream, 900, seed=0), 8)
    assert cut.dtype == np.uint32
    assert cut.min() >= 10**5


def test_a_subset_of_one_document_is_mapped_where_it_does_not_go_round() -> None:
    stream = stream_of([1000])
    assert np.shares_memory(nested_subset(stream, 5, seed=0), stream.tokens)
