"""A run that was killed or superseded stays where it is, out of fits, and is not made again."""

from __future__ import annotations

import pytest

from isoflop.errors import RunTaken, StoreError
from isoflop.runs import Recorder, RunStore, mark, run_id, verify
from runs.making import COUNTS, all_points, assert_same_points, finish, one_of_each


@pytest.mark.parametrize("compacted", [False, True])
def test_a_superseded_run_stays_out_of_fits_with_the_reason(store: RunStore, compacted: bool) -> None:
    ids = one_of_each(store)
    if compacted:
        store.compact()
    points, fitted = all_points(store), store.fit_data().n_runs
    mark(store, ids["finished"][:10], "superseded", "prolonged by another")
    record = store.get(ids["finished"])
    assert record is not None
    assert (record.status, record.error, record.result) == (
        "superseded",
        "prolonged by another",
        {"loss": 2.0, "tokens": 900},
    )
    assert store.fit_data().n_runs == fitted - 1
    assert f"run {ids['finished']}: superseded" in store.fit_data().excluded
    assert store.table("state == 'superseded'")["id"].to_pylist() == [ids["finished"]]
    with pytest.raises(RunTaken, match="is superseded already"), Recorder(store, record.spec):
        pass
    assert_same_points(all_points(store), points)
    store.compact()
    assert store.get(ids["finished"]) == record
    store.compact()
    assert verify(store) == []


def test_a_killed_run_is_an_end_and_is_compacted(store: RunStore) -> None:
    one_of_each(store)
    run = run_id({"state": "interrupted"})
    mark(store, run, "killed", "took too long")
    assert store.has_ended(run)
    with pytest.raises(RunTaken, match="is killed already"), Recorder(store, {"state": "interrupted"}):
        pass
    before = store.points_of(run)
    store.compact()
    assert store.table("state == 'killed'")["error"].to_pylist() == ["took too long"]
    assert_same_points({run: store.points_of(run)}, {run: before})


def test_what_has_ended_cannot_be_killed_and_what_is_written_cannot_be_marked(store: RunStore) -> None:
    run = finish(store, 0)
    with pytest.raises(RunTaken, match=r"is finished already\n.*can be superseded"):
        mark(store, run, "killed", "why not")
    with Recorder(store, {"seed": "now"}, counts=COUNTS) as recorder:
        with pytest.raises(RunTaken, match=r"is being written by another process\n.*stop it first"):
            mark(store, recorder.id, "killed", "why not")
        recorder.finish(loss=1.0)
    with pytest.raises(StoreError, match="0 runs have an id"):
        mark(store, "nothing", "killed", "why not")
