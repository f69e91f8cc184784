"""The launcher runs what is left, longest first, and believes the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from isoflop.errors import StoreError
from isoflop.runs import Recorder, RunStore, run_id
from isoflop.sweep import launcher
from isoflop.sweep.cost import typical_seconds
from isoflop.sweep.job import OnEnd, OnStep, RunEnd
from isoflop.sweep.launcher import run_sweep
from isoflop.train.spec import TrainSpec

MakeSpecs = Callable[..., list[TrainSpec]]


def record(store: RunStore, spec: TrainSpec, loss: float = 1.0) -> None:
    with Recorder(store, spec.to_dict(), counts=spec.counts()) as recorder:
        recorder.finish(loss=loss)


class Scripted:
    """A worker that ends each run as ``ends`` says, else records it as finished."""

    def __init__(self, store: RunStore, ends: dict[str, list[RunEnd]] | None = None) -> None:
        self.store, self.ends = store, ends or {}
        self.jobs: list[TrainSpec] = []
        self.stopped = self.closed = False

    def run(self, job: dict[str, Any], on_step: OnStep, on_end: OnEnd) -> None:
        for index, values in enumerate(job["specs"]):
            self.jobs.append(TrainSpec.from_dict(values))
            on_step(index, 1)
            on_end(index, self.end(self.jobs[-1]))

    def end(self, spec: TrainSpec) -> RunEnd:
        planned = self.ends.get(ident(spec))
        if planned:
            return planned.pop(0)
        record(self.store, spec)
        return RunEnd("finished")

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed = True


def ident(spec: TrainSpec) -> str:
    return run_id(spec.to_dict())


def test_every_run_is_made_once_the_longest_first(store: RunStore, make_specs: MakeSpecs, watch: Any) -> None:
    specs, worker, seen = make_specs(), Scripted(store), watch()
    result = run_sweep(specs, store, workers=1, worker=lambda: worker, watcher=seen)
    assert worker.jobs == sorted(specs, key=typical_seconds, reverse=True)
    assert result.states == {ident(spec): "finished" for spec in specs}
    assert (result.found, result.errors, result.count("finished")) == (0, {}, 4)
    assert (sorted(map(ident, seen.begun)), seen.found) == (sorted(map(ident, specs)), 0)
    assert [spec for spec, state, _ in seen.ends] == worker.jobs
    assert seen.steps == [(spec, 1) for spec in worker.jobs]
    assert worker.closed


def test_what_the_store_holds_finished_or_diverged_is_not_run_again(store: RunStore, make_specs: MakeSpecs) -> None:
    specs, worker = make_specs(), Scripted(store)
    record(store, specs[0])
    record(store, specs[1], loss=float("nan"))
    with pytest.raises(ValueError, match="broken"), Recorder(store, specs[2].to_dict()):
        raise ValueError("broken")
    result = run_sweep(specs, store, workers=1, worker=lambda: worker)
    assert result.found == 2
    assert set(worker.jobs) == set(specs[2:]), "a failed run is tried again"
    assert run_sweep(specs, store, workers=1, worker=lambda: worker).found == 4


def test_no_runs_need_no_work(store: RunStore) -> None:
    worker = Scripted(store)
    assert run_sweep([], store, worker=lambda: worker).states == {}
    assert worker.jobs == []


def test_no_more_workers_are_made_than_there_are_runs(store: RunStore, make_specs: MakeSpecs) -> None:
    made: list[Scripted] = []

    def make() -> Scripted:
        made.append(Scripted(store))
        return made[-1]

    run_sweep(make_specs(), store, workers=3, worker=make)
    run_sweep(make_specs(train={"seeds": [1]})[:2], store, workers=64, worker=make)
    assert len(made) == 3 + 2
    assert all(worker.closed for worker in made)


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_a_run_that_ends_badly_is_reported_and_stops_no_other(
    store: RunStore, make_specs: MakeSpecs, watch: Any, state: str
) -> None:
    specs, seen = make_specs(), watch()
    worker = Scripted(store, {ident(specs[1]): [RunEnd(state, "out of luck")]})
    result = run_sweep(specs, store, workers=1, worker=lambda: worker, watcher=seen)
    assert len(worker.jobs) == 4
    assert result.states[ident(specs[1])] == state
    assert (result.errors, result.count("finished")) == ({ident(specs[1]): "out of luck"}, 3)
    assert (specs[1], state, "out of luck") in seen.ends


def test_a_fatal_end_stops_the_sweep_in_its_words(store: RunStore, make_specs: MakeSpecs) -> None:
    specs = sorted(make_specs(), key=typical_seconds, reverse=True)
    worker = Scripted(store, {ident(specs[1]): [RunEnd("failed", "the disk is full", fatal=True)]})
    with pytest.raises(StoreError, match="the disk is full"):
        run_sweep(specs, store, workers=1, worker=lambda: worker)
    assert worker.jobs == specs[:2]
    assert worker.closed
    assert run_sweep(specs, store, workers=1, worker=lambda: Scripted(store)).found == 1


def test_a_run_that_another_process_ends_is_counted(store: RunStore, make_specs: MakeSpecs) -> None:
    specs = sorted(make_specs(), key=typical_seconds, reverse=True)

    class Overtaken(Scripted):
        def end(self, spec: TrainSpec) -> RunEnd:
            if spec != specs[0]:
                return super().end(spec)
            record(store, specs[0])
            self.jobs.pop()
            return RunEnd("taken")

    worker = Overtaken(store)
    assert run_sweep(specs, store, workers=1, worker=lambda: worker).count("finished") == 4
    assert len(worker.jobs) == 3


def test_a_run_that_another_process_drops_is_taken_up(
    store: RunStore, make_specs: MakeSpecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_POLL_SECONDS", 0.01)
    specs = sorted(make_specs(), key=typical_seconds, reverse=True)
    worker = Scripted(store, {ident(specs[0]): [RunEnd("taken")] * 3})
    assert run_sweep(specs, store, workers=1, worker=lambda: worker).count("finished") == 4
    assert worker.jobs == [*specs[:1], *specs[1:], *[specs[0]] * 3], "the others come first"


def test_an_interrupt_closes_every_worker(store: RunStore, make_specs: MakeSpecs) -> None:
    class Long(Scripted):
        def __init__(self) -> None:
            super().__init__(store)
            self.leave = threading.Event()
            self.told = True

        def end(self, spec: TrainSpec) -> RunEnd:
            if len(crew) == 2 and self is crew[1]:
                raise KeyboardInterrupt
            self.told = self.leave.wait(60)
            return RunEnd("stopped")

        def stop(self) -> None:
            super().stop()
            self.leave.set()

    crew: list[Long] = []

    def make() -> Long:
        crew.append(Long())
        return crew[-1]

    with pytest.raises(KeyboardInterrupt):
        run_sweep(make_specs(), store, workers=2, worker=make)
    assert all(worker.told for worker in crew), "nobody was waited for in vain"
    assert [(worker.closed, len(worker.jobs)) for worker in crew] == [(True, 1), (True, 1)]


def test_an_error_of_the_watcher_ends_the_sweep(store: RunStore, make_specs: MakeSpecs, watch: Any) -> None:
    def broken(spec: TrainSpec, step: int) -> None:
        raise RuntimeError("watcher broke")

    worker = Scripted(store)
    with pytest.raises(RuntimeError, match="watcher broke"):
        run_sweep(make_specs(), store, workers=1, worker=lambda: worker, watcher=watch(broken))
    assert worker.closed
