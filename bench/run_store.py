"""The run store at size: appending, compacting, loading, finding; beside what trackers take to read their points back.

python bench/run_store.py
python bench/run_store.py --points 1e6 --runs 1e4 --json

Runs of 10,000 points of step and loss are written by two processes, compacted in a process of their own, whose memory
is measured, and loaded as flat arrays; a table of runs without points is listed, filtered and searched. Trackers that
are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from isoflop.runs import Recorder, RunStore, run_id
from isoflop.runs.compaction import add
from isoflop.runs.part import HeldRun
from isoflop.runs.record import RunRecord
from isoflop.runs.rubbish import alone

POINTS_A_RUN = 10_000
READ_BACK = 100_000


def append(store: Path, seeds: list[int], sync: bool) -> None:
    """Record runs, synced at each flush or when they end."""
    opened = RunStore(store)
    losses = (2.0 + np.random.default_rng(seeds[0]).random(POINTS_A_RUN)).tolist()
    for seed in seeds:
        with Recorder(opened, {"seed": seed, "sync": sync}, counts={"N": 1e6}) as recorder:
            for step, loss in enumerate(losses, 1):
                recorder.log(step, loss=loss)
                if sync and step % 100 == 0:
                    recorder.sync()
            recorder.finish(loss=loss)


def appended(store: Path, n_runs: int, sync: bool = False) -> float:
    """Seconds that two processes take for runs between them."""
    context = multiprocessing.get_context("forkserver")
    writers = [context.Process(target=append, args=(store, list(range(half, n_runs, 2)), sync)) for half in range(2)]
    RunStore(store)
    began = time.perf_counter()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    return time.perf_counter() - began


def compact(store: Path, answer: Any) -> None:
    began = time.perf_counter()
    RunStore(store).compact()
    answer.put((time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))


def compacted(store: Path) -> tuple[float, float]:
    """Seconds and GiB of a process that does nothing else."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=compact, args=(store, answer))
    process.start()
    found: tuple[float, float] = answer.get()
    process.join()
    return found


def bare_runs(n_runs: int) -> Iterator[HeldRun]:
    """Finished runs without points, in the order of their ids, as large as those of a study."""
    fields = {f"field_{number}": number / 7 for number in range(30)}
    specs = [{"seed": seed, "shape": {"d_model": 64 * (seed % 16 + 1)}, **fields} for seed in range(n_runs)]
    for run, spec in sorted((run_id(spec), spec) for spec in specs):
        record = RunRecord(
            id=run,
            status="finished",
            attempt=1,
            started="2026-01-01T00:00:00+00:00",
            spec=spec,
            counts={"N": 1e3 * (spec["seed"] + 1), "D": 1e6, "C": 6e9 * (spec["seed"] + 1)},
            result={"loss": 3.0, "tokens": 1e6},
        )
        yield HeldRun.of(record, {}, {})


def best(measured: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of some calls."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        measured()
        taken.append(time.perf_counter() - began)
    return min(taken)


def read_back(folder: Path) -> dict[str, float]:
    """Seconds that each tracker takes to give back 1e5 points of one loss, written by its own library."""
    losses = (2.0 + np.random.default_rng(0).random(READ_BACK)).tolist()
    store = RunStore(folder / "ours")
    with Recorder(store, {"seed": 0}) as recorder:
        for step, loss in enumerate(losses, 1):
            recorder.log(step, loss=loss)
        recorder.finish(loss=loss)
    found = {"isoflop, as written": best(lambda: store.points_of(recorder.id))}
    store.compact()
    found["isoflop, compacted"] = best(lambda: RunStore(store.path).points_of(recorder.id))
    for name, module, measure in TRACKERS:
        if find_spec(module) is not None:
            found[name] = measure(folder / module, losses)
    return found


def tensorboard(folder: Path, losses: list[float]) -> float:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step, loss in enumerate(losses, 1):
        writer.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag="loss", simple_value=loss)])))
    writer.close()
    [file] = folder.iterdir()
    return best(lambda: [event.step for event in EventFileLoader(str(file)).Load()], 1)


def mlflow(folder: Path, losses: list[float]) -> float:
    """Of its store in files, which its small package has too."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    folder.mkdir()
    client = MlflowClient(str(folder))
    run = client.create_run(client.create_experiment("bench")).info.run_id
    for begin in range(0, len(losses), 1000):
        metrics = [Metric("loss", loss, 0, begin + i) for i, loss in enumerate(losses[begin : begin + 1000])]
        client.log_batch(run, metrics)
    return best(lambda: client.get_metric_history(run, "loss"), 1)


def wandb(folder: Path, losses: list[float]) -> float:
    """Of its offline file, by its own messages; W&B itself reads one only to send it to a server."""
    from isoflop.importers.wandb_file import read

    folder.mkdir()
    subprocess.run([sys.executable, "-c", _LOG_TO_WANDB, str(folder)], input=json.dumps(losses).encode(), check=True)
    [file] = folder.glob("wandb/offline-run-*/*.wandb")
    taken = best(lambda: next(read(str(file))), 1)
    assert len(next(read(str(file))).table["loss"]) == len(losses), "every point is in the file"
    return taken


_LOG_TO_WANDB = """
import json, sys, wandb
settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, x_disable_machine_info=True)
run = wandb.init(project="bench", mode="offline", dir=sys.argv[1], settings=settings)
for step, loss in enumerate(json.load(sys.stdin), 1):
    run.log({"loss": loss}, step=step)
run.finish()
"""
TRACKERS = (
    ("TensorBoard", "tensorboard", tensorboard),
    ("MLflow, its file store", "mlflow", mlflow),
    ("W&B, its offline file", "wandb", wandb),
)


def log_seconds(store: Path) -> float:
    """Seconds of a call of log, its share of the writing included; the best of five runs."""
    opened = RunStore(store)
    taken = []
    for seed in range(5):
        with Recorder(opened, {"seed": seed}) as recorder:
            began = time.perf_counter()
            for step in range(POINTS_A_RUN):
                recorder.log(step, tokens=step * 64, loss=2.5, lr=1e-3)
            taken.append((time.perf_counter() - began) / POINTS_A_RUN)
            recorder.finish(loss=2.5)
    return min(taken)


def measure(folder: Path, n_points: int, n_runs: int) -> list[dict[str, Any]]:
    """What was found, each beside its target; a target of None is there to compare."""
    found: list[dict[str, Any]] = []

    def note(what: str, value: float, unit: str, target: float | None = None) -> None:
        found.append({"what": what, "value": value, "unit": unit, "target": target})

    curves, synced, runs = folder / "curves", folder / "synced", folder / "runs"
    count = n_points // POINTS_A_RUN
    called = log_seconds(folder / "logged")
    note("a call of Recorder.log", called * 1e6, "us", 5)
    note("recording each step of 1 ms", called / 1e-3 * 100, "%", 0.5)
    note("append, 2 processes", n_points / appended(curves, count), "points/s", 1e6)
    few = max(2, count // 10)
    note("append, 2 processes, a sync a flush", few * POINTS_A_RUN / appended(synced, few, sync=True), "points/s", 2e5)
    seconds, gib = compacted(curves)
    note(f"compact {n_points:.0e} points", seconds, "s", 15)
    note("memory of compacting", gib, "GiB", 1)
    parts = RunStore(curves).compacted.parts()
    note("points on disk", sum(part.files.points.bytes for part in parts) / n_points, "bytes each", 4)
    note(f"load {n_points:.0e} points", best(lambda: RunStore(curves).points(["step", "loss"])), "s", 0.6)

    store = RunStore(runs)
    with alone(store):
        add(store, bare_runs(n_runs))
    listed = best(lambda: RunStore(runs).table("d_model >= 512 and seed < 1000"))
    note(f"list and filter {n_runs:.0e} runs", listed, "s", 0.3)
    one = run_id(next(iter(store)).spec)
    note(f"one run of {n_runs:.0e} by id", best(lambda: RunStore(runs).get(one)), "s", 0.1)
    for name, seconds in read_back(folder).items():
        note(f"read back 1e5 points, {name}", seconds, "s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=float, default=1e7)
    parser.add_argument("--runs", type=float, default=1e5, help="of the table that is listed; 1e6 takes some minutes")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), int(given.points), int(given.runs))
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for row in found:
        target = "" if row["target"] is None else f"   target {row['target']:g}"
        print(f"{row['what']:40} {row['value']:12.4g} {row['unit']:10}{target}")


if __name__ == "__main__":
    main()
