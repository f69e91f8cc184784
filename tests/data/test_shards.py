"""Token shards of every format are read as they are, with and without shards named for validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isoflop.data import Corpus, Recipe, load_corpus
from isoflop.errors import CorpusError, SpecError

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


GPT2, LLAMA3 = (20240520, 1, "<u2"), (20240801, 7, "<u4")


def write_llmc(file: Path, tokens: np.ndarray, layout: tuple[int, int, str], count: int | None = None) -> None:
    magic, version, kind = layout
    header = np.zeros(256, "<i4")
    header[:3] = magic, version, len(tokens) if count is None else count
    file.write_bytes(header.tobytes() + tokens.astype(kind).tobytes())


def test_shards_of_every_format_are_the_same_corpus(tmp_path: Path) -> None:
    write(tmp_path / "nanogpt.bin", TOKENS)
    write_llmc(tmp_path / "gpt2.bin", TOKENS, GPT2)
    write_llmc(tmp_path / "llama3.bin", TOKENS, LLAMA3)
    for kind in ("u2", "i4", "i8", ">u4"):
        np.save(tmp_path / f"{kind}.npy", TOKENS.astype(kind))
    corpora = [load_corpus(str(file)) for file in sorted(tmp_path.iterdir())]
    assert len(corpora) == 7
    assert {corpus.fingerprint for corpus in corpora} == {"a2aeac4788cd18c4"}
    assert all(streams(corpus) == [TOKENS[:900].tolist(), TOKENS[900:].tolist()] for corpus in corpora)


def test_large_vocabularies_stay_uint32_in_the_cache(tmp_path: Path) -> None:
    tokens = TOKENS.astype("<u4") * 128
    for name, part in (("words_train_000001", tokens[:500]), ("words_train_000002", tokens[500:900])):
        write_llmc(tmp_path / f"{name}.bin", part, LLAMA3)
    write_llmc(tmp_path / "words_val_000000.bin", tokens[900:], LLAMA3)
    corpus = load_corpus(str(tmp_path), tmp_path / "cache")
    assert corpus.train.tokens.dtype == corpus.held_out.tokens.dtype == np.uint32
    assert streams(corpus) == [tokens[:900].tolist(), tokens[900:].tolist()]
    assert corpus.fingerprint == load_corpus(str(tmp_path)).fingerprint


def test_a_promised_vocabulary_is_kept_or_refused(tmp_path: Path) -> None:
    write(tmp_path / "all.bin", TOKENS)
    assert load_corpus(Recipe(source=str(tmp_path), n_vocab=50257)).n_vocab == 50257
    with pytest.raises(CorpusError, match=r"tokens up to 996, beyond its n_vocab = 500\n.*997 or more"):
        load_corpus(Recipe(source=str(tmp_path), n_vocab=500))


def test_torn_and_foreign_shards_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    write_llmc(file, TOKENS, GPT2, count=1001)
    with pytest.raises(CorpusError, match=r"a.bin' is torn: its header promises 1,001 tokens, 3,026 bytes; .* 3,024"):
        load_corpus(str(file))
    write_llmc(file, TOKENS, (20240801, 1, "<u4"))
    with pytest.raises(CorpusError, match=r"a.bin' of Llama 3 tokens has version 1\n.*version 7 is read"):
        load_corpus(str(file))
    write_llmc(file, TOKENS, (20240522, 1, "<u2"))
    with pytest.raises(CorpusError, match=r"a.bin' holds questions to evaluate on"):
        load_corpus(str(file))
    file.write_bytes(b"PK\x03\x04 weights")
    with pytest.raises(CorpusError, match=r"a.bin' holds a zip archive"):
        load_corpus(str(file))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (TOKENS.reshape(10, 100), r"holds uint16 of shape \(10, 100\)\n.*one dimension of whole numbers"),
        (TOKENS.astype(float), r"holds float64 of shape \(1000,\)"),
        (TOKENS.astype(int) - 5, r"has tokens from -5 to 991"),
        (TOKENS.astype(int) * 2**30, r"has tokens from 0 to "),
        (TOKENS[:0], r"a.npy' is empty\n.*tokens to train on and tokens to hold out"),
    ],
)
def test_arrays_that_are_no_tokens_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(CorpusError, match=message):
        load_corpus(str(tmp_path / "a.npy"))


def test_a_torn_array_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", TOKENS)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-9])
    with pytest.raises(CorpusError, match=r"a.npy' cannot be read: .*\n.*torn"):
        load_corpus(str(tmp_path / "a.npy"))


def test_what_is_for_text_is_refused_for_shards(tmp_path: Path) -> None:
    write(tmp_path / "all.bin", TOKENS)
    with pytest.raises(SpecError, match=r"tokenizer, deduplicate: for text, while corpus .* holds tokens"):
        load_corpus(Recipe(source=str(tmp_path), tokenizer="char", deduplicate="near"))


def test_a_single_shard_is_mapped_and_not_copied(tmp_path: Path) -> None:
    write(tmp_path / "all.bin", TOKENS)
    corpus = load_corpus(str(tmp_path))
    assert isinstance(corpus.train.tokens, np.memmap)
    assert corpus.train.tokens.filename == tmp_path / "all.bin"
