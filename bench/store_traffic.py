"""A sweep of a thousand GPUs as its store sees it: recorders that are open at once, and a store of very many runs.

python bench/store_traffic.py
ISOFLOP_RECORDERS=1000 ISOFLOP_RUNS=10000 python bench/store_traffic.py --json

Recorders are real ones, all open at the same time in a few processes: each begins its run, logs points in rounds that
are flushed as time would flush them, and ends. The runs of the large store have no points. Beside each rate stands what
the sweep of docs/scale.md asks for.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from run_store import bare_runs, best

from isoflop.runs import Recorder, RunStore, run_id
from isoflop.runs.compaction import add
from isoflop.runs.rubbish import alone
from isoflop.sweep.watch import Watch

RECORDERS = int(float(os.environ.get("ISOFLOP_RECORDERS", "1e4")))
RUNS = int(float(os.environ.get("ISOFLOP_RUNS", "1e6")))
PROCESSES = 2
ROUNDS, POINTS_A_ROUND = 5, 20

GPUS, RUNS_A_GPU, RUN_SECONDS, POINTS_A_RUN, FLUSHES_A_RUN = 1000, 10, 600, 100, 100
"""The sweep: ten runs trained together on each GPU, ten minutes each, and no point waits for another to be flushed."""


def asked() -> dict[str, float]:
    """What the sweep asks of its store, a second: runs that begin and end, appends, and points."""
    ends = GPUS * RUNS_A_GPU / RUN_SECONDS
    return {"begun": ends, "ended": ends, "appends": ends * FLUSHES_A_RUN, "points": ends * POINTS_A_RUN}


def record(store: Path, seeds: range, barrier: Any, answer: Any) -> None:
    """Keep a recorder open for each of ``seeds``; seconds to begin all, to append their points, and to end them."""
    opened = RunStore(store)
    with ExitStack() as held:
        barrier.wait()
        began = time.perf_counter()
        recorders = [
            held.enter_context(Recorder(opened, {"seed": seed}, counts={"N": 1e6, "D": 1e8, "C": 6e14}))
            for seed in seeds
        ]
        barrier.wait()
        all_open = time.perf_counter()
        for turn in range(ROUNDS):
            for recorder in recorders:
                for point in range(turn * POINTS_A_ROUND, (turn + 1) * POINTS_A_ROUND):
                    recorder.log(point + 1, tokens=1e6 * (point + 1), loss=3.0 + 1 / (point + 1), lr=1e-3)
                recorder.flush()
        barrier.wait()
        all_logged = time.perf_counter()
        for recorder in recorders:
            recorder.finish(loss=3.0, tokens=1e8)
    answer.put((all_open - began, all_logged - all_open, time.perf_counter() - all_logged))


def traffic(store: Path) -> dict[str, float]:
    """Rates a second over all processes."""
    context = multiprocessing.get_context("forkserver")
    barrier, answer = context.Barrier(PROCESSES), context.Queue()
    RunStore(store)
    share = RECORDERS // PROCESSES
    shares = [range(index * share, (index + 1) * share) for index in range(PROCESSES)]
    crew = [context.Process(target=record, args=(store, each, barrier, answer)) for each in shares]
    for process in crew:
        process.start()
    seconds = [max(column) for column in zip(*(answer.get() for _ in crew), strict=True)]
    for process in crew:
        process.join()
    made = share * PROCESSES
    return {
        "begun": made / seconds[0],
        "appends": made * ROUNDS / seconds[1],
        "points": made * ROUNDS * POINTS_A_ROUND / seconds[1],
        "ended": made / seconds[2],
    }


def measure(folder: Path) -> list[dict[str, Any]]:
    """What was found; ``asked`` is what the sweep needs a second, None for what it waits for."""
    found: list[dict[str, Any]] = []

    def note(what: str, value: float, unit: str, wanted: float | None = None) -> None:
        found.append({"what": what, "value": value, "unit": unit, "asked": wanted})

    live, large = folder / "live", folder / "large"
    needs, rates = asked(), traffic(live)
    for name, unit in (("begun", "runs/s"), ("appends", "appends/s"), ("points", "points/s"), ("ended", "runs/s")):
        note(f"{name}, {RECORDERS:.0e} recorders open", rates[name], unit, needs[name])
    store = RunStore(live)
    lengths = [len(store.points_of(run)["step"]) for run in store.ids()[:: max(1, RECORDERS // 100)]]
    assert set(lengths) == {ROUNDS * POINTS_A_ROUND}, "every point of every recorder is there"
    assert store.summary() == {"finished": RECORDERS // PROCESSES * PROCESSES}
    size = sum(file.stat().st_size for file in live.glob("runs/*/*"))
    note("files of a run", size / RECORDERS / 1e3, "kB")
    began = time.perf_counter()
    store.compact()
    note(f"compact {RECORDERS:.0e} runs", time.perf_counter() - began, "s")
    compacted = sum(file.stat().st_size for file in live.glob("compacted/*"))
    note("of a run, compacted", compacted / RECORDERS / 1e3, "kB")

    many = RunStore(large)
    with alone(many):
        add(many, bare_runs(RUNS))
    note(f"open {RUNS:.0e} runs and find one", best(lambda: RunStore(large).has_ended("0" * 16)), "s")
    few = [run_id({"seed": seed}) for seed in range(1000)]
    began = time.perf_counter()
    assert not any(map(many.has_ended, few))
    note(f"what is left of a run, of {RUNS:.0e}", (time.perf_counter() - began) / len(few) * 1e6, "us")
    watch = Watch(many)
    began = time.perf_counter()
    watch.look()
    note(f"the first look at {RUNS:.0e} runs", time.perf_counter() - began, "s")
    began = time.perf_counter()
    watch.look()
    note("another", time.perf_counter() - began, "s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for row in found:
        wanted = "" if row["asked"] is None else f"  asked {row['asked']:.3g}"
        print(f"{row['what']:45} {row['value']:>12,.4g} {row['unit']:10}{wanted}")


if __name__ == "__main__":
    main()
