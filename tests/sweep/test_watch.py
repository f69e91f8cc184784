"""A look at a store says what its runs are doing, from the store alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from isoflop.runs import Recorder, RunStore, run_id
from isoflop.runs.part_file import PartFile
from isoflop.sweep import watch
from isoflop.sweep.launcher import run_sweep
from isoflop.sweep.resolve import keep_study
from isoflop.sweep.study import parse_study
from isoflop.sweep.watch import Watch
from isoflop.train.spec import TrainSpec

MakeSpecs = Callable[..., list[TrainSpec]]


def begin(store: RunStore, spec: TrainSpec) -> Recorder:
    return Recorder(store, spec.to_dict(), counts=spec.counts()).__enter__()


def test_a_running_run_shows_its_loss_speed_and_time_left(
    store: RunStore, make_specs: MakeSpecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_specs()[0]
    recorder = begin(store, spec)
    at = watch.time.time() + 1000.0
    monkeypatch.setattr(watch.time, "time", lambda: at)
    watched = Watch(store, peak=1e9)
    assert watched.look().doing[0].rate is None, "nothing is logged yet"
    recorder.log(10, tokens=640, loss=5.0)
    recorder.log(20, tokens=1280, loss=4.0, val_loss=4.5)
    recorder.log(21, tokens=1600, loss=3.0)
    recorder.flush()
    look = watched.look()
    [run] = look.doing
    assert (run.id, run.state, run.n) == (run_id(spec.to_dict()), "running", spec.shape.n_nonembedding)
    assert (run.tokens, run.planned, run.loss, run.held_out) == (1600, spec.tokens, 3.0, 4.5)
    assert run.rate == pytest.approx(1.6, abs=0.01)
    assert run.flops == pytest.approx(run.rate * spec.counts()["C_exact_causal"] / spec.tokens)
    assert run.utilisation == pytest.approx(run.flops / 1e9)
    assert run.left == pytest.approx((spec.tokens - 1600) / run.rate)
    assert look.states == {"running": 1}
    assert look.left == pytest.approx(run.left)
    recorder.finish(loss=3.0)
    recorder.__exit__(None, None, None)
    after = watched.look()
    assert (after.doing, dict(after.states), after.left) == ((), {"finished": 1}, None)


def test_states_are_counted_those_of_runs_that_nobody_has_begun_too(
    store: RunStore, make_specs: MakeSpecs, watch: Any
) -> None:
    specs = make_specs()
    study = parse_study({"shapes": [specs[0].shape.to_dict()], "tokens": [1]})
    keep_study(store, study, {"all": specs})
    run_sweep(specs[:1], store, workers=1)
    with pytest.raises(KeyboardInterrupt), Recorder(store, specs[1].to_dict(), counts=specs[1].counts()):
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="broken"), Recorder(store, specs[2].to_dict()):
        raise ValueError("broken")
    look = Watch(store).look()
    assert look.states == {"finished": 1, "interrupted": 1, "failed": 1, "asked": 1}
    assert [run.rate for run in look.doing] == [None, None]


def test_a_later_attempt_is_timed_from_the_first_look_at_it(
    store: RunStore, make_specs: MakeSpecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_specs()[0]
    first = begin(store, spec)
    first.log(1, tokens=64, loss=5.0)
    first.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    recorder = begin(store, spec)
    recorder.rewind(1)
    watched, at = Watch(store), [0.0]
    monkeypatch.setattr(watch.time, "time", lambda: at[0])
    assert watched.look().doing[0].rate is None
    recorder.log(2, tokens=128, loss=5.0)
    recorder.flush()
    at[0] = 4.0
    assert watched.look().doing[0].rate == 16.0
    recorder.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def test_runs_that_end_and_are_compacted_between_two_looks_are_counted(store: RunStore, make_specs: MakeSpecs) -> None:
    specs, watched = make_specs(), Watch(store)
    with Recorder(store, specs[0].to_dict()) as first:
        assert watched.look().states == {"running": 1}
        first.finish(loss=1.0)
    with Recorder(store, specs[1].to_dict()) as second:
        second.finish(loss=1.0)
    store.compact()
    assert watched.look().states == {"finished": 2}


def test_a_look_reads_only_ids_and_states_of_what_is_compacted(
    store: RunStore, make_specs: MakeSpecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for spec in make_specs():
        with Recorder(store, spec.to_dict()) as recorder:
            recorder.finish(loss=1.0)
    store.compact()
    columns: list[str] = []
    read = PartFile.read

    def counted(file: PartFile, names: Sequence[str]) -> Any:
        columns.extend(names)
        return read(file, names)

    monkeypatch.setattr(PartFile, "read", counted)
    monkeypatch.setattr(PartFile, "texts", None)
    assert Watch(store).look().states == {"finished": len(make_specs())}
    assert sorted(columns) == ["id", "state"]
