"""The store is the truth: it is made once, read whole, and gives fits what is finished and says what is not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.errors import StoreError
from isoflop.fitting.data import read_data
from isoflop.laws.catalogue import get_law
from isoflop.runs import Recorder, RunStore, run_id

COUNTS = {"N": 100.0, "D": 1000.0, "C": 6e5}


def finish(store: RunStore, seed: int, loss: float = 2.0, **more: Any) -> str:
    with Recorder(store, {"seed": seed, "shape": {"d_model": 8}}, counts=COUNTS | more) as recorder:
        recorder.log(1, loss=loss)
        recorder.finish(loss=loss, tokens=900)
    return recorder.id


def test_a_store_is_made_once_and_opened_after(tmp_path: Path) -> None:
    RunStore(tmp_path / "deep" / "store")
    marker = tmp_path / "deep" / "store" / "store.json"
    before = marker.stat().st_mtime_ns
    assert json.loads(marker.read_text()) == {"kind": "isoflop run store", "format": 1}
    assert list(RunStore(str(tmp_path / "deep" / "store"), create=False)) == []
    assert marker.stat().st_mtime_ns == before
    assert [path.name for path in marker.parent.iterdir() if path.name.startswith(".")] == []


def test_no_store_is_made_where_none_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no run store at .*\n.*isoflop sweep"):
        RunStore(tmp_path / "store", create=False)
    assert not (tmp_path / "store").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="is a folder with other things in it"):
        RunStore(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(StoreError, match=rf"cannot make a run store at {tmp_path / 'file'}: "):
        RunStore(tmp_path / "file")


def test_a_store_half_made_by_another_process_is_completed(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / ".store.json.123.tmp").write_bytes(b"{")
    assert list(RunStore(tmp_path)) == []


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("", "is not a run store's marker"),
        ("[]", "is not a run store's marker"),
        ('{"kind": "isoflop run store"}', "is not a run store's marker"),
        ('{"kind": "cookbook", "format": 1}', "holds a 'cookbook', not a 'isoflop run store'"),
        ('{"kind": "isoflop run store", "format": 2}', r"has format 2; this version reads up to 1\n.*upgrade"),
    ],
)
def test_what_is_not_a_store_of_ours_is_refused(tmp_path: Path, marker: str, message: str) -> None:
    (tmp_path / "store.json").write_text(marker)
    with pytest.raises(StoreError, match=message):
        RunStore(tmp_path)


def test_runs_are_read_in_the_order_of_their_ids(store: RunStore) -> None:
    ids = [finish(store, seed) for seed in range(6)]
    assert [record.id for record in store] == sorted(ids)
    assert store.summary() == {"finished": 6}


def test_files_that_are_not_runs_are_passed_over(store: RunStore) -> None:
    run = finish(store, 0)
    (store.path / "runs" / ".DS_Store").write_bytes(b"\0")
    (store.path / "runs" / "notes").mkdir()
    assert [record.id for record in store] == [run]


def test_a_store_whose_empty_runs_folder_was_lost_is_empty(store: RunStore) -> None:
    (store.path / "runs").rmdir()
    assert list(store) == []
    finish(store, 0)
    assert len(list(store)) == 1


def test_runs_are_found_by_a_prefix_that_only_they_have(store: RunStore) -> None:
    ids = [finish(store, seed) for seed in range(6)]
    assert store.find(ids[0]).id == ids[0]
    for prefix, found in (("", 0), ("x", 0)):
        with pytest.raises(StoreError, match=rf"{found} runs have an id that starts with '{prefix}'"):
            store.find(prefix)


def test_points_of_a_run_that_was_never_made_are_refused(store: RunStore) -> None:
    with pytest.raises(StoreError, match="there is no run 'nothing' in "):
        store.points_of("nothing")


def test_damaged_points_name_their_file(store: RunStore) -> None:
    run = finish(store, 0)
    (store.path / "runs" / run / "points.jsonl").write_bytes(b'{"step":1}\n\0\0\0\n')
    with pytest.raises(StoreError, match=rf"{run}/points.jsonl is damaged"):
        store.points_of(run)


def test_fits_get_the_finished_runs_and_the_names_of_the_others(store: RunStore) -> None:
    losses = {finish(store, seed, loss=1.0 + seed): 1.0 + seed for seed in range(3)}
    diverged = finish(store, 3, loss=math.nan)
    with pytest.raises(ValueError, match="broken"), Recorder(store, {"seed": 4}, counts=COUNTS) as failed:
        raise ValueError("broken")
    with pytest.raises(KeyboardInterrupt), Recorder(store, {"seed": 5}, counts=COUNTS) as interrupted:
        raise KeyboardInterrupt
    with Recorder(store, {"seed": 6}, counts=COUNTS) as running:
        data = store.fit_data()
        running.finish(loss=1.0)
    assert data.columns["L"].tolist() == [losses[run] for run in sorted(losses)]
    seen = {"N": 100.0, "D": 900.0, "C": 6e5 * 900 / 1000}  # the loss was measured after 900 of the 1000 tokens
    for name in ("N", "D", "C"):
        assert data.columns[name].tolist() == [seen[name]] * 3
    assert set(data.excluded) == {
        f"run {diverged}: diverged",
        f"run {failed.id}: failed",
        f"run {interrupted.id}: interrupted",
        f"run {running.id}: running",
    }
    assert (data.source, data.n_convention) == (str(store.path), "non-embedding")


def test_runs_without_counts_are_named_and_do_not_spoil_the_others(store: RunStore) -> None:
    finish(store, 0)
    with Recorder(store, {"seed": 1}, counts={"N": 3}) as recorder:
        recorder.finish(loss=1.0)
    data = store.fit_data()
    assert data.n_runs == 1
    assert data.excluded == (f"run {recorder.id}: recorded without counts of D, C",)


def test_an_empty_store_gives_empty_columns(store: RunStore) -> None:
    data = store.fit_data()
    assert (data.n_runs, data.excluded) == (0, ())
    assert sorted(data.columns) == ["C", "D", "L", "N", "U"]


def test_a_fit_reads_a_store(store: RunStore) -> None:
    for seed in range(5):
        finish(store, seed, N=10.0**seed)
    data, _ = read_data(store, get_law("power-n"))
    assert sorted(data.columns["N"]) == [1, 10, 100, 1000, 10000]


def test_the_table_has_one_row_a_run(store: RunStore) -> None:
    finished, diverged = finish(store, 0, loss=1.5), finish(store, 1, loss=math.nan)
    rows = {row["id"]: row for row in store.table().to_pylist()}
    assert rows[finished]["state"] == "finished"
    assert (rows[finished]["loss"], rows[finished]["N"], rows[finished]["spec.shape.d_model"]) == (1.5, 100.0, 8)
    assert (rows[diverged]["state"], rows[diverged]["loss"]) == ("diverged", None)


def test_reading_changes_nothing(store: RunStore) -> None:
    run = finish(store, 0)
    before = {path: path.stat().st_mtime_ns for path in store.path.rglob("*")}
    other = RunStore(store.path, create=False)
    record = other.get(run)
    assert record is not None
    other.points_of(run), other.fit_data(), other.table(), other.summary(), other.state(record)
    assert {path: path.stat().st_mtime_ns for path in store.path.rglob("*")} == before


def test_points_of_many_runs_keep_their_precision(store: RunStore) -> None:
    losses = np.random.default_rng(0).random(500)
    with Recorder(store, {"seed": 0}) as recorder:
        for step, loss in enumerate(losses):
            recorder.log(step, loss=float(loss))
        recorder.finish(loss=1.0)
    np.testing.assert_array_equal(store.points_of(run_id({"seed": 0}))["loss"], losses)


def test_whole_numbers_of_any_size_compare_with_numbers_that_have_a_point(store: RunStore) -> None:
    for seed in (10**12, 10**12 + 2, 3):
        finish(store, seed)
    assert store.table("spec.seed > 1e3").num_rows == 2
    assert store.table("spec.seed in [3.0, 1000000000002.0]").num_rows == 2
    assert store.table("-1.5 < spec.seed < 5").num_rows == 1
