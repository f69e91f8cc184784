"""Make runs one after the other, each by all processes that torchrun has started; the first of them records.

torchrun --nproc-per-node 2 -m isoflop sweep study.toml --spread ddp
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import msgspec
import torch

from isoflop.data import open_corpus
from isoflop.errors import RunTaken
from isoflop.runs import Recorder, RunStore, run_id
from isoflop.sweep.launcher import SweepResult
from isoflop.train import Checkpoints, train_stack
from isoflop.train.spec import TrainSpec
from isoflop.train.spread import SpreadStep, is_first, refuse_unspreadable, said_by_the_first


def run_spread(specs: Sequence[TrainSpec], store: RunStore, spread: str, *, checkpoint_every: int = 0) -> SweepResult:
    """Make every run of ``specs`` that ``store`` does not hold finished or diverged; each process calls this alike.

    Args:
        specs: resolved runs; their corpora must be in the store's cache.
        store: where they are recorded.
        spread: of :data:`isoflop.train.spread.SPREADS`.
        checkpoint_every: steps after which a run writes where it stands, to go on from after an interruption; 0 never.

    Raises:
        SpecError: a run that cannot be spread so, before any is trained.
        StoreError: the store cannot be written.
    """
    for spec in specs:
        refuse_unspreadable(spec, spread)
    result = SweepResult()
    for spec in specs:
        run = run_id(spec.to_dict())
        if said_by_the_first(store.has_ended(run)):
            result.found += 1
        elif (state := said_by_the_first(_make(spec, store, spread, checkpoint_every))) is not None:
            result.states[run] = state
    return result


def _make(spec: TrainSpec, store: RunStore, spread: str, checkpoint_every: int) -> str | None:
    """How the run ended; ``taken`` where another launcher has it, None on all processes but the first."""
    with ExitStack() as held:
        recorder = _open(spec, store, held) if is_first() else None
        if said_by_the_first(recorder is None):
            return "taken"
        corpus = open_corpus(store.cache, spec.corpus)
        step = SpreadStep(spec, spread)
        if recorder is not None:
            recorder.describe(corpus=msgspec.json.encode(corpus.described()).decode(), engine=step.ran)
        files = Checkpoints(store.folder(run_id(spec.to_dict())), checkpoint_every, writes=is_first())
        transfer = [open_corpus(store.cache, each) for each in spec.transfer]
        train_stack([spec], [corpus], [recorder], step=step, transfer=[transfer], checkpoints=[files])
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
