"""Rows of JSON lines, Parquet and datasets are documents; what is torn or not there is named."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isoflop.data import Corpus, Recipe, load_corpus
from isoflop.errors import CorpusError, MissingExtra

DOCUMENTS = [f"document {index} says é\n" * (1 + index % 3) for index in range(40)]
ROWS = [{"id": index, "text": text} for index, text in enumerate(DOCUMENTS)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def texts(corpus: Corpus) -> list[str]:
    streams = (corpus.train, corpus.held_out)
    return sorted(bytes(s.document(i)[:-1].tolist()).decode() for s in streams for i in range(s.n_documents))


def write_rows(folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(LINES[: LINES.find(b"\n", 900) + 1])
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(LINES[LINES.find(b"\n", 900) + 1 :]))


def test_rows_of_every_kind_of_file_are_the_same_documents(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("text", "lines", "parquet")]
    for folder in folders:
        folder.mkdir()
    for index, text in enumerate(DOCUMENTS):
        (folders[0] / f"{index:02}.txt").write_text(text)
    write_rows(folders[1])
    pq.write_table(pa.Table.from_pylist(ROWS[:25]), folders[2] / "a.parquet", row_group_size=10)
    pq.write_table(pa.Table.from_pylist(ROWS[25:]), folders[2] / "b.parquet")
    corpora = [load_corpus(str(folder)) for folder in folders]
    assert texts(corpora[0]) == sorted(DOCUMENTS)
    assert len({corpus.fingerprint for corpus in corpora}) == 1


def test_the_column_of_text_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES.replace(b'"text"', b'"content"'))
    assert texts(load_corpus(Recipe(source=str(tmp_path), column="content"))) == sorted(DOCUMENTS)
    with pytest.raises(CorpusError, match=r"a.jsonl:1 has no 'contents'\n.*did you mean 'content'"):
        load_corpus(Recipe(source=str(tmp_path), column="contents"))


def test_a_missing_column_of_parquet_is_named_with_the_nearest(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    with pytest.raises(CorpusError, match=r"a.parquet has no column 'txt'\n.*did you mean 'text'"):
        load_corpus(Recipe(source=str(tmp_path), column="txt"))
    with pytest.raises(CorpusError, match=r"a.parquet:1: 'id' holds a int, not text"):
        load_corpus(Recipe(source=str(tmp_path), column="id"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", LINES[:-20], r"a.jsonl:40 is not a line of JSON"),
        ("a.jsonl.gz", gzip.compress(LINES)[:-20], r"a.jsonl.gz is torn"),
        ("a.parquet", b"PAR1 but no more", r"a.parquet is torn or no Parquet file"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', r"a.jsonl:1: 'text' is not text"),
    ],
)
def test_torn_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        load_corpus(str(tmp_path / name))


def test_empty_documents_are_left_out_and_counted(tmp_path: Path) -> None:
    rows: list[Any] = [*DOCUMENTS, "", None, b""]
    corpus = load_corpus(Recipe(source="mine"), rows=rows)
    assert texts(corpus) == sorted(DOCUMENTS)
    assert corpus.source == "mine"
    assert corpus.preparation.documents == 43
    assert {why: sums.documents for why, sums in corpus.preparation.removed.items()} == {"empty": 3}
    with pytest.raises(CorpusError, match="corpus 'none' is empty"):
        load_corpus(Recipe(source="none"), rows=[""] * 5)


class Streamed:
    """What ``load_dataset(..., streaming=True)`` gives: rows that come as they are asked for."""

    def __init__(self) -> None:
        self.given = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in ROWS:
            self.given += 1
            yield row


def test_datasets_are_streamed_no_further_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    stream = Streamed()

    def load_dataset(*names: Any, **options: Any) -> Streamed:
        asked.append((names, options))
        return stream

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))  # type: ignore[arg-type]
    corpus = load_corpus("hf:some/words?config=en&split=validation&documents=20")
    assert asked == [(("some/words", "en"), {"split": "validation", "revision": None, "streaming": True})]
    assert texts(corpus) == sorted(DOCUMENTS[:20])
    assert stream.given == 20
    with pytest.raises(CorpusError, match=r"unknown option 'spilt' in corpus .*\n.*did you mean 'split'"):
        load_corpus("hf:some/words?spilt=train")
    with pytest.raises(CorpusError, match=r"corpus 'hf:' names no dataset\n.*hf:NAME"):
        load_corpus("hf:")


def test_a_dataset_object_is_a_source_of_rows() -> None:
    assert texts(load_corpus(Recipe(source="words"), rows=Streamed())) == sorted(DOCUMENTS)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("one text, not several", r"rows = 'one text, not several'\.\.\. is one text, not texts\n.*rows=\[text\]"),
        ({"train": ["a"], "test": ["b"]}, r"rows is a mapping, .*\n.*one of its values: train, test"),
    ],
)
def test_what_is_not_rows_is_refused(rows: Any, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_corpus(Recipe(source="words"), rows=rows)


def test_the_datasets_library_streams_a_local_file(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs isoflop[hf]")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    rows = datasets.load_dataset("parquet", data_files=str(tmp_path / "a.parquet"), split="train", streaming=True)
    assert texts(load_corpus(Recipe(source="words"), rows=rows)) == sorted(DOCUMENTS)


def test_the_datasets_library_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"datasets is not installed\n.*isoflop\[hf\]"):
        load_corpus("hf:some/words")


def test_a_large_file_is_mapped_and_the_same_corpus(tmp_path: Path) -> None:
    text = "".join(f"line {index} of a text of two megabytes\n" for index in range(60_000))
    (tmp_path / "large.txt").write_text(text)
    from_file, from_memory = load_corpus(str(tmp_path / "large.txt")), load_corpus(Recipe(source="x"), rows=[text])
    assert from_file.fingerprint == from_memory.fingerprint
