"""Make runs one after the other, each by all processes that torchrun has started; the first of them records.

torchrun --nproc-per-node 2 -m isoflop sweep study.toml --spread ddp
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch

from isoflop.data import open_corpus
from isoflop.errors import RunTaken
from isoflop.runs import Recorder, RunStore, run_id
from isoflop.sweep.job import How, OnStep, made_with
from isoflop.sweep.launcher import SweepResult
from isoflop.sweep.torchrun import STOP
from isoflop.train import Checkpoints, train_stack
from isoflop.train.interrupted import Interrupted
from isoflop.train.loop import Progress, Stop
from isoflop.train.spec import TrainSpec
from isoflop.train.spread import SpreadStep, is_first, process_group, refuse_unspreadable, said_by_the_first

_AGREE_STEPS = 10
"""Between two moments in which the processes agree whether to stop."""


def run_spread(
    specs: Sequence[TrainSpec],
    store: RunStore,
    spread: str,
    *,
    how: How | None = None,
    on_step: OnStep | None = None,
    on_end: Callable[[int, str], None] | None = None,
    asked_to_stop: Callable[[], bool] | None = None,
) -> SweepResult:
    """Make every run of ``specs`` that ``store`` does not hold finished or diverged; each process calls this alike.

    Args:
        specs: resolved runs; their corpora must be in the store's cache.
        store: where they are recorded.
        spread: of :data:`isoflop.train.spread.SPREADS`.
        how: what holds for every run; none is extended.
        on_step, on_end: are told of the steps of a run, and of the state in which it ended.
        asked_to_stop: asked on the first process now and then: runs then write where they stand, and end ``stopped``.

    Raises:
        SpecError: a run that cannot be spread so, before any is trained.
        StoreError: the store cannot be written.
    """
    for spec in specs:
        refuse_unspreadable(spec, spread)
    result = SweepResult()
    for index, spec in enumerate(specs):
        run = run_id(spec.to_dict())
        if said_by_the_first(store.has_ended(run)):
            result.found += 1
            continue
        stop = None if asked_to_stop is None else _Agreed(asked_to_stop)
        tell = None if on_step is None else partial(_told, on_step, index)
        state = said_by_the_first(_make(spec, store, spread, how or How(), tell, stop))
        if state is not None:
            result.states[run] = state
            if on_end is not None:
                on_end(index, state)
    return result


def _told(on_step: OnStep, index: int, model: int, step: int) -> None:
    on_step(index, step)


class _Agreed:
    """What the first process is asked, answered alike on every process: every so many steps, as telling takes time."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked, self._steps = asked, 0

    def __call__(self) -> bool:
        self._steps += 1
        return self._steps % _AGREE_STEPS == 0 and said_by_the_first(is_first() and self._asked())


def _make(
    spec: TrainSpec, store: RunStore, spread: str, how: How, tell: Progress | None, stop: Stop | None
) -> str | None:
    """How the run ended; ``taken`` where another launcher has it, None on all processes but the first."""
    with ExitStack() as held:
        recorder = _open(spec, store, held) if is_first() else None
        if said_by_the_first(recorder is None):
            return "taken"
        corpus = open_corpus(store.cache, spec.corpus)
        step = SpreadStep(spec, spread)
        transfer = [open_corpus(store.cache, each) for each in spec.transfer]
        if recorder is not None:
            recorder.describe(**made_with(corpus, transfer, step.ran))
        files = Checkpoints(store.run(run_id(spec.to_dict())), how.checkpoint_every, writes=is_first())
        try:
            train_stack(
                [spec],
                [corpus],
                [recorder],
                step=step,
                transfer=[transfer],
                checkpoints=[files],
                progress=tell,
                stop=stop,
            )
        except Interrupted as interruption:
            held.pop_all().__exit__(Interrupted, interruption, None)
            return "stopped"
    if recorder is None:
        return None
    files.clear()
    return recorder.record.status


def _open(spec: TrainSpec, store: RunStore, held: ExitStack) -> Recorder | None:
    """The recorder of the run, entered and ``held``; None where another process writes it."""
    environment = {"torch": str(torch.__version__), "threads": str(torch.get_num_threads())}
    recorder = Recorder(store, spec.to_dict(), counts=spec.counts(), environment=environment, strict=True, rank=0)
    try:
        return held.enter_context(recorder)
    except RunTaken:
        return None


def main(file: Path, spread: str) -> None:
    """Make the runs of the job in ``file``; the first process says on standard output how they go."""
    job = msgspec.json.decode(file.read_bytes())
    specs = [TrainSpec.from_dict(values) for values in job["specs"]]
    how, at = How(**job["how"]), 0
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    began = time.monotonic()

    def tell(**event: Any) -> None:
        if is_first():
            events.write(msgspec.json.encode(event) + b"\n")

    def is_over() -> bool:
        late = how.run_seconds is not None and time.monotonic() - began > how.run_seconds
        return late or (file.parent / STOP).exists()

    def on_step(index: int, step: int) -> None:
        nonlocal at
        at = index
        if step % _AGREE_STEPS == 0:
            tell(event="step", run=index, step=step)

    def on_end(index: int, state: str, error: str | None = None) -> None:
        tell(event="end", run=index, state=state, error=error, cause="error", fatal=False)

    with process_group():
        store = RunStore(job["store"], create=False)
        try:
            run_spread(specs, store, spread, how=how, on_step=on_step, on_end=on_end, asked_to_stop=is_over)
        except Exception as error:
            on_end(at, "failed", str(error))
            raise


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
