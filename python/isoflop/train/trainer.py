"""Train one model from a spec."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import torch

from isoflop.data import Corpus
from isoflop.runs import Recorder
from isoflop.train.course import Outcome
from isoflop.train.loop import train_stack
from isoflop.train.spec import TrainSpec
from isoflop.train.step import make_step

Progress = Callable[[int], None]


def train(
    spec: TrainSpec,
    corpus: Corpus,
    recorder: Recorder | None = None,
    progress: Progress | None = None,
    *,
    transfer: Sequence[Corpus] = (),
) -> Outcome:
    """Train the model of ``spec`` on ``corpus``; log points to ``recorder`` and finish it; call ``progress(step)``.

    ``transfer`` are the corpora that the spec's ``transfer`` names. Several models of one shape train faster together:
    :func:`isoflop.train.train_stack`.

    Raises:
        CorpusError: the corpus lacks the tokens, the held-out tokens or the vocabulary that the spec asks for.
        NotEnoughMemory: the run is predicted to take more memory than there is.
    """
    tell = None if progress is None else lambda index, step: progress(step)
    [outcome] = train_stack([spec], [corpus], [recorder], transfer=[transfer], progress=tell)
    return outcome


def steps_on_noise(spec: TrainSpec) -> Iterator[float]:
    """Seconds of one optimizer step after another of the model of ``spec``, on noise and one thread, without end."""
    torch.set_num_threads(1)
    step = make_step([spec])
    step.hyper["lr"].zero_()
    generator = torch.Generator().manual_seed(spec.seed)
    windows = torch.randint(spec.shape.n_vocab, (1, step.batch, spec.shape.n_ctx + 1), generator=generator)
    tokens, targets = windows[..., :-1].contiguous(), windows[..., 1:].contiguous()
    while True:
        began = time.perf_counter()
        step.step(tokens, targets)
        yield time.perf_counter() - began
