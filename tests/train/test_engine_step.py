"""The engine, driven by the training loop, gives the losses, accuracies and noise of the plain models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isoflop import Shape
from isoflop.data import Corpus
from isoflop.kernels.reference import argmax_hits
from isoflop.runs import Recorder, RunStore
from isoflop.runs.local import LocalFolder
from isoflop.train import footprint
from isoflop.train import spec as specs_module
from isoflop.train.checkpoint import Checkpoints
from isoflop.train.engine_step import EngineStep
from isoflop.train.loop import train_stack
from isoflop.train.plain import PlainStep
from isoflop.train.spec import TrainSpec
from isoflop.train.windows import WindowOrder

MakeSpec = Callable[..., TrainSpec]

EXPERTS = Shape(n_layer=2, d_model=16, n_head=2, n_ctx=16, n_vocab=256, n_expert=4, top_k=2, n_dense_layer=1)
KINDS = ("parameters", "activations")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine's definitions, as one that a spec may name."""
    monkeypatch.setitem(specs_module.ENGINES, "reference", ("float32",))
    monkeypatch.setitem(footprint.HELD, "reference", footprint.HELD["torch"])
    return "reference"


def test_points_are_those_of_the_plain_models(make_spec: MakeSpec, corpus: Corpus, tmp_path: Path, engine: str) -> None:
    changes: list[dict[str, Any]] = [
        {"seed": 3, "measurements": ["accuracy", "position"], "exact_match": [2]},
        {"tokens": 20 * 128, "learning_rate": 3e-2, "beta1": 0.8, "weight_decay": 0.5, "grad_clip": 0.3},
    ]
    found = []
    for name in ("torch", engine):
        specs = [make_spec(engine=name, **each) for each in changes]
        store = RunStore(tmp_path / name)
        recorders = [Recorder(store, spec.to_dict()).__enter__() for spec in specs]
        train_stack(specs, [corpus] * 2, recorders)
        for recorder in recorders:
            recorder.__exit__(None, None, None)
        found.append([store.points_of(recorder.id) for recorder in recorders])
    for plain, made in zip(*found, strict=True):
        assert plain.keys() == made.keys()
        for column, values in plain.items():
            np.testing.assert_allclose(made[column], values, rtol=2e-3, atol=2e-3, err_msg=column)


@pytest.mark.parametrize("capacity", [None, 1.0])
def test_likeliest_tokens_are_told_in_parts_of_the_memory_that_was_predicted(
    make_spec: MakeSpec, corpus: Corpus, engine: str, monkeypatch: pytest.MonkeyPatch, capacity: float | None
) -> None:
    shape = EXPERTS.replace(capacity_factor=capacity)
    spec = make_spec(engine=engine, shape=shape, measurements=["accuracy"], learning_rate=1e-2)
    step = EngineStep([spec])
    batch = torch.from_numpy(WindowOrder(spec, corpus).take(64).astype(np.int64))[None]
    tokens, targets = batch[..., :-1].contiguous(), batch[..., 1:].contiguous()
    whole, taken = step.hits(tokens, targets), []

    def recorded(x: torch.Tensor, weight: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        taken.append(x.numel() // x.shape[-1] * len(weight))
        return argmax_hits(x, weight, wanted)

    monkeypatch.setattr("isoflop.train.language_model.LOGITS_AT_ONCE", 10 * 256)
    monkeypatch.setattr("isoflop.train.footprint._HITS_TOKENS", 3 * 16)
    monkeypatch.setattr("isoflop.train.language_model.ops.argmax_hits", recorded)
    assert torch.equal(step.hits(tokens, targets), whole)
    assert max(taken) == 10 * 256
    assert footprint.hits_batch(shape, 64) == (3 if capacity is None else 64)
    native, plain = (
        {
            kind: footprint.needed([make_spec(shape=EXPERTS, engine="native", measurements=names)])[kind]
            for kind in KINDS
        }
        for names in (["accuracy"], [])
    )
    assert native["parameters"] - plain["parameters"] == 4 * EXPERTS.n_params
    assert native["activations"] - plain["activations"] > 4 * 10 * 256


def test_squared_gradients_are_those_of_the_plain_model(make_spec: MakeSpec, corpus: Corpus, engine: str) -> None:
    made = []
    for name in ("torch", engine):
        spec = make_spec(engine=name, measurements=["noise"])
        step = PlainStep([spec]) if name == "torch" else EngineStep([spec])
        batch = torch.from_numpy(WindowOrder(spec, corpus).take(8).astype(np.int64))[None]
        step.step(batch[..., :-1].contiguous(), batch[..., 1:].contiguous())
        made.append(step.squares.numpy())
    np.testing.assert_allclose(made[1], made[0], rtol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "muon", "averaging": "ema", "dropout": 0.1},
        {"optimizer": "adafactor", "averaging": "tail", "parametrisation": "mup", "base_width": 8, "z_loss": 0.1},
        {"shape": EXPERTS, "optimizer": "muon", "measurements": ["noise"], "dropout": 0.1},
    ],
    ids=str,
)
def test_a_run_of_the_engine_goes_on_bit_for_bit(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Path, changes: dict[str, Any]
) -> None:
    specs = [make_spec(engine="native", seed=seed, **changes) for seed in range(2)]
    whole = train_stack(specs, [corpus] * 2, [None] * 2)

    def stop(index: int, step: int) -> None:
        if step == 25:
            raise KeyboardInterrupt

    for k in range(2):
        (tmp_path / str(k)).mkdir()
    files = [Checkpoints(LocalFolder(tmp_path / str(k)), every=10) for k in range(2)]
    with pytest.raises(KeyboardInterrupt):
        train_stack(specs, [corpus] * 2, [None] * 2, checkpoints=files, progress=stop)
    steps: list[int] = []
    again = train_stack(specs, [corpus] * 2, [None] * 2, checkpoints=files, progress=lambda k, step: steps.append(step))
    assert min(steps) == 21
    assert [outcome.held_out for outcome in again] == [outcome.held_out for outcome in whole]


@pytest.mark.parametrize("change", [{"dropout": 0.1}, {"averaging": "ema"}, {"optimizer": "muon"}], ids=str)
def test_a_gpu_is_asked_for_what_the_cpu_is(make_spec: MakeSpec, change: dict[str, Any]) -> None:
    assert make_spec(engine="triton", **change).engine == "triton"
