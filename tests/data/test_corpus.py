"""Text becomes tokens and back; the split is a property of the text alone; a cache changes nothing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from isoflop.data import Corpus, Recipe, copy_corpora, load_corpus, open_corpus
from isoflop.errors import CorpusError

DOCUMENTS = [f"document {index}\n".encode() + b"line of text\n" * (index % 7) for index in range(60)]


def write_folder(folder: Path, documents: list[bytes]) -> Path:
    folder.mkdir(parents=True)
    for index, content in enumerate(documents):
        (folder / f"{index:03}.txt").write_bytes(content)
    return folder


def texts(corpus: Corpus) -> tuple[list[bytes], list[bytes]]:
    """The training and the held-out documents, decoded."""
    streams = (corpus.train, corpus.held_out)
    decoded = [[bytes(s.document(i).astype(np.uint8)) for i in range(s.n_documents)] for s in streams]
    return decoded[0], decoded[1]


def assert_equal(one: Corpus, other: Corpus) -> None:
    assert (one.source, one.fingerprint, one.n_vocab) == (other.source, other.fingerprint, other.n_vocab)
    for a, b in ((one.train, other.train), (one.held_out, other.held_out)):
        np.testing.assert_array_equal(a.tokens, b.tokens)
        np.testing.assert_array_equal(a.offsets, b.offsets)


def test_tokens_decode_back_to_the_text(tmp_path: Path) -> None:
    corpus = load_corpus(str(write_folder(tmp_path / "text", DOCUMENTS)))
    train, held_out = texts(corpus)
    assert all(text.endswith(b"\0") for text in train + held_out)
    assert sorted(text[:-1] for text in train + held_out) == sorted(DOCUMENTS)
    assert corpus.n_vocab == 256
    assert corpus.train.tokens.dtype == np.uint16


def test_utf8_text_is_kept_byte_for_byte(tmp_path: Path) -> None:
    content = "Gödel, Ωmega, 線形 🌍\n".encode() * 50
    (tmp_path / "text.txt").write_bytes(content)
    train, held_out = texts(load_corpus(str(tmp_path / "text.txt")))
    assert train[0][:-1] + held_out[0][:-1] == content


def test_about_a_tenth_of_the_documents_is_held_out(tmp_path: Path) -> None:
    documents = [f"number {index}".encode() for index in range(400)]
    train, held_out = texts(load_corpus(str(write_folder(tmp_path / "text", documents))))
    assert 15 < len(held_out) < 70
    assert set(train).isdisjoint(held_out)


def test_the_split_depends_neither_on_names_nor_on_order(tmp_path: Path) -> None:
    shuffled = random.Random(1).sample(DOCUMENTS, len(DOCUMENTS))
    one = texts(load_corpus(str(write_folder(tmp_path / "one", DOCUMENTS))))
    other = texts(load_corpus(str(write_folder(tmp_path / "other", shuffled))))
    for a, b in zip(one, other, strict=True):
        assert a != b
        assert sorted(a) == sorted(b)


def test_a_new_document_moves_no_other_across_the_split(tmp_path: Path) -> None:
    before = texts(load_corpus(str(write_folder(tmp_path / "one", DOCUMENTS))))
    after = texts(load_corpus(str(write_folder(tmp_path / "other", [*DOCUMENTS, b"new"]))))
    assert set(before[0]) <= set(after[0])
    assert set(before[1]) <= set(after[1])


def test_copies_of_one_document_stay_on_one_side(tmp_path: Path) -> None:
    train, held_out = texts(load_corpus(str(write_folder(tmp_path / "text", DOCUMENTS * 2))))
    assert set(train).isdisjoint(held_out)
    assert len(train) + len(held_out) == 2 * len(DOCUMENTS)


def test_one_file_is_cut_at_a_line_end_in_its_last_tenth(tmp_path: Path) -> None:
    content = b"".join(b"line %d\n" % index for index in range(1000))
    (tmp_path / "text").write_bytes(content)
    [train], [held_out] = texts(load_corpus(str(tmp_path / "text")))
    assert train[:-1] + held_out[:-1] == content
    assert train.endswith(b"\n\0")
    assert 0.08 < len(held_out) / len(content) < 0.1


def test_one_file_without_lines_is_cut_too(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"x" * 1000)
    [train], [held_out] = texts(load_corpus(str(tmp_path / "text")))
    assert (len(train), len(held_out)) == (901, 101)


def test_folders_are_read_to_the_bottom_and_only_their_text(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "text", DOCUMENTS)
    write_folder(folder / "deep" / "deeper", [b"down here"])
    (folder / "picture.png").write_bytes(b"\0\0\0")
    (folder / "empty.txt").write_bytes(b"")
    train, held_out = texts(load_corpus(str(folder)))
    assert b"down here\0" in train + held_out
    assert len(train) + len(held_out) == len(DOCUMENTS) + 1


def test_the_standard_library_is_a_corpus_of_real_text(tmp_path: Path) -> None:
    corpus = load_corpus("stdlib", tmp_path)
    train, _ = texts(corpus)
    assert len(corpus.train.tokens) > 4_000_000
    assert 0.03 < len(corpus.held_out.tokens) / len(corpus.train.tokens) < 0.3
    assert any(b"class ArgumentParser" in text for text in (*train, *texts(corpus)[1]))


def test_one_byte_changes_the_fingerprint(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "text", DOCUMENTS)
    before = load_corpus(str(folder)).fingerprint
    assert load_corpus(str(folder)).fingerprint == before
    (folder / "007.txt").write_bytes(DOCUMENTS[7][:-1] + b"X")
    assert load_corpus(str(folder)).fingerprint != before


def test_fingerprints_of_plain_text_are_those_of_earlier_releases(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"".join(DOCUMENTS))
    assert load_corpus(str(write_folder(tmp_path / "text", DOCUMENTS))).fingerprint == "d3a8940dced1cd92"
    assert load_corpus(str(tmp_path / "one")).fingerprint == "f73c0130c2344d39"


def test_a_cache_of_format_1_is_read(tmp_path: Path) -> None:
    corpus = load_corpus(str(write_folder(tmp_path / "text", DOCUMENTS)), tmp_path / "cache")
    folder = tmp_path / "cache" / corpus.fingerprint
    (folder / "tokenizer.json").unlink()
    (folder / "corpus.json").write_text('{"format": 1, "source": "text", "n_vocab": 256}')
    opened = open_corpus(tmp_path / "cache", corpus.fingerprint)
    assert opened.n_vocab == 256
    np.testing.assert_array_equal(opened.train.tokens, corpus.train.tokens)


def test_corpora_are_copied_from_cache_to_cache_with_all_that_belongs_to_them(tmp_path: Path) -> None:
    source = str(write_folder(tmp_path / "text", [*DOCUMENTS, DOCUMENTS[0]]))
    recipe = Recipe(source=source, deduplicate="exact")
    made = load_corpus(recipe, tmp_path / "one")
    copy_corpora(tmp_path / "one", tmp_path / "two")
    copy_corpora(tmp_path / "one", tmp_path / "two")
    assert_equal(open_corpus(tmp_path / "two", made.fingerprint), made)
    files = [sorted(p.relative_to(tmp_path / name) for p in (tmp_path / name).rglob("*")) for name in ("one", "two")]
    assert files[0] == files[1]
    assert (tmp_path / "two" / made.fingerprint / "removed.jsonl").exists()


def test_moving_a_document_boundary_changes_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"aaaaaaaaa\nbb\n")
    (tmp_path / "two").write_bytes(b"aaaaaaaaaa\nb\n")
    assert load_corpus(str(tmp_path / "one")).fingerprint != load_corpus(str(tmp_path / "two")).fingerprint


def test_a_cached_corpus_equals_the_one_read_afresh(tmp_path: Path) -> None:
    source = str(write_folder(tmp_path / "text", DOCUMENTS))
    fresh, cached = load_corpus(source), load_corpus(source, tmp_path / "cache")
    assert_equal(fresh, cached)
    assert_equal(fresh, open_corpus(tmp_path / "cache", fresh.fingerprint))
    assert isinstance(cached.train.tokens, np.memmap)


def test_the_cache_is_written_once(tmp_path: Path) -> None:
    source, cache = str(write_folder(tmp_path / "text", DOCUMENTS)), tmp_path / "cache"
    load_corpus(source, cache)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    load_corpus(source, cache)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before
    assert len(list(cache.iterdir())) == 1


def test_a_copy_of_the_text_shares_the_cache_and_keeps_its_own_name(tmp_path: Path) -> None:
    one, copy = (str(write_folder(tmp_path / name, DOCUMENTS)) for name in ("one", "copy"))
    load_corpus(one, tmp_path / "cache")
    assert_equal(load_corpus(copy, tmp_path / "cache"), load_corpus(copy))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_processes_preparing_one_corpus_at_once_agree(tmp_path: Path) -> None:
    source, cache = write_folder(tmp_path / "text", DOCUMENTS), tmp_path / "cache"
    script = (
        "import sys, time; from pathlib import Path; from isoflop.data import load_corpus\n"
        "time.sleep(max(0, float(sys.argv[3]) - time.time()))\n"
        "print(load_corpus(sys.argv[1], Path(sys.argv[2])).fingerprint)"
    )
    together = str(time.time() + 1.0)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(source), str(cache), together], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    answers = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert answers == {load_corpus(str(source)).fingerprint}
    assert [path.name for path in cache.iterdir()] == list(answers)


def test_losing_the_race_for_the_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cache = str(write_folder(tmp_path / "text", DOCUMENTS)), tmp_path / "cache"
    rename = Path.rename

    def rename_second(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        load_corpus(source, cache)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_second)
    assert_equal(load_corpus(source, cache), load_corpus(source))
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "damage", ["truncate train.bin", "truncate train.offsets.npy", "remove held_out.bin", "empty train.bin"]
)
def test_a_damaged_cache_names_the_folder_to_delete(tmp_path: Path, damage: str) -> None:
    source, cache = str(write_folder(tmp_path / "text", DOCUMENTS)), tmp_path / "cache"
    fingerprint = load_corpus(source, cache).fingerprint
    action, name = damage.split()
    file = cache / fingerprint / name
    if action == "remove":
        file.unlink()
    else:
        os.truncate(file, 0 if action == "empty" else file.stat().st_size - 2)
    with pytest.raises(CorpusError, match=rf"corpus .*{fingerprint} .*\n.*delete that folder"):
        open_corpus(cache, fingerprint)


def test_a_corpus_that_was_never_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no corpus abc in .*\n.*load_corpus"):
        open_corpus(tmp_path, "abc")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\0", "holds a NUL byte"),
        (b"text\0text", "text.txt in corpus .* is not text: it holds a NUL byte"),
        (b"x", "1 documents of 1 bytes, is too little to train on and to hold out"),
    ],
)
def test_what_is_not_text_enough_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        load_corpus(str(tmp_path / "text.txt"))


def test_a_missing_path_is_refused_with_what_may_be_given(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere' does not exist\n.*give a file, a folder, or 'stdlib'"):
        load_corpus(str(tmp_path / "nowhere"))


def test_a_folder_without_text_says_which_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("text")
    with pytest.raises(CorpusError, match=r"holds no text file\n.*\.txt"):
        load_corpus(str(tmp_path))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_few_documents_are_always_split(tmp_path: Path, count: int) -> None:
    for trial in range(20):
        texts = [f"document {index} of trial {trial}".encode() for index in range(count)]
        corpus = load_corpus(str(write_folder(tmp_path / f"text{trial}", texts)))
        assert corpus.train.n_documents >= 1
        assert corpus.held_out.n_documents >= 1
        assert corpus.train.n_documents + corpus.held_out.n_documents == count


def test_documents_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "text", [b"a", b"a"])
    with pytest.raises(CorpusError, match=r"2 documents of 2 bytes, is too little .*\n.*documents that differ"):
        load_corpus(str(folder))


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    source = str(write_folder(tmp_path / "text", DOCUMENTS))
    with pytest.raises(CorpusError, match=rf"cannot cache corpus .* in {tmp_path / 'cache'}: "):
        load_corpus(source, tmp_path / "cache")
