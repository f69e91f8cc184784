"""A batch that goes through the model in parts makes the step of the whole batch, and measures the same noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isoflop import Shape
from isoflop.data import Corpus
from isoflop.errors import KernelError
from isoflop.runs import Recorder, RunStore
from isoflop.train.engine.parts import part_of, slots_of
from isoflop.train.loop import train_stack
from isoflop.train.measurements.noise import noise_scale, of_half
from isoflop.train.plain import PlainStep
from isoflop.train.spec import TrainSpec

MakeSpec = Callable[..., TrainSpec]
Columns = dict[str, np.ndarray]


def points_of(spec: TrainSpec, corpus: Corpus, folder: Path) -> Columns:
    store = RunStore(folder)
    with Recorder(store, spec.to_dict()) as recorder:
        train_stack([spec], [corpus], [recorder])
    return store.points_of(recorder.id)


@pytest.mark.parametrize("engine", ["torch", "native"])
@pytest.mark.parametrize("accumulate", [2, 8])
def test_losses_are_those_of_the_whole_batch(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path, engine: str, accumulate: int
) -> None:
    whole, parted = (
        points_of(make_spec(engine=engine, accumulate=parts), corpus, tmp_path / str(parts))
        for parts in (1, accumulate)
    )
    assert whole.keys() == parted.keys()
    for name, values in whole.items():
        np.testing.assert_allclose(parted[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "changes",
    [{"optimizer": "muon"}, {"z_loss": 1e-3, "averaging": "ema"}, {"parametrisation": "mup", "base_width": 8}],
    ids=str,
)
def test_every_way_to_train_takes_parts(make_spec: MakeSpec, changes: dict[str, Any]) -> None:
    tokens, targets = torch.randint(256, (2, 1, 8, 16), generator=torch.Generator().manual_seed(0))
    whole, parted = (PlainStep([make_spec(accumulate=parts, **changes)]) for parts in (1, 4))
    for _ in range(4):
        torch.testing.assert_close(parted.step(tokens, targets), whole.step(tokens, targets), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_the_noise_scale_is_the_same_by_halves_and_by_smaller_parts(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path, engine: str
) -> None:
    spec = {"engine": engine, "measurements": ["noise"], "tokens": 200 * 512, "batch_tokens": 512}
    halves, eighths = (
        points_of(make_spec(accumulate=parts, **spec), corpus, tmp_path / str(parts)) for parts in (1, 8)
    )
    np.testing.assert_allclose(eighths["grad_square"], halves["grad_square"], rtol=1e-2)
    found = [noise_scale(points, batch_tokens=512, since=50) for points in (halves, eighths)]
    assert found[1] == pytest.approx(found[0], rel=0.3)


def test_squares_of_parts_say_what_those_of_halves_would() -> None:
    signal, noise, batch = 3.0, 5000.0, 512.0
    expected = {parts: [[signal + noise * parts / batch, signal + noise / batch]] for parts in (2, 4, 32)}
    for parts, squares in expected.items():
        np.testing.assert_allclose(of_half(np.array(squares), parts), expected[2], rtol=1e-12)
    half, whole = of_half(np.array(expected[4]), 4).T
    points = {"step": np.ones(1), "grad_square_half": half, "grad_square": whole}
    assert noise_scale(points, batch_tokens=int(batch)) == pytest.approx(noise / signal)


def test_endless_squares_of_a_model_that_diverges_warn_of_nothing() -> None:
    np.testing.assert_array_equal(of_half(np.full((1, 2), np.inf), 2), [[np.nan, np.inf]])


def test_the_native_engine_has_no_more_than_a_part_in_work(make_spec: MakeSpec) -> None:
    shape = make_spec().shape
    assert [part_of(shape, 24, 2, accumulate) for accumulate in (1, 3, 5, 24)] == [12, 6, 4, 1]


def test_experts_see_all_rows_that_they_balance_their_load_in() -> None:
    shape = Shape(n_layer=2, d_model=64, n_head=4, n_ctx=128, n_vocab=64, n_expert=4, top_k=2)
    assert [slots_of(shape, 36, accumulate) for accumulate in (1, 2, 3, 4, 9)] == [1, 2, 3, 2, 3]
    assert [part_of(shape, 36, slots_of(shape, 36, each), each) for each in (1, 2, 3, 4, 9)] == [36, 18, 12, 9, 4]
    assert part_of(shape, 36, 2, 3) == 6
    with pytest.raises(KernelError, match="a batch of 36 sequences does not divide into 8 in which experts balance"):
        part_of(shape, 36, 1, 8)
