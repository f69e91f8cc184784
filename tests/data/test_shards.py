"""Token shards are read as they are, with and without shards named for validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isoflop.data import Corpus, load_corpus
from isoflop.errors import CorpusError

TOKENS = np.arange(1000, dtype="<u2") * 7 % 997


def write(file: Path, tokens: np.ndarray) -> None:
    file.write_bytes(tokens.astype("<u2").tobytes())


def streams(corpus: Corpus) -> list[list[int]]:
    return [corpus.train.tokens.tolist(), corpus.held_out.tokens.tolist()]


def test_one_shard_holds_out_its_last_tenth(tmp_path: Path) -> None:
    write(tmp_path / "all.bin", TOKENS)
    for source in (tmp_path, tmp_path / "all.bin"):
        corpus = load_corpus(str(source))
        assert streams(corpus) == [TOKENS[:900].tolist(), TOKENS[900:].tolist()]
        assert corpus.n_vocab == int(TOKENS.max()) + 1


def test_validation_shards_are_the_held_out_tokens(tmp_path: Path) -> None:
    for name, part in (
        ("train_1", TOKENS[400:900]),
        ("train_0", TOKENS[:400]),
        ("val", TOKENS[900:]),
        ("other", TOKENS),
    ):
        write(tmp_path / f"{name}.bin", part)
    assert streams(load_corpus(str(tmp_path))) == [TOKENS[:900].tolist(), TOKENS[900:].tolist()]


def test_unnamed_shards_are_joined_in_name_order(tmp_path: Path) -> None:
    write(tmp_path / "b.bin", TOKENS[300:])
    write(tmp_path / "a.bin", TOKENS[:300])
    train, held_out = streams(load_corpus(str(tmp_path)))
    assert train + held_out == TOKENS.tolist()


def test_cached_shards_equal_the_shards(tmp_path: Path) -> None:
    write(tmp_path / "all.bin", TOKENS)
    cached = load_corpus(str(tmp_path), tmp_path / "cache")
    assert streams(cached) == streams(load_corpus(str(tmp_path)))
    assert cached.n_vocab == int(TOKENS.max()) + 1


@pytest.mark.parametrize("size", [0, 1, 2001])
def test_a_shard_that_is_not_whole_tokens_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "train.bin").write_bytes(b"x" * size)
    with pytest.raises(CorpusError, match=rf"train.bin' has {size} bytes\n.*whole uint16 tokens"):
        load_corpus(str(tmp_path))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere.bin' does not exist"):
        load_corpus(str(tmp_path / "nowhere.bin"))


def test_shards_for_validation_alone_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "val.bin", TOKENS)
    with pytest.raises(CorpusError, match=r"only held-out shards\n.*train\*\.bin"):
        load_corpus(str(tmp_path))


def test_a_shard_of_one_token_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    write(tmp_path / "all.bin", TOKENS[:1])
    with pytest.raises(CorpusError, match="is empty"):
        load_corpus(str(tmp_path))
