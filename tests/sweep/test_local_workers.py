"""Real processes: a second call trains nothing, two launchers share the work, a death costs one attempt."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.data import load_corpus
from isoflop.errors import StoreError
from isoflop.runs import Recorder, RunStore, run_id
from isoflop.sweep.job import How, make_job
from isoflop.sweep.launcher import run_sweep
from isoflop.sweep.local import LocalWorker
from isoflop.train.spec import TrainSpec

MakeSpecs = Callable[..., list[TrainSpec]]
Launch = Callable[..., subprocess.Popen[str]]


def snapshot(store: RunStore, runs: set[str] | None = None) -> dict[Path, tuple[bytes, int]]:
    """Content and time of every file of these runs (default: of the store)."""
    folders = [store.path] if runs is None else [store.path / "runs" / run for run in runs]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def finished(store: RunStore) -> set[str]:
    return {record.id for record in store if record.status == "finished"}


def workers_on(store: RunStore) -> set[int]:
    """Living processes that hold or held a lease of the store."""
    signed = [file.read_text() for file in store.path.glob("runs/*/lease")]
    pids = {json.loads(line)["pid"] for line in signed if line}
    return {pid for pid in pids if is_worker(pid)}


def is_worker(pid: int) -> bool:
    try:
        return b"isoflop.sweep.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def test_a_second_call_trains_nothing_and_changes_no_byte(store: RunStore, make_specs: MakeSpecs, watch: Any) -> None:
    specs = make_specs()
    first = run_sweep(specs, store, workers=1)
    assert first.states == {run_id(spec.to_dict()): "finished" for spec in specs}
    before = snapshot(store)
    seen = watch()
    second = run_sweep(specs, store, workers=1, watcher=seen)
    assert (second.found, second.states, seen.begun) == (4, {}, [])
    assert snapshot(store) == before
    for record in store:
        assert record.result is not None
        assert 2.0 < record.result["loss"] < 6.0
        assert (record.attempt, record.result["tokens"]) == (1, record.spec["tokens"])
        assert store.points_of(record.id)["tokens"][-1] == record.spec["tokens"]


def test_one_sweep_reports_divergence_and_refusals_run_by_run(store: RunStore, make_specs: MakeSpecs) -> None:
    [good, *_] = make_specs()
    diverging = make_specs(train={"learning_rate": 1e30, "warmup_share": 0.0})[0]
    lost = TrainSpec.from_dict(good.to_dict() | {"corpus": "0" * 16})
    result = run_sweep([good, diverging, lost], store, workers=1)
    ids = [run_id(spec.to_dict()) for spec in (good, diverging, lost)]
    assert [result.states[run] for run in ids] == ["finished", "diverged", "failed"]
    assert f"no corpus {'0' * 16} in {store.cache}" in result.errors[ids[2]]
    assert store.fit_data().n_runs == 1
    assert set(store.fit_data().excluded) == {f"run {ids[1]}: diverged", f"run {ids[2]}: failed"}


def test_a_run_whose_worker_is_killed_is_made_again_at_once(store: RunStore, make_specs: MakeSpecs, watch: Any) -> None:
    long, short = make_specs(tokens=[3_200_000], train={"allow_repeats": True})[0], make_specs()[0]
    victims: list[int] = []

    def kill_once(spec: TrainSpec, step: int) -> None:
        if spec == long and not victims:
            victims.extend(workers_on(store))
            os.kill(victims[0], signal.SIGKILL)

    seen = watch(kill_once)
    result = run_sweep([long, short], store, workers=1, watcher=seen)
    ids = [run_id(spec.to_dict()) for spec in (long, short)]
    assert len(victims) == 1
    assert seen.retried == [(long, "its process ended by SIGKILL")]
    assert (result.states, result.errors) == (dict.fromkeys(ids, "finished"), {})
    record = store.get(ids[0])
    assert record is not None
    assert record.attempt == 2


def test_a_run_whose_process_dies_more_often_than_it_is_tried_again_is_left_interrupted(
    store: RunStore, make_specs: MakeSpecs, watch: Any
) -> None:
    [long] = make_specs(tokens=[3_200_000], shapes=[{"d_model": 4}], train={"allow_repeats": True})
    [run] = [run_id(long.to_dict())]
    killed: set[int] = set()

    def kill(spec: TrainSpec, step: int) -> None:
        for worker in workers_on(store) - killed:
            killed.add(worker)
            os.kill(worker, signal.SIGKILL)

    result = run_sweep([long], store, workers=1, watcher=watch(kill), retries={"lost": 1})
    assert len(killed) == 2
    assert (result.states, result.errors) == ({run: "failed"}, {run: "its process ended by SIGKILL"})
    record = store.get(run)
    assert record is not None
    assert (store.state(record), record.attempt) == ("interrupted", 2)


def test_closing_a_worker_amid_a_run_ends_its_process(store: RunStore, make_specs: MakeSpecs) -> None:
    specs = make_specs(tokens=[128_000], train={"seeds": [0, 1]})[:2]
    job = make_job(store, specs, 1, How())
    ends: list[tuple[int, str, str | None]] = []
    with LocalWorker() as worker:
        for _ in range(2):
            worker.run(job, lambda k, step: worker.close(), lambda k, end: ends.append((k, end.state, end.error)))
    assert ends[:2] == [(k, "failed", "its process ended by SIGKILL") for k in (0, 1)]
    assert ends[2:] == [(k, "stopped", None) for k in (0, 1)]
    assert workers_on(store) == set()


def test_each_run_of_a_stack_ends_in_its_own_way(store: RunStore, make_specs: MakeSpecs) -> None:
    good, other = make_specs(shapes=[{"d_model": [4]}], train={"seeds": [0, 1]}, tokens=[3200])
    diverging = replace(good, learning_rate=1e30, final_learning_rate=1e30, warmup_steps=0)
    lost = replace(good, corpus="0" * 16)
    held = replace(good, seed=7)
    specs = [good, lost, held, diverging, other]
    job = make_job(store, specs, 1, How())
    ends: dict[int, tuple[str, str | None, bool]] = {}
    with LocalWorker() as worker, Recorder(store, held.to_dict()) as recorder:
        worker.run(job, lambda k, step: None, lambda k, end: ends.update({k: (end.state, end.error, end.fatal)}))
        recorder.finish(loss=1.0)
    assert {k: state for k, (state, _, _) in ends.items()} == {
        0: "finished", 1: "failed", 2: "taken", 3: "diverged", 4: "finished",
    }  # fmt: skip
    assert f"no corpus {'0' * 16} in {store.cache}" in (ends[1][1] or "")
    assert not any(fatal for _, _, fatal in ends.values())
    assert store.summary() == {"finished": 3, "failed": 1, "diverged": 1}
    assert {record.attempt for record in store} == {1}


def test_a_stack_of_runs_records_what_each_records_alone(
    store: RunStore, make_specs: MakeSpecs, tmp_path: Path
) -> None:
    specs = make_specs(shapes=[{"d_model": [4]}], train={"seeds": [0, 1]})
    alone = RunStore(tmp_path / "alone")
    shutil.copytree(store.cache, alone.cache)
    with LocalWorker() as worker:
        for where, jobs in ((store, [specs]), (alone, [[spec] for spec in specs])):
            for stack in jobs:
                worker.run(make_job(where, stack, 1, How()), lambda k, step: None, lambda k, end: None)
    for one in store:
        other = alone.get(one.id)
        assert other is not None
        assert one.result == other.result
        for name, values in store.points_of(one.id).items():
            np.testing.assert_array_equal(values, alone.points_of(one.id)[name])


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "times"), [("torch", 1), ("native", 100)])
def test_kill_at_random_moments_loses_no_finished_run(
    store: RunStore, make_specs: MakeSpecs, launch: Launch, engine: str, times: int
) -> None:
    specs = make_specs(
        shapes=[{"d_model": [4, 8, 12]}],
        tokens=[6400 * times, 12800 * times, 25600 * times],
        train={"engine": engine, "allow_repeats": True},
    )
    kept: dict[Path, tuple[bytes, int]] = {}
    delays = [random.uniform(0.0, 0.8) for _ in range(3)]
    for delay in delays:
        runs_before = len(list(store))
        process = launch(specs, store)
        wait_until(lambda n=runs_before: bool(workers_on(store)) or len(list(store)) > n)  # type: ignore[misc]
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        wait_until(lambda: workers_on(store) == set())
        assert {file: snapshot(store)[file] for file in kept} == kept, f"delays {delays}"
        assert {store.state(record) for record in store} <= {"finished", "interrupted"}, f"delays {delays}"
        for record in store:
            store.points_of(record.id)
        kept = snapshot(store, finished(store))
    done = len(finished(store))
    last = launch(specs, store)
    answer, errors = last.communicate()
    assert last.returncode == 0, errors
    assert json.loads(answer)["found"] == done
    assert len(json.loads(answer)["states"]) == len(specs) - done
    assert finished(store) == {run_id(spec.to_dict()) for spec in specs}
    assert {file: snapshot(store)[file] for file in kept} == kept, f"delays {delays}"
    for file in store.path.glob("runs/*/points*.jsonl"):
        assert file.read_bytes()[-1:] in (b"", b"\n"), "whole lines alone"


@pytest.mark.slow
def test_two_launchers_on_a_new_store_make_every_run_once(
    tmp_path: Path, text: Path, make_specs: MakeSpecs, launch: Launch
) -> None:
    specs = make_specs(shapes=[{"d_model": [4, 8, 12]}], tokens=[3200, 6400, 12800])
    path = tmp_path / "shared"
    store = RunStore(path)
    load_corpus(str(text), store.cache)
    launchers = [launch(specs, store) for _ in range(2)]
    answers = [process.communicate() for process in launchers]
    assert [process.returncode for process in launchers] == [0, 0], answers
    assert finished(store) == {run_id(spec.to_dict()) for spec in specs}
    assert {record.attempt for record in store} == {1}
    assert list(path.glob("runs/*/points.[0-9]*.jsonl")) == []
    for answer, _ in answers:
        told = json.loads(answer)
        assert told["found"] + len(told["states"]) == len(specs)
        assert set(told["states"].values()) <= {"finished"}


def test_an_interrupt_from_the_keyboard_ends_launcher_and_workers_quietly(
    store: RunStore, make_specs: MakeSpecs, launch: Launch
) -> None:
    slow = make_specs(
        shapes=[{"d_model": [4, 8, 12, 16]}], tokens=[1_280_000], train={"engine": "torch", "allow_repeats": True}
    )
    process = launch(slow, store)  # one may just end
    wait_until(lambda: "running" in [store.state(record) for record in store])
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert workers_on(store) == set()
    assert errors.count("Traceback") == 1, errors
    states = {store.state(record) for record in store}
    assert "interrupted" in states
    assert states <= {"interrupted", "finished"}


def test_a_disk_that_fills_up_ends_the_sweep_in_words(
    small_disk: Path, text: Path, make_specs: MakeSpecs, watch: Any
) -> None:
    specs = make_specs()
    store = RunStore(small_disk / "store")
    load_corpus(str(text), store.cache)
    run_sweep(specs[:1], store, workers=1)
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free)
    kept = snapshot(store)
    with pytest.raises(StoreError, match=r"No space left on device\n.*the disk is full: free some space"):
        run_sweep(specs, store, workers=2)
    assert {file: snapshot(store)[file] for file in kept} == kept
    assert store.fit_data().n_runs == 1
    assert store.summary() == {"finished": 1}
    filler.unlink()
    assert run_sweep(specs, store, workers=1).count("finished") == 3
    assert store.summary() == {"finished": 4}
