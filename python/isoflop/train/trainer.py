"""Train one model from a spec: the plain loop that faster engines are compared with.

Deterministic: equal specs on one machine with one thread count give equal losses, bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoflop.data import Corpus, nested_subset, windows
from isoflop.errors import CorpusError
from isoflop.runs import Recorder
from isoflop.train.evaluate import HeldOutLoss, evaluate
from isoflop.train.learner import Learner
from isoflop.train.spec import TrainSpec

# Points of the training loss a run, whatever its length; each is the mean since the one before.
_POINTS = 100
# Every run of a corpus is judged on the same held-out tokens.
_EVAL_SEED = 0

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Outcome:
    """The held-out loss a training ended with, its best one under early stopping, and the step and tokens it took.

    ``held_out.mean`` is NaN where the training diverged; ``seconds`` are those of the whole training.
    """

    held_out: HeldOutLoss
    step: int
    tokens: int
    seconds: float


def train(
    spec: TrainSpec, corpus: Corpus, recorder: Recorder | None = None, progress: Progress | None = None
) -> Outcome:
    """Train the model of ``spec`` on ``corpus``; log points to ``recorder`` and finish it; call ``progress(step)``.

    Raises:
        CorpusError: the corpus lacks the tokens, the held-out tokens or the vocabulary that the spec asks for.
    """
    _check(spec, corpus)
    began = time.monotonic()
    learner, rates = Learner(spec), spec.rates()
    held_out = _held_out_windows(spec, corpus)
    evaluate_at = {math.ceil(spec.n_steps * (k + 1) / spec.evaluations) for k in range(spec.evaluations)}
    log_at = _log_steps(spec.n_steps) | evaluate_at

    best: tuple[int, HeldOutLoss] | None = None
    since_best, loss_sum, loss_count = 0, 0.0, 0
    step = 0
    for step, batch in enumerate(_batches(spec, corpus), start=1):
        rate = float(rates[step - 1])
        loss_sum += learner.update(batch[:, :-1], batch[:, 1:], rate)
        loss_count += 1
        if progress is not None:
            progress(step)
        if step not in log_at and math.isfinite(loss_sum):
            continue
        point = {"tokens": step * spec.batch_tokens, "loss": loss_sum / loss_count, "lr": rate}
        loss_sum, loss_count = 0.0, 0
        if not math.isfinite(point["loss"]):
            best = (step, HeldOutLoss(math.nan, math.nan, 0))
            _log(recorder, step, point)
            break
        if step in evaluate_at:
            with learner.judged():
                measured = evaluate(learner.model, held_out)
            point |= {"val_loss": measured.mean, "val_loss_se": measured.standard_error}
            since_best += 1
            if best is None or measured.mean < best[1].mean or not spec.patience:
                best, since_best = (step, measured), 0
        _log(recorder, step, point)
        if spec.patience and since_best >= spec.patience:
            break

    assert best is not None, "the last step is always evaluated"
    outcome = Outcome(best[1], best[0], best[0] * spec.batch_tokens, time.monotonic() - began)
    if recorder is not None:
        recorder.finish(
            loss=outcome.held_out.mean,
            loss_se=outcome.held_out.standard_error,
            eval_tokens=outcome.held_out.n_tokens,
            step=outcome.step,
            tokens=outcome.tokens,
        )
    return outcome


def steps_on_noise(spec: TrainSpec) -> Iterator[float]:
    """Seconds of one optimizer step after another of the model of ``spec``, on noise and one thread, without end."""
    torch.set_num_threads(1)
    learner, generator = Learner(spec), torch.Generator().manual_seed(spec.seed)
    batch = torch.randint(spec.shape.n_vocab, (spec.batch_windows, spec.shape.n_ctx + 1), generator=generator)
    while True:
        began = time.perf_counter()
        learner.update(batch[:, :-1], batch[:, 1:], 0.0)
        yield time.perf_counter() - began


def _check(spec: TrainSpec, corpus: Corpus) -> None:
    if spec.corpus != corpus.fingerprint:
        raise CorpusError(
            f"the spec was resolved for corpus {spec.corpus}, not for {corpus.source!r} = {corpus.fingerprint}"
        )
    if corpus.n_vocab > spec.shape.n_vocab:
        raise CorpusError(
            f"n_vocab = {spec.shape.n_vocab} is less than the {corpus.n_vocab} tokens of {corpus.source!r}"
        )


def _batches(spec: TrainSpec, corpus: Corpus) -> Iterator[Tensor]:
    """``n_steps`` batches (batch_windows, n_ctx + 1) int64 over the subset, every epoch in a new seeded order."""
    subset = windows(nested_subset(corpus.train, spec.unique_tokens + 1, seed=spec.data_seed), spec.shape.n_ctx)
    random = np.random.default_rng(spec.seed)
    order: NDArray[np.int64] = np.empty(0, np.int64)
    for _ in range(spec.n_steps):
        while len(order) < spec.batch_windows:
            order = np.concatenate([order, random.permutation(len(subset))])
        picked, order = order[: spec.batch_windows], order[spec.batch_windows :]
        yield torch.from_numpy(subset[picked].astype(np.int64))


def _held_out_windows(spec: TrainSpec, corpus: Corpus) -> Tensor:
    available = (len(corpus.held_out.tokens) - 1) // spec.shape.n_ctx * spec.shape.n_ctx
    wanted = min(spec.eval_tokens, max(available, spec.shape.n_ctx))
    tokens = nested_subset(corpus.held_out, wanted + 1, seed=_EVAL_SEED)
    return torch.from_numpy(windows(tokens, spec.shape.n_ctx).astype(np.int64))


def _log_steps(n_steps: int) -> set[int]:
    """At most ``_POINTS`` steps, evenly spaced in the logarithm, the first and the last among them."""
    return {int(step) for step in np.geomspace(1, n_steps, _POINTS).round()}


def _log(recorder: Recorder | None, step: int, point: dict[str, float]) -> None:
    if recorder is not None:
        recorder.log(step, **point)
