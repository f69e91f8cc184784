"""What is logged can be read, however the run ends; an ended run is closed for good."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import RunTaken, SpecError, StoreError
from isoflop.runs import Recorder, RunStore, run_id
from isoflop.runs.local_run import LocalRun
from isoflop.runs.record import RunRecord

SPEC = {"seed": 0}


def log_and_raise(store: RunStore, error: BaseException, step: int = 1) -> None:
    with Recorder(store, SPEC) as recorder:
        recorder.log(step, loss=1.0)
        raise error


def only(store: RunStore) -> RunRecord:
    [record] = store
    return record


def test_points_read_back_as_columns(store: RunStore) -> None:
    with Recorder(store, SPEC) as recorder:
        for step in range(1, 251):
            recorder.log(step, tokens=step * 64, loss=1 / step)
        recorder.finish(loss=0.5)
    points = store.points_of(recorder.id)
    np.testing.assert_array_equal(points["step"], np.arange(1, 251))
    np.testing.assert_array_equal(points["tokens"], np.arange(1, 251) * 64)
    np.testing.assert_array_equal(points["loss"], 1 / np.arange(1, 251))


def test_what_a_run_is_made_with_stands_in_its_record_at_once(store: RunStore) -> None:
    with Recorder(store, SPEC, environment={"threads": "1"}) as recorder:
        recorder.describe(engine="native amx")
        assert only(store).environment == {"threads": "1", "engine": "native amx"}


def test_absent_none_and_nan_values_are_nan(store: RunStore) -> None:
    with Recorder(store, SPEC) as recorder:
        recorder.log(1, loss=3.0)
        recorder.log(2, loss=2.0, val_loss=2.5, grad_norm=math.nan)
        recorder.log(3, loss=1.0, val_loss=None)  # type: ignore[arg-type]
        recorder.finish(loss=1.0)
    points = store.points_of(recorder.id)
    np.testing.assert_array_equal(points["val_loss"], [np.nan, 2.5, np.nan])
    np.testing.assert_array_equal(points["grad_norm"], [np.nan] * 3)
    assert only(store).status == "finished"


def test_numbers_of_numpy_are_numbers(store: RunStore) -> None:
    with Recorder(store, SPEC, counts={"N": np.float64(10)}) as recorder:
        recorder.log(np.int64(1), loss=np.float32(0.5), tokens=np.float64(64))  # type: ignore[arg-type]
        recorder.finish(loss=np.float64(0.5))
    assert {name: column.tolist() for name, column in store.points_of(recorder.id).items()} == {
        "step": [1.0],
        "loss": [0.5],
        "tokens": [64.0],
    }
    assert only(store).result == {"loss": 0.5}
    assert only(store).counts == {"N": 10}


def test_points_reach_the_file_while_the_run_goes_on(store: RunStore) -> None:
    with Recorder(store, SPEC) as recorder:
        assert store.points_of(recorder.id) == {}
        for step in range(100):
            recorder.log(step, loss=1.0)
        assert len(store.points_of(recorder.id)["step"]) == 100
        recorder.log(100, loss=1.0)
        recorder.flush()
        assert len(store.points_of(recorder.id)["step"]) == 101
        assert store.state(only(store)) == "running"
        recorder.finish(loss=1.0)


def test_the_name_of_the_column_of_runs_is_taken(store: RunStore) -> None:
    with Recorder(store, SPEC, strict=True) as recorder:
        with pytest.raises(SpecError, match="a number cannot be called 'run'"):
            recorder.log(1, loss=1.0, run=2.0)
        recorder.finish(loss=1.0)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_makes_a_diverged_run(store: RunStore, loss: float) -> None:
    with Recorder(store, SPEC) as recorder:
        recorder.log(6, loss=1.0)
        recorder.log(7, loss=loss)
        recorder.log(8, loss=1.0)
        recorder.finish(loss=1.0)
    record = only(store)
    assert (record.status, record.error, record.result) == ("diverged", "the loss was not finite at step 7", None)


def test_an_outcome_that_is_not_finite_makes_a_diverged_run(store: RunStore) -> None:
    with Recorder(store, SPEC) as recorder:
        recorder.finish(loss=math.nan, step=12)
    assert (only(store).status, only(store).error) == ("diverged", "the loss was not finite at step 12")


def test_side_results_that_are_not_finite_are_left_out(store: RunStore) -> None:
    with Recorder(store, SPEC) as recorder:
        recorder.finish(loss=1.0, loss_se=math.nan)
    assert (only(store).status, only(store).result) == ("finished", {"loss": 1.0})


@pytest.mark.parametrize("count", [math.nan, math.inf])
def test_counts_that_are_not_finite_are_refused(store: RunStore, count: float) -> None:
    with pytest.raises(SpecError, match=r"count N = .* must be a finite number"):
        Recorder(store, SPEC, counts={"N": count})


def test_an_exception_makes_a_failed_run_with_its_words(store: RunStore) -> None:
    with pytest.raises(ValueError, match="no such thing"):
        log_and_raise(store, ValueError("no such thing"))
    record = only(store)
    assert (record.status, record.error) == ("failed", "ValueError: no such thing")
    assert store.points_of(record.id)["step"].tolist() == [1]


def test_a_block_left_without_an_outcome_makes_a_failed_run(store: RunStore) -> None:
    with Recorder(store, SPEC) as recorder:
        recorder.log(1, loss=1.0)
    assert only(store).status == "failed"
    assert "finish(loss=...) was not called" in (only(store).error or "")


def test_an_interrupt_makes_an_interrupted_run_with_its_points(store: RunStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        log_and_raise(store, KeyboardInterrupt())
    record = only(store)
    assert (record.status, store.state(record)) == ("running", "interrupted")
    assert store.points_of(record.id)["step"].tolist() == [1]


@pytest.mark.parametrize(("loss", "state"), [(1.0, "finished"), (math.nan, "diverged")])
def test_an_ended_run_cannot_be_made_again(store: RunStore, loss: float, state: str) -> None:
    with Recorder(store, SPEC) as recorder:
        recorder.finish(loss=loss)
    folder = store.path / "runs" / recorder.id
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    with pytest.raises(RunTaken, match=rf"is {state} already\n.*another seed"), Recorder(store, SPEC):
        pass
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_a_run_being_written_cannot_be_opened_twice(store: RunStore) -> None:
    with Recorder(store, SPEC) as recorder:
        with pytest.raises(RunTaken, match="is being written by another process"), Recorder(store, SPEC):
            pass
        recorder.finish(loss=1.0)
    assert only(store).status == "finished"


def test_a_failed_run_is_made_again_and_its_points_are_kept(store: RunStore) -> None:
    for attempt in (1, 2):
        with pytest.raises(OSError, match="gone"):
            log_and_raise(store, OSError("gone"), step=attempt)
    with Recorder(store, SPEC) as recorder:
        recorder.log(3, loss=1.0)
        recorder.finish(loss=1.0)
    assert (only(store).status, only(store).attempt, only(store).error) == ("finished", 3, None)
    folder = store.path / "runs" / recorder.id
    assert (folder / "points.1.jsonl").read_text() == '{"step":1,"loss":1.0}\n'
    assert (folder / "points.2.jsonl").read_text() == '{"step":2,"loss":1.0}\n'
    assert store.points_of(recorder.id)["step"].tolist() == [3]


def test_a_torn_last_line_is_unseen_and_cut_by_the_next_attempt(store: RunStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        log_and_raise(store, KeyboardInterrupt())
    file = store.path / "runs" / run_id(SPEC) / "points.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"step":2,"lo')
    assert store.points_of(run_id(SPEC))["step"].tolist() == [1]
    with Recorder(store, SPEC) as recorder:
        recorder.finish(loss=1.0)
    assert (store.path / "runs" / recorder.id / "points.1.jsonl").read_bytes() == whole


def test_a_kill_between_the_files_of_an_attempt_loses_no_points(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        log_and_raise(store, KeyboardInterrupt())
    with monkeypatch.context() as patched:
        patched.setattr(LocalRun, "publish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Recorder(store, SPEC).__enter__()
    with Recorder(store, SPEC) as recorder:
        recorder.log(2, loss=1.0)
        recorder.finish(loss=1.0)
    assert (store.path / "runs" / recorder.id / "points.1.jsonl").read_text() == '{"step":1,"loss":1.0}\n'
    assert (only(store).attempt, store.points_of(recorder.id)["step"].tolist()) == (2, [2])


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_write_that_stops_half_way_leaves_whole_lines(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def ten_bytes(descriptor: int, content: memoryview) -> int:
        if len(content) < 2000:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[:10])

    with Recorder(store, SPEC, strict=True) as recorder:
        for step in range(5):
            recorder.log(step, loss=1.0)
        recorder.flush()
        kept = (store.path / "runs" / recorder.id / "points.jsonl").read_bytes()
        monkeypatch.setattr(os, "write", ten_bytes)
        for step in range(99):
            recorder.log(step, loss=0.1 + step)
        with pytest.raises(
            StoreError, match=r"cannot append points to .*: No space left on device\n.*the disk is full"
        ):
            recorder.log(99, loss=0.1)
        monkeypatch.undo()
        assert (store.path / "runs" / recorder.id / "points.jsonl").read_bytes() == kept
        recorder.finish(loss=1.0)


def test_a_file_where_the_run_should_be_is_named(store: RunStore) -> None:
    recorder = Recorder(store, SPEC)
    (store.path / "runs" / recorder.id).write_text("in the way")
    with pytest.raises(StoreError, match=rf"cannot lock {store.run(recorder.id).url}/lease: File exists"), recorder:
        pass


def test_a_read_only_folder_is_named_with_what_to_do(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"Permission denied\n.*must be writable"), Recorder(store, SPEC):
        pass


def test_what_a_killed_writer_left_half_written_is_cleared_by_the_next_attempt(store: RunStore) -> None:
    with pytest.raises(KeyboardInterrupt), Recorder(store, {"seed": 1}) as recorder:
        raise KeyboardInterrupt
    half = store.path / "runs" / recorder.id / ".run.json.12345.tmp"
    half.write_text('{"form')
    with Recorder(store, {"seed": 1}) as again:
        again.finish(loss=1.0)
    assert not half.exists()
    assert store.summary() == {"finished": 1}


@pytest.mark.parametrize("ends", [True, False])
def test_two_specs_that_share_an_id_are_never_one_run(
    store: RunStore, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isoflop.runs.attempt.run_id", lambda spec: "c011151011c01115")
    monkeypatch.setattr("isoflop.runs.recorder.run_id", lambda spec: "c011151011c01115")
    first = Recorder(store, {"seed": 0, "widths": (1, 2)})
    first.__enter__()
    if ends:
        first.finish(loss=1.0)
    first.__exit__(None if ends else KeyboardInterrupt, None if ends else KeyboardInterrupt(), None)
    before = store.run(first.id).read("run.json")
    with pytest.raises(RunTaken, match=r"has another spec\n.*share an id"), Recorder(store, {"seed": 1}):
        pass
    assert store.run(first.id).read("run.json") == before
    if not ends:
        with Recorder(store, {"widths": [1, 2], "seed": 0}) as again:
            again.finish(loss=1.0)
        assert again.record.attempt == 2
