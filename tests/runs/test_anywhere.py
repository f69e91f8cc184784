"""One contract of a store, whatever it is kept on: a disk, memory, or a server that speaks S3."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import RunTaken, StoreError
from isoflop.runs import Recorder, RunStore, export, gc, import_archive, mark, merge, read_studies, run_id, verify
from isoflop.runs.rubbish import alone
from isoflop.runs.studies import GroupRuns, write_study
from runs.making import COUNTS, all_points, assert_same_points, finish, one_of_each, seen


def test_every_kind_of_run_reads_back_as_from_a_disk(anywhere: str, store: RunStore) -> None:
    there = RunStore(anywhere)
    assert one_of_each(there) == one_of_each(store)
    assert_same_points(all_points(there), all_points(store))
    found, wanted = seen(RunStore(anywhere, create=False)), seen(store)
    for record in (*found.pop("records"), *wanted.pop("records")):
        assert record.id in wanted["ids"]
    for rows in (found["rows"], wanted["rows"]):
        for row in rows:
            assert row.pop("started") <= row.pop("ended", "9")
            row.pop("seconds", None)
    assert found == wanted
    assert verify(there) == []


def test_a_compacted_store_reads_as_it_did(anywhere: str) -> None:
    store = RunStore(anywhere)
    one_of_each(store)
    before, points = seen(store), all_points(store)
    done = store.compact()
    assert (done.runs, done.points, done.left, done.damaged, done.files) == (4, 11, 2, (), 3)
    for reader in (store, RunStore(anywhere, create=False)):
        assert seen(reader) == before
        assert_same_points(all_points(reader), points)
    for seed in (10, 11):
        finish(store, seed)
        store.compact()
    assert verify(store) == []
    assert len(store.ids()) == len(before["ids"]) + 2
    gc(store, cache=True)
    named = [file.name for part in store.compacted.parts() for file in (part.files.runs, part.files.points)]
    assert store.compacted.folder.names() == sorted(["manifest.json", *named])
    assert_same_points({run: RunStore(anywhere).points_of(run) for run in before["ids"]}, points)


def test_points_are_picked_by_fields_and_by_sql(anywhere: str) -> None:
    store = RunStore(anywhere)
    for seed in range(4):
        finish(store, seed, n_points=5)
    store.compact()
    finish(store, 4, n_points=5)
    points = store.points(["step", "loss"], where="seed >= 2")
    assert (len(points), points.offsets.tolist()) == (3, [0, 5, 10, 15])
    pytest.importorskip("duckdb")
    answer = store.sql("select count(*) n, count(distinct run) runs from points").to_pylist()
    assert answer == [{"n": 25, "runs": 5}]


def log_and_fail(store: RunStore, step: int) -> None:
    with Recorder(store, {"seed": 0}) as recorder:
        recorder.log(step, loss=1.0)
        raise OSError("gone")


def test_an_ended_run_cannot_be_made_again_and_a_failed_one_can(anywhere: str) -> None:
    store = RunStore(anywhere)
    for attempt in (1, 2):
        with pytest.raises(OSError, match="gone"):
            log_and_fail(store, attempt)
    with Recorder(store, {"seed": 0}) as recorder:
        recorder.log(3, loss=1.0)
        recorder.rewind(2)
        recorder.finish(loss=1.0)
    assert recorder.record.attempt == 3
    assert store.points_of(recorder.id)["step"].tolist() == [1, 3]
    with pytest.raises(RunTaken, match="is finished already"), Recorder(store, {"seed": 0}):
        pass
    folder = store.run(recorder.id)
    assert {name: folder.read(name) for name in folder.kept()}.keys() >= {"points.1.jsonl", "points.2.jsonl"}
    store.compact()
    with pytest.raises(RunTaken, match="is finished already"), Recorder(store, {"seed": 0}):
        pass


def test_one_writer_a_run_and_one_compactor_a_store(anywhere: str) -> None:
    store, other = RunStore(anywhere), RunStore(anywhere)
    with Recorder(store, {"seed": 0}) as recorder:
        assert other.state(other.find(recorder.id)) == "running"
        with pytest.raises(RunTaken, match="is being written by another process"), Recorder(other, {"seed": 0}):
            pass
        with pytest.raises(RunTaken, match="is being written"):
            mark(other, recorder.id, "killed", "why")
        recorder.finish(loss=1.0)
    with alone(store), pytest.raises(StoreError, match="is being compacted by another process"):
        other.compact()
    assert other.compact().runs == 1
    assert mark(store, recorder.id, "superseded", "by a better one").error == "by a better one"
    assert store.summary() == {"superseded": 1}


def test_a_run_of_many_flushes_is_read_to_its_last_point(anywhere: str) -> None:
    store = RunStore(anywhere)
    with Recorder(store, {"seed": 0}) as recorder:
        for step in range(1, 251):
            recorder.log(step, loss=1 / step, val_loss=math.nan)
            if step % 25 == 0:
                recorder.sync()
                assert len(RunStore(anywhere).points_of(recorder.id)["step"]) == step
        recorder.finish(loss=0.5)
    np.testing.assert_array_equal(store.points_of(recorder.id)["loss"], 1 / np.arange(1, 251))


def test_runs_and_studies_go_from_any_store_to_any_other(anywhere: str, store: RunStore, tmp_path: Path) -> None:
    there = RunStore(anywhere)
    ids = one_of_each(store)
    write_study(store, "study", [GroupRuns(name="all", purpose="scaling", runs=tuple(sorted(ids.values())))])
    store.compact()
    finish(store, 10)
    came = merge(there, store)
    assert (came.runs, came.problems) == (7, [])
    assert there.ids() == store.ids()
    assert_same_points(all_points(there), all_points(store))
    assert read_studies(there) == read_studies(store)
    assert merge(there, store).known == 7
    assert export(there, tmp_path / "runs.zip").runs == 5
    back = RunStore(tmp_path / "back")
    assert import_archive(back, tmp_path / "runs.zip").runs == 5
    assert export(back, f"{anywhere}-exported").runs == 5
    assert RunStore(f"{anywhere}-exported", create=False).ids() == back.ids()
    with pytest.raises(StoreError, match="is there already"):
        export(back, f"{anywhere}-exported")
    with pytest.raises(StoreError, match="cannot be merged with itself"):
        merge(there, RunStore(anywhere))


def test_a_damaged_record_is_named_and_put_aside(anywhere: str) -> None:
    store = RunStore(anywhere)
    sound = finish(store, 1)
    run = finish(store, 0)
    store.run(run).write_record(1, b'{"format": 1')
    with pytest.raises(StoreError, match=r"run\.json is damaged"):
        store.summary()
    assert [(problem.file, problem.mended) for problem in verify(store, mend=True)] == [(f"runs/{run}", True)]
    assert verify(store) == []
    assert store.ids() == [sound]
    assert store.root.sub("damaged").names() == [run]


def test_there_is_no_store_where_none_was_made(anywhere: str) -> None:
    with pytest.raises(StoreError, match="there is no run store at"):
        RunStore(anywhere, create=False)
    RunStore(anywhere).root.replace("store.json", b'{"kind": "isoflop run store", "format": 99}')
    with pytest.raises(StoreError, match="has format 99; this version reads up to 1"):
        RunStore(anywhere)


def test_a_folder_with_other_things_is_left_alone(anywhere: str) -> None:
    RunStore(anywhere).root.sub("inside").replace("thesis.tex", b"precious")
    with pytest.raises(StoreError, match="is a folder with other things in it"):
        RunStore(f"{anywhere}/inside")


def test_counts_and_results_make_data_for_a_fit(anywhere: str) -> None:
    store = RunStore(anywhere)
    for seed in range(3):
        finish(store, seed)
    data = store.fit_data()
    assert (data.n_runs, data.columns["D"].tolist(), data.source) == (3, [900.0] * 3, anywhere)
    assert run_id({"seed": 0, "shape": {"d_model": 8}}) in store.ids()
    assert COUNTS["N"] in data.columns["N"]
