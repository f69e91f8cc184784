"""Tokens decode back to the text they came from; vocabularies are trained once and the same everywhere."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from isoflop.data import Corpus, Recipe, load_corpus, open_corpus
from isoflop.errors import CorpusError, SpecError

TEXT = "".join(f"The {i % 7}th naïve café at Ωmega 線形 said <|endoftext|> {i * i} times 🌍.\n" for i in range(400))
ENGLISH = "".join(f"the quick brown fox number {i} jumps over the lazy dog number {i % 9}\n" for i in range(2000))


def decoded(corpus: Corpus) -> str:
    assert corpus.tokenizer is not None
    return b"".join(corpus.tokenizer.decode(stream.tokens) for stream in (corpus.train, corpus.held_out)).decode()


def write(file: Path, text: str) -> str:
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(("tokenizer", "n_vocab"), [("byte", 0), ("char", 0), ("bpe", 300)])
def test_every_tokenizer_decodes_to_the_text(tmp_path: Path, tokenizer: str, n_vocab: int) -> None:
    if tokenizer == "bpe":
        pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    corpus = load_corpus(Recipe(source=write(tmp_path / "text", TEXT), tokenizer=tokenizer, n_vocab=n_vocab))
    assert decoded(corpus) == TEXT
    assert corpus.tokenizer is not None
    for stream in (corpus.train, corpus.held_out):
        assert stream.tokens.max() < corpus.n_vocab
        assert np.flatnonzero(stream.tokens == corpus.tokenizer.end).tolist() == [len(stream.tokens) - 1]


def test_characters_are_counted_in_the_order_of_their_code_points(tmp_path: Path) -> None:
    corpus = load_corpus(Recipe(source=write(tmp_path / "text", "cab\n" * 10), tokenizer="char"))
    assert corpus.n_vocab == 5
    assert corpus.train.tokens.tolist() == [4, 2, 3, 1] * 9 + [0]


def test_bpe_merges_what_is_frequent_and_fills_the_vocabulary(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    source = write(tmp_path / "text", ENGLISH)
    small, large = (load_corpus(Recipe(source=source, tokenizer="bpe", n_vocab=n)) for n in (260, 320))
    assert (small.n_vocab, large.n_vocab) == (260, 320)
    assert len(large.train.tokens) < len(small.train.tokens) < len(ENGLISH)
    assert large.bytes_per_token is not None
    assert large.bytes_per_token == pytest.approx(len(ENGLISH) * 0.1 / len(large.held_out.tokens), rel=0.01)


def test_bpe_is_trained_on_lines_without_spaces_as_fast_as_on_others(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    chance = np.random.default_rng(0)
    text = "".join(chance.choice(list("ACGT"), 200_000)) + "\n" + " " * 50_000
    began = time.process_time()
    corpus = load_corpus(Recipe(source=write(tmp_path / "text", text), tokenizer="bpe", n_vocab=300))
    assert time.process_time() - began < 10  # one word of it takes half a minute, of twice the length two
    assert decoded(corpus) == text


def test_bpe_never_sees_the_held_out_text(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    corpora = [
        load_corpus(
            Recipe(source=write(tmp_path / tail, ENGLISH * 9 + f"{tail}\n" * 500), tokenizer="bpe", n_vocab=280)
        )
        for tail in ("zyx zyx", "wvu wvu")
    ]
    assert corpora[0].tokenizer == corpora[1].tokenizer
    assert corpora[0].fingerprint != corpora[1].fingerprint


def test_vocabularies_are_the_same_in_every_process(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    script = (
        "import sys; from isoflop.data import Recipe, load_corpus\n"
        "print(load_corpus(Recipe(source=sys.argv[1], tokenizer='bpe', n_vocab=400)).fingerprint)"
    )
    source = write(tmp_path / "text", TEXT)
    command = [sys.executable, "-c", script, source]
    here = load_corpus(Recipe(source=source, tokenizer="bpe", n_vocab=400)).fingerprint
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == here


def test_a_vocabulary_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    recipe = Recipe(source=write(tmp_path / "text", TEXT), tokenizer="bpe", n_vocab=300)
    made = load_corpus(recipe, tmp_path / "cache")
    monkeypatch.setattr("isoflop.data.corpus.make_tokenizer", None)
    again = load_corpus(recipe, tmp_path / "cache")
    assert again.fingerprint == made.fingerprint
    assert again.tokenizer == made.tokenizer == open_corpus(tmp_path / "cache", made.fingerprint).tokenizer
    assert decoded(again) == TEXT


def test_every_setting_makes_another_corpus(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    source = write(tmp_path / "text", TEXT)
    recipes = [
        Recipe(source=source),
        Recipe(source=source, deduplicate="exact"),
        Recipe(source=source, tokenizer="char"),
        Recipe(source=source, tokenizer="bpe", n_vocab=300),
        Recipe(source=source, tokenizer="bpe", n_vocab=301),
    ]
    assert len({load_corpus(recipe).fingerprint for recipe in recipes}) == len(recipes)


def test_more_than_65536_characters_are_kept_as_uint32(tmp_path: Path) -> None:
    text = "".join(chr(code) for code in range(0x20000, 0x20000 + 70_000)) + "\n" + "tail\n" * 20_000
    corpus = load_corpus(Recipe(source=write(tmp_path / "text", text), tokenizer="char"), tmp_path / "cache")
    assert corpus.n_vocab > 2**16
    assert corpus.train.tokens.dtype == np.uint32
    assert corpus.train.tokens.max() == corpus.n_vocab - 1
    assert decoded(corpus) == text


def test_long_documents_are_cut_into_pieces_that_join_again(tmp_path: Path) -> None:
    text = "é" * 1_500_000 + "\n" + ("line\n" * 400_000)
    assert decoded(load_corpus(Recipe(source=write(tmp_path / "text", text), tokenizer="char"))) == text


def test_a_tokenizer_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    source = write(tmp_path / "text", TEXT)
    trained = load_corpus(Recipe(source=source, tokenizer="bpe", n_vocab=300))
    assert trained.tokenizer is not None
    (tmp_path / "own.json").write_text(trained.tokenizer.to_json())
    corpus = load_corpus(Recipe(source=source, tokenizer=str(tmp_path / "own.json")), tmp_path / "cache")
    np.testing.assert_array_equal(corpus.train.tokens, trained.train.tokens)


def test_a_tokenizer_that_a_corpus_keeps_is_read_from_its_file(tmp_path: Path) -> None:
    source = write(tmp_path / "text", TEXT)
    made = load_corpus(Recipe(source=source, tokenizer="char"), tmp_path / "cache")
    kept = tmp_path / "cache" / made.fingerprint / "tokenizer.json"
    again = load_corpus(Recipe(source=source, tokenizer=str(kept)), tmp_path / "cache")
    assert (again.fingerprint, again.tokenizer) == (made.fingerprint, made.tokenizer)


def test_a_file_neither_cuts_nor_pads_documents_and_may_leave_numbers_out(tmp_path: Path) -> None:
    library = pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    numbers = {"</s>": 0, "[UNK]": 1, "the": 10, "quick": 70_000}
    own = library.Tokenizer(library.models.WordLevel(numbers, unk_token="[UNK]"))
    own.pre_tokenizer = library.pre_tokenizers.Whitespace()
    own.enable_truncation(4)
    own.enable_padding()
    own.save(str(tmp_path / "own.json"))
    corpus = load_corpus(Recipe(source=write(tmp_path / "text", ENGLISH), tokenizer=str(tmp_path / "own.json")))
    assert corpus.n_vocab == 70_001
    assert sum(len(stream.tokens) - 1 for stream in (corpus.train, corpus.held_out)) == len(ENGLISH.split())
    assert np.unique(corpus.train.tokens).tolist() == [0, 1, 10, 70_000]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer": "bpee"}, r"tokenizer = 'bpee' is unknown\n.*did you mean 'bpe'"),
        ({"tokenizer": "words"}, r"tokenizer = 'words' is unknown\n.*known: FILE.json, bpe, byte, char"),
        ({"tokenizer": "bpe", "n_vocab": 256}, r"n_vocab = 256 is too small .*\n.*257 or more"),
        ({"tokenizer": "char", "n_vocab": 300}, r"n_vocab = 300 is not for tokenizer = 'char'\n.*leave it out"),
    ],
)
def test_tokenizers_that_cannot_be_are_refused(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_corpus(Recipe(source=write(tmp_path / "text", TEXT), **settings))  # type: ignore[arg-type]


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="needs isoflop[train]")
    source = write(tmp_path / "text", TEXT)
    (tmp_path / "not.json").write_text("{}")
    with pytest.raises(CorpusError, match=r"not.json' is not a tokenizer"):
        load_corpus(Recipe(source=source, tokenizer=str(tmp_path / "not.json")))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(CorpusError, match=r"binary.json' is not a tokenizer"):
        load_corpus(Recipe(source=source, tokenizer=str(tmp_path / "binary.json")))
    with pytest.raises(CorpusError, match=r"cannot read tokenizer '.*nowhere.json': No such file"):
        load_corpus(Recipe(source=source, tokenizer=str(tmp_path / "nowhere.json")))


def test_undecodable_text_is_named_with_its_first_wrong_byte(tmp_path: Path) -> None:
    for name, content in (("a.txt", b"good\n" * 9), ("b.txt", b"caf\xe9\n" * 9)):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=r"b.txt in corpus .* is not UTF-8: byte 0xe9 at 3\n.*\"byte\" takes any"):
        load_corpus(Recipe(source=str(tmp_path), tokenizer="char"))
    assert load_corpus(str(tmp_path)).n_vocab == 256
