"""Training learns real text, repeats itself exactly, sees what its spec says it sees, and says when it diverges."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isoflop.data import Corpus, Stream, load_corpus, nested_subset, windows
from isoflop.errors import CorpusError
from isoflop.runs import Recorder, RunStore, run_id
from isoflop.train.course import Outcome
from isoflop.train.evaluate import evaluate
from isoflop.train.model import Transformer
from isoflop.train.plain import PlainStep
from isoflop.train.spec import TrainSpec
from isoflop.train.trainer import train
from isoflop.train.windows import WindowOrder

MakeSpec = Callable[..., TrainSpec]
Columns = dict[str, np.ndarray]


def recorded(spec: TrainSpec, corpus: Corpus, folder: Path) -> tuple[Outcome, Columns]:
    store = RunStore(folder)
    with Recorder(store, spec.to_dict(), counts=spec.counts()) as recorder:
        outcome = train(spec, corpus, recorder)
    return outcome, store.points_of(recorder.id)


def unigram_entropy(stream: Stream) -> float:
    share = np.bincount(stream.tokens) / len(stream.tokens)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def test_equal_specs_give_equal_losses_bit_for_bit(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    first, second = (recorded(make_spec(), corpus, tmp_path / name) for name in ("a", "b"))
    assert first[0].held_out == second[0].held_out
    for name in ("step", "loss", "val_loss", "lr"):
        np.testing.assert_array_equal(first[1][name], second[1][name])


@pytest.mark.parametrize("field", ["seed", "data_seed"])
def test_other_seeds_give_other_losses(make_spec: MakeSpec, corpus: Corpus, field: str) -> None:
    assert train(make_spec(), corpus).held_out.mean != train(make_spec(**{field: 1}), corpus).held_out.mean


def test_the_loss_falls_below_the_unigram_entropy_of_real_text(make_spec: MakeSpec, corpus: Corpus) -> None:
    spec = make_spec(tokens=500 * 256, batch_tokens=256, learning_rate=2e-2, evaluations=1)
    held_out = train(spec, corpus).held_out
    assert held_out.mean < unigram_entropy(corpus.held_out) - 0.3 < math.log(256)
    assert 0 < held_out.standard_error < 0.1
    assert held_out.n_tokens == spec.eval_tokens


def test_a_repeated_pattern_is_learnt_to_the_end(make_spec: MakeSpec, tmp_path: Path) -> None:
    (tmp_path / "pattern.txt").write_text("scaling " * 4000)
    corpus = load_corpus(str(tmp_path / "pattern.txt"))
    spec = make_spec(corpus=corpus.fingerprint, tokens=150 * 128, learning_rate=3e-2, evaluations=1, eval_tokens=1024)
    assert train(spec, corpus).held_out.mean < 0.05


def test_points_hold_steps_tokens_rate_and_held_out_loss(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    spec = make_spec(evaluations=4)
    outcome, points = recorded(spec, corpus, tmp_path)
    measured = np.isfinite(points["val_loss"])
    assert points["step"][measured].tolist() == [10, 20, 30, 40]
    assert (points["step"][0], points["step"][-1]) == (1, 40)
    np.testing.assert_array_equal(points["tokens"], points["step"] * 128)
    assert points["lr"].max() == pytest.approx(spec.learning_rate)
    assert points["lr"][-1] == pytest.approx(spec.final_learning_rate)
    assert points["val_loss"][-1] == outcome.held_out.mean
    record = RunStore(tmp_path).get(run_id(spec.to_dict()))
    assert record is not None
    assert record.result == {
        "loss": outcome.held_out.mean,
        "loss_se": outcome.held_out.standard_error,
        "eval_tokens": 2048,
        "step": 40,
        "tokens": spec.tokens,
        "trained_tokens": spec.tokens,
    }


def test_logged_losses_are_means_since_the_point_before(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    spec = make_spec(tokens=300 * 128, learning_rate=1e-12, final_learning_rate=0.0, weight_decay=0.0, evaluations=1)
    _, points = recorded(spec, corpus, tmp_path)
    weights = np.diff(points["step"], prepend=0)
    model = Transformer(spec.shape, torch.Generator().manual_seed(spec.seed))
    seen = windows(nested_subset(corpus.train, spec.unique_tokens + 1, seed=0), 16).astype(np.int64)
    whole = evaluate(model, torch.from_numpy(seen)).mean
    assert float((points["loss"] * weights).sum() / weights.sum()) == pytest.approx(whole, abs=1e-5)


def test_every_window_is_seen_once_an_epoch(make_spec: MakeSpec, corpus: Corpus) -> None:
    n_windows, batch_windows, epochs = 10, 4, 6
    spec = make_spec(tokens=epochs * n_windows * 16, unique_tokens=n_windows * 16, batch_tokens=batch_windows * 16)
    order = WindowOrder(spec, corpus)
    seen = np.concatenate([order.take(spec.batch_windows) for _ in range(spec.n_steps)])
    subset = windows(nested_subset(corpus.train, n_windows * 16 + 1, seed=0), 16)
    expected = sorted(map(tuple, subset.tolist()))
    orders = seen.reshape(epochs, n_windows, 17).tolist()
    for epoch in orders:
        assert sorted(map(tuple, epoch)) == expected
    assert orders[0] != orders[1], "every epoch has its own order"


def test_a_longer_run_sees_what_a_shorter_one_saw(make_spec: MakeSpec, corpus: Corpus) -> None:
    short, long = (
        set(map(tuple, WindowOrder(make_spec(tokens=tokens), corpus).take(tokens // 16).tolist()))
        for tokens in (1280, 5120)
    )
    assert len(short) == 80
    assert short < long


def test_early_stopping_ends_soon_and_reports_the_best(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    spec = make_spec(
        tokens=600 * 128, unique_tokens=512, learning_rate=3e-2, evaluations=30, patience=3, eval_tokens=1024
    )
    outcome, points = recorded(spec, corpus, tmp_path)
    losses = points["val_loss"][np.isfinite(points["val_loss"])]
    assert len(losses) < 30
    assert outcome.tokens < spec.tokens
    assert outcome.held_out.mean == losses.min() < losses[-1]
    assert len(losses) - 1 - losses.argmin() == spec.patience
    assert outcome.step < points["step"][-1]


def test_without_patience_the_last_evaluation_counts(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    spec = make_spec(tokens=300 * 128, unique_tokens=256, learning_rate=3e-2, evaluations=10, eval_tokens=1024)
    outcome, points = recorded(spec, corpus, tmp_path)
    assert outcome.step == spec.n_steps
    assert outcome.held_out.mean == points["val_loss"][-1] > np.nanmin(points["val_loss"])


def test_a_loss_that_is_not_finite_makes_a_diverged_run(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    spec = make_spec(learning_rate=1e30, final_learning_rate=1e30, warmup_steps=0)
    outcome, points = recorded(spec, corpus, tmp_path)
    assert math.isnan(outcome.held_out.mean)
    assert outcome.tokens < spec.tokens
    assert math.isnan(points["loss"][-1])
    record = RunStore(tmp_path).get(run_id(spec.to_dict()))
    assert record is not None
    assert (record.status, record.result) == ("diverged", None)
    assert record.error == f"the loss was not finite at step {points['step'][-1]:.0f}"


def test_a_held_out_loss_that_is_not_finite_diverges_too(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainStep, "evaluate", lambda step, tokens, targets: torch.full(tokens.shape, torch.nan))
    spec = make_spec()
    recorded(spec, corpus, tmp_path)
    record = RunStore(tmp_path).get(run_id(spec.to_dict()))
    assert record is not None
    assert (record.status, record.error) == ("diverged", "the loss was not finite at step 40")


def test_one_held_out_window_has_no_standard_error_and_a_readable_record(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path
) -> None:
    spec = make_spec(eval_tokens=16)
    outcome, _ = recorded(spec, corpus, tmp_path)
    assert math.isnan(outcome.held_out.standard_error)
    [record] = RunStore(tmp_path)
    assert record.status == "finished"
    assert "loss_se" not in (record.result or {})


def test_another_corpus_is_refused(make_spec: MakeSpec, corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match=rf"resolved for corpus abc, not for .* = {corpus.fingerprint}"):
        train(make_spec(corpus="abc"), corpus)


def test_a_vocabulary_too_small_for_the_corpus_is_refused(make_spec: MakeSpec, corpus: Corpus) -> None:
    spec = make_spec()
    with pytest.raises(CorpusError, match="n_vocab = 100 is less than the 256 tokens"):
        train(replace(spec, shape=spec.shape.replace(n_vocab=100)), corpus)


def test_a_corpus_with_too_few_tokens_is_refused(make_spec: MakeSpec, corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match="12,800,001 tokens asked of a stream that holds"):
        train(make_spec(tokens=12_800_000), corpus)


def test_a_failing_run_is_recorded_with_its_error(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    spec = make_spec(corpus="abc")
    with pytest.raises(CorpusError):
        recorded(spec, corpus, tmp_path)
    [record] = RunStore(tmp_path)
    assert record.status == "failed"
    assert (record.error or "").startswith("CorpusError: the spec was resolved for corpus abc")


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "wsd", "optimizer": "muon", "averaging": "tail"},
        {"schedule": "linear", "optimizer": "adafactor", "dropout": 0.1, "z_loss": 1e-4},
        {"schedule": "inverse-sqrt", "parametrisation": "mup", "base_width": 8, "averaging": "ema"},
    ],
    ids=lambda changes: changes["schedule"],
)
def test_every_way_to_train_learns_and_repeats_itself(
    make_spec: MakeSpec, corpus: Corpus, changes: dict[str, Any]
) -> None:
    spec = make_spec(tokens=100 * 128, learning_rate=2e-2, **changes)
    torch.manual_seed(0)
    first = train(spec, corpus)
    torch.manual_seed(1)
    again = train(spec, corpus)
    assert first.held_out == again.held_out
    assert first.held_out.mean < math.log(256) - 1.5


@pytest.mark.parametrize("name", ["tail", "ema"])
def test_the_average_of_the_last_steps_is_judged(make_spec: MakeSpec, corpus: Corpus, name: str) -> None:
    spec = make_spec(tokens=200 * 128, schedule="constant", learning_rate=3e-2)
    plain, averaged = train(spec, corpus), train(replace(spec, averaging=name, averaging_share=0.3), corpus)
    assert averaged.held_out.mean < plain.held_out.mean


def test_progress_counts_every_step(make_spec: MakeSpec, corpus: Corpus) -> None:
    steps: list[int] = []
    train(make_spec(), corpus, progress=steps.append)
    assert steps == list(range(1, 41))
