"""Measurements beside the held-out loss agree with what is counted by hand, and cost a run nothing but time."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from isoflop.data import Corpus, load_corpus
from isoflop.errors import CorpusError, FitError
from isoflop.hardware import Energy
from isoflop.runs import Recorder, RunStore
from isoflop.train.measurements import MEASUREMENTS
from isoflop.train.measurements.accuracy import accuracy, exact_match
from isoflop.train.measurements.cost import Shares, utilisation
from isoflop.train.measurements.noise import noise_scale
from isoflop.train.measurements.position import places, position_curve
from isoflop.train.plain import PlainStep
from isoflop.train.spec import TrainSpec
from isoflop.train.trainer import train
from isoflop.train.windows import WindowOrder, held_out_windows, trained_windows

MakeSpec = Callable[..., TrainSpec]
Columns = dict[str, np.ndarray]


def points_of(spec: TrainSpec, corpus: Corpus, folder: Path, **options: Any) -> Columns:
    store = RunStore(folder)
    with Recorder(store, spec.to_dict(), counts=spec.counts()) as recorder:
        train(spec, corpus, recorder, **options)
    return store.points_of(recorder.id)


def evaluated(points: Columns, name: str) -> np.ndarray:
    return points[name][np.isfinite(points["val_loss"])]


def test_what_is_measured_changes_no_loss(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    plain = points_of(make_spec(), corpus, tmp_path / "plain")
    names = [name for name in MEASUREMENTS if name != "noise"]  # which halves the batch, and so rounds otherwise
    rich = points_of(make_spec(measurements=names, exact_match=[1, 2]), corpus, tmp_path / "rich")
    for name, values in plain.items():
        np.testing.assert_array_equal(rich[name], values)
    noisy = points_of(make_spec(measurements=["noise"]), corpus, tmp_path / "noisy")
    np.testing.assert_allclose(noisy["loss"], plain["loss"], rtol=1e-4)


def test_losses_by_position_average_to_the_held_out_loss(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    points = points_of(make_spec(measurements=["position"], tokens=200 * 128), corpus, tmp_path)
    for row in range(4):
        where, losses = position_curve(points, row)
        assert where.tolist() == list(range(1, 17))
        assert losses.mean() == pytest.approx(evaluated(points, "val_loss")[row], rel=1e-6)
    assert losses[0] > losses[4:].mean(), "the first token has nothing to go by"
    with pytest.raises(FitError, match=r"there is no evaluation 4 of 4\n.*-1 is the last"):
        position_curve(points, 4)


def test_positions_of_long_contexts_are_spread_over_the_logarithm() -> None:
    found = places(1024)
    assert found[:2] == [1, 2]
    assert found[-1] == 1024
    assert len(found) <= 32
    assert all(later <= 1.5 * earlier for earlier, later in pairwise(found[4:]))


def test_the_gap_is_between_the_windows_trained_on_and_those_held_out(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path
) -> None:
    spec = make_spec(
        tokens=600 * 128, unique_tokens=512, learning_rate=3e-2, measurements=["gap"], eval_tokens=1024, evaluations=2
    )
    points = points_of(spec, corpus, tmp_path)
    gap = evaluated(points, "val_loss") - evaluated(points, "trained_loss")
    assert 0 < gap[0] < gap[1], "what is repeated is learnt by heart"
    trained, held_out = trained_windows(spec, corpus), held_out_windows(spec, corpus)
    assert len(trained) == 32, "all there are"
    assert set(map(tuple, trained.tolist())) == set(map(tuple, WindowOrder(spec, corpus).take(32).tolist()))
    assert not set(map(tuple, trained.tolist())) & set(map(tuple, held_out.tolist()))


def test_transfer_is_the_held_out_loss_on_another_corpus(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "digits.txt").write_text("".join(f"{n * n} " for n in range(8000)))
    digits = load_corpus(str(tmp_path / "digits.txt"))
    spec = make_spec(transfer=[digits.fingerprint])
    points = points_of(spec, corpus, tmp_path / "there", transfer=[digits])
    other = evaluated(points, f"val_loss_on_{digits.fingerprint}")
    assert np.isfinite(other).all()
    assert (other != evaluated(points, "val_loss")).all()
    swapped = make_spec(corpus=digits.fingerprint, transfer=[corpus.fingerprint])
    mirrored = points_of(swapped, digits, tmp_path / "back", transfer=[corpus])
    assert evaluated(mirrored, "val_loss")[-1] < other[-1], "a model is best at what it was trained on"
    with pytest.raises(CorpusError, match=f"measures transfer to {digits.fingerprint}; given: none"):
        train(spec, corpus)


def test_known_tokens_and_stretches_are_counted() -> None:
    hits = torch.tensor([[1, 1, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]], dtype=torch.bool)
    assert accuracy(hits) == {"val_accuracy": 12 / 14}
    assert exact_match(hits, [1, 2, 3, 7]) == {
        "val_exact_match_1": 12 / 14,
        "val_exact_match_2": 5 / 6,
        "val_exact_match_3": 3 / 4,
        "val_exact_match_7": 1 / 2,
    }


def test_a_pattern_learnt_by_heart_is_known_in_long_stretches(make_spec: MakeSpec, tmp_path: Path) -> None:
    (tmp_path / "pattern.txt").write_text("scaling " * 4000)
    corpus = load_corpus(str(tmp_path / "pattern.txt"))
    spec = make_spec(
        corpus=corpus.fingerprint, tokens=150 * 128, learning_rate=3e-2, measurements=["accuracy"], exact_match=[1, 8]
    )
    points = points_of(spec, corpus, tmp_path / "store")
    known, alone, stretches = (
        evaluated(points, name) for name in ("val_accuracy", "val_exact_match_1", "val_exact_match_8")
    )
    np.testing.assert_array_equal(known, alone)
    assert (stretches <= known).all()
    assert known[-1] > 0.99
    assert stretches[-1] > 0.9


def test_squared_gradients_are_those_of_the_halves_and_of_the_whole(make_spec: MakeSpec, corpus: Corpus) -> None:
    spec = make_spec(measurements=["noise"])
    step = PlainStep([spec])
    batch = torch.from_numpy(WindowOrder(spec, corpus).take(8).astype(np.int64))
    model = step.learners[0].model

    def square(part: Tensor) -> float:
        found = torch.autograd.grad(model(part[:, :-1], part[:, 1:]), list(model.parameters()))
        return sum(float(each.double().square().sum()) for each in found)

    expected = (square(batch[:4]) + square(batch[4:])) / 2, square(batch)
    step.step(batch[None, :, :-1], batch[None, :, 1:])
    np.testing.assert_allclose(step.squares[0].numpy(), expected, rtol=1e-5)
    assert step.squares[0, 0] > step.squares[0, 1]


def test_the_noise_scale_is_the_variance_over_the_signal() -> None:
    signal, variance, batch = 3.0, 480.0, 16
    points = {
        "step": np.array([1.0, 4.0, 9.0]),
        "grad_square_half": np.array([np.nan, 0.0, 0.0]) + signal + variance / (batch / 2),
        "grad_square": np.array([np.nan, 0.0, 0.0]) + signal + variance / batch,
    }
    assert noise_scale(points, batch_tokens=batch) == pytest.approx(variance / signal)
    weighted = {name: values.copy() for name, values in points.items()}
    weighted["grad_square"][1] = signal
    assert noise_scale(weighted, batch_tokens=batch, since=4) == pytest.approx(variance / signal)
    with pytest.raises(FitError, match="no squared gradients after step 9"):
        noise_scale(points, batch_tokens=batch, since=9)
    with pytest.raises(FitError, match=r'no squared gradients\n.*measurements = \["noise"\]'):
        noise_scale({"step": points["step"]}, batch_tokens=batch)


def test_a_run_measures_its_noise_scale(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    spec = make_spec(measurements=["noise"], tokens=300 * 128)
    points = points_of(spec, corpus, tmp_path)
    assert (points["grad_square_half"] > points["grad_square"] / 2).all()
    found = noise_scale(points, batch_tokens=spec.batch_tokens, since=50)
    assert 50 < found < 1e5, "tokens"


def test_machines_without_counters_write_no_joules() -> None:
    assert set(Shares(Energy([])).taken()) == {"seconds", "seconds_evaluating"}


class Metered:
    """A counter that a test writes."""

    name = "processor"

    def __init__(self) -> None:
        self.taken = 0.0

    def joules(self) -> float | None:
        taken, self.taken = self.taken, 0.0
        return taken


def test_models_that_train_together_share_seconds_and_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 6.0, 10.0, 12.0])
    monkeypatch.setattr("isoflop.train.measurements.cost.time.perf_counter", lambda: next(now))
    package = Metered()
    shares = Shares(Energy([package]))
    package.taken = 30.0
    shares.advance(3)
    assert shares.taken() == {"seconds": 2.0, "seconds_evaluating": 0.0, "joules": 10.0}
    package.taken = 60.0
    shares.rest(2)
    package.taken = 1.0
    shares.advance(1)
    assert shares.taken() == {"seconds": 4.0, "seconds_evaluating": 2.0, "joules": 11.0}


def test_utilisation_is_of_the_seconds_spent_training(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path) -> None:
    spec = make_spec(measurements=["cost"])
    points = points_of(spec, corpus, tmp_path)
    assert (np.diff(points["seconds"]) > 0).all()
    reading = utilisation(points, spec.shape, peak_flops=1e12)
    assert reading.mfu == pytest.approx(spec.counts()["C_exact_causal"] / points["seconds"][-1] / 1e12)
    assert reading.convention == "exact-causal"
    assert 0 < reading.mfu < 1
    assert math.isclose(utilisation(points, spec.shape, peak_flops=2e12).mfu, reading.mfu / 2)
    with pytest.raises(FitError, match=r'measurements = \["cost"\]'):
        utilisation({"tokens": points["tokens"]}, spec.shape, peak_flops=1e12)
