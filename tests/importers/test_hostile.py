"""Files that mean harm give errors of the package, and nothing is written outside the store."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from isoflop.errors import IsoflopError, SourceError
from isoflop.importers import documents, import_runs
from isoflop.runs import RunStore, verify

SAID: dict[str, Any] = {"loss_unit": "nats/token", "n_convention": "non-embedding"}
MAP = {"run": "who", "step": "it", "N": "n", "loss": "l"}
HOSTILE = [
    "../../escaped",
    "/tmp/escaped",
    "..",
    ".",
    "a/b",
    "con\x00",
    "run.json",
    "\u202e",
    "-rf",
    "~root",
    "",
    "%00",
]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("field", ["who", "word", "name"])
def test_ids_and_fields_that_are_paths_stay_words_in_the_store(field: str, tmp_path: Path) -> None:
    source, inside = tmp_path / "in" / "points.jsonl", tmp_path / "out" / "store"
    source.parent.mkdir()
    rows = [{"who": f"r{i}", "it": 1, "n": 10.0, "l": 2.0, "word": "w"} for i in range(len(HOSTILE))]
    for row, hostile in zip(rows, HOSTILE, strict=True):
        row["who" if field == "name" else field] = hostile
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = RunStore(inside)
    before = files(tmp_path)
    done = import_runs(
        store, source, {**MAP, "spec.word": "word"}, name="../../escaped" if field == "name" else None, **SAID
    )
    assert (done.runs, done.problems) == (len(HOSTILE), [])
    assert {name for name in files(tmp_path) - before if not name.startswith("out/store/")} == set()
    assert all(len(run) == 16 and set(run) <= set("0123456789abcdef") for run in store.ids())
    assert {record.spec["word" if field == "word" else "run"] for record in store} == set(HOSTILE)
    assert not verify(store)


def test_a_field_called_as_a_path_is_a_key_of_the_spec_alone(tmp_path: Path) -> None:
    source = tmp_path / "points.jsonl"
    source.write_text(json.dumps({"l": 2.0, "config": {"../../x": 1, "/etc/passwd": 2, "a": {"..": 3}}}) + "\n")
    store = RunStore(tmp_path / "store")
    import_runs(store, source, {"loss": "l", "spec.*": "config.*"}, loss_unit="nats/token")
    (record,) = store
    assert record.spec["/etc/passwd"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"points.jsonl", "store"}


DEEP = "[" * 200_000 + "]" * 200_000
BAD: dict[str, Callable[[Path], None]] = {
    "deep.jsonl": lambda file: void(file.write_text(DEEP + "\n")),
    "deep-object.jsonl": lambda file: void(file.write_text('{"l":' * 100_000 + "1" + "}" * 100_000)),
    "list.jsonl": lambda file: void(file.write_text("[1, 2]\n")),
    "torn.jsonl": lambda file: void(file.write_text('{"l": 1}\n{"l": ')),
    "bytes.jsonl": lambda file: void(file.write_bytes(b"\xff\xfe\x00{}")),
    "torn.jsonl.gz": lambda file: void(file.write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03abc")),
    "no.jsonl.gz": lambda file: void(file.write_bytes(b"not gzip")),
    "empty.csv": lambda file: void(file.write_text("")),
    "ragged.csv": lambda file: void(file.write_text("l,n\n1,2,3\n4\n")),
    "words.csv": lambda file: void(file.write_text("l,n\nlow,high\n")),
    "torn.parquet": lambda file: void(file.write_bytes(b"PAR1" + b"\x00" * 40)),
    "trainer_state.json": lambda file: void(file.write_text(DEEP)),
    "odd/trainer_state.json": lambda file: void(file.write_text('{"log_history": [{"loss": 2.0}]}')),
    "worse/trainer_state.json": lambda file: void(file.write_text('{"log_history": [{"step": [1], "loss": 2.0}]}')),
    "run-1.wandb": lambda file: void(file.write_bytes(b":W&B" + os.urandom(500))),
    "run-2.wandb": lambda file: void(file.write_bytes(b":W&B\xe1\xbe\x00" + b"\x01" * 500)),
    "events.out.tfevents.1": lambda file: void(file.write_bytes(os.urandom(2000))),
    "missing.csv": lambda file: None,
    "folder.csv": lambda file: file.mkdir(),
}


def void(_: object) -> None:
    return None


@pytest.mark.parametrize("name", BAD)
def test_damaged_and_deep_files_are_refused_in_words(name: str, tmp_path: Path) -> None:
    if name.endswith((".wandb", "1")):
        pytest.importorskip("wandb" if name.endswith(".wandb") else "tensorboard")
    store = RunStore(tmp_path / "store")
    source = tmp_path / name
    source.parent.mkdir(exist_ok=True)
    BAD[name](source)
    with pytest.raises(SourceError):
        import_runs(store, source, {"loss": "l"}, loss_unit="nats/token")
    assert store.ids() == []


def test_a_document_beyond_the_bound_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LARGEST", 1000)
    source = tmp_path / "points.jsonl"
    source.write_text(json.dumps({"l": 2.0, "x": "y" * 1000}))
    with pytest.raises(SourceError, match="is larger than"):
        import_runs(RunStore(tmp_path / "store"), source, {"loss": "l"}, loss_unit="nats/token")


@pytest.mark.parametrize("inside", ["run/events.out.tfevents.1", "wandb/offline-run/run-1.wandb"])
def test_links_in_a_folder_of_a_tracker_are_not_followed(inside: str, tmp_path: Path) -> None:
    outside, folder = tmp_path / "secret", tmp_path / "folder"
    outside.write_bytes(b"secret")
    (folder / inside).parent.mkdir(parents=True)
    (folder / inside).symlink_to(outside)
    kind = "wandb" if "wandb" in inside else "tensorboard"
    with pytest.raises(SourceError, match="is a symbolic link"):
        import_runs(RunStore(tmp_path / "store"), folder, {"loss": "l"}, loss_unit="nats/token", format=kind)


def test_long_words_and_many_fields_stay_out_of_the_store(tmp_path: Path) -> None:
    source = tmp_path / "points.jsonl"
    source.write_text(json.dumps({"who": "w" * 5000, "it": 1, "n": 1.0, "l": 2.0}) + "\n")
    done = import_runs(RunStore(tmp_path / "store"), source, MAP, **SAID)
    assert done.runs == 0
    assert "a name of 1 to 4096 characters" in done.problems[0]
    source.write_text(json.dumps({"l": 2.0, "config": {str(i): i for i in range(2000)}}) + "\n")
    with pytest.raises(IsoflopError, match="stands for 2000 fields"):
        import_runs(RunStore(tmp_path / "store"), source, {"loss": "l", "spec.*": "config.*"}, loss_unit="nats/token")


def parquet_bytes() -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table({"l": [1.0, 2.0], "n": ["a", "b"]}), sink)
    return sink.getvalue()


WHOLE = {
    "a.csv": b"l,n\n1,a\n2,b\n",
    "a.jsonl": b'{"l": 1, "n": "a"}\n{"l": 2, "n": "b"}\n',
    "a.parquet": parquet_bytes(),
    "trainer_state.json": b'{"log_history": [{"step": 1, "l": 2.0, "n": "a"}], "epoch": 1.0}',
}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=3), st.integers(0, 3)), max_size=6),
)
def test_files_with_any_bytes_changed_import_or_are_refused(
    name: str, changes: list[tuple[int, bytes, int]], tmp_path: Path
) -> None:
    content = WHOLE[name]
    for at, put, cut in changes:
        at %= len(content) + 1
        content = content[:at] + put + content[at + cut :]
    (tmp_path / name).write_bytes(content)
    with suppress(IsoflopError):
        import_runs(RunStore(tmp_path / "store"), tmp_path / name, {"loss": "l", "spec.n": "n"}, loss_unit="nats/token")
