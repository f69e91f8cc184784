"""Memory is predicted before a run starts, close to what it then takes; what does not fit is refused in words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from isoflop import Shape
from isoflop.data import Corpus
from isoflop.errors import NotEnoughMemory
from isoflop.kernels.native import mlp
from isoflop.train import step as steps
from isoflop.train.domains import OPTIMIZERS
from isoflop.train.engine.step import Step
from isoflop.train.footprint import needed, refuse_past_memory
from isoflop.train.learner import Learner
from isoflop.train.loop import train_stack
from isoflop.train.spec import TrainSpec
from isoflop.train.trainer import train

MakeSpec = Callable[..., TrainSpec]

SHAPES = {
    "gpt2": Shape(n_layer=4, d_model=128, n_head=4, n_ctx=128, n_vocab=512),
    "llama": Shape(
        n_layer=3, d_model=192, n_head=6, n_kv_head=2, n_ctx=64, n_vocab=1000, norm="rms", activation="swiglu",
        position="rope", bias=False, tied_embeddings=False,
    ),
    "experts": Shape(
        n_layer=3, d_model=96, n_head=4, n_ctx=64, n_vocab=256, n_expert=8, top_k=2, n_shared_expert=1, d_expert=128,
        n_dense_layer=1,
    ),
    "full experts": Shape(
        n_layer=3, d_model=96, n_head=4, n_ctx=64, n_vocab=256, n_expert=8, top_k=2, capacity_factor=1.25, bias=False
    ),
    "narrow": Shape(n_layer=6, d_model=32, n_head=2, n_ctx=256, n_vocab=64),
}  # fmt: skip


def spec_of(make_spec: MakeSpec, shape: Shape, batch: int, **changes: Any) -> TrainSpec:
    tokens = batch * shape.n_ctx
    return make_spec(shape=shape, batch_tokens=tokens, tokens=4 * tokens, unique_tokens=tokens, **changes)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SHAPES)
def test_the_native_engine_holds_what_was_predicted(make_spec: MakeSpec, name: str, threads: int) -> None:
    assert_predicted(make_spec, SHAPES[name], threads, "float32")


@pytest.mark.parametrize("name", ["gpt2", "narrow", "llama"])
def test_what_is_saved_where_tiles_multiply_is_predicted(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(mlp, "by_tiles", lambda: True)  # room is taken alike where others multiply, and stays empty
    assert_predicted(make_spec, SHAPES[name], 1, "bfloat16")


def assert_predicted(make_spec: MakeSpec, shape: Shape, threads: int, products: str) -> None:
    step = Step(shape, models=3, batch=16, backend="native", threads=threads, products=products)
    step.evaluate(*torch.zeros(2, 3, 64, shape.n_ctx, dtype=torch.int64))
    predicted = needed([spec_of(make_spec, shape, 16, engine="native", precision=products)] * 3, threads=threads)
    for kind, size in step.memory.items():
        assert predicted[kind] == pytest.approx(size, rel=0.2 if kind == "activations" else 0.02), kind


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["llama", "experts"])
def test_moments_are_those_of_the_optimizer(make_spec: MakeSpec, name: str, optimizer: str) -> None:
    native, plain = (
        spec_of(make_spec, SHAPES[name], 2, optimizer=optimizer, engine=engine) for engine in ("native", "torch")
    )
    step, learner = Step(SHAPES[name], models=3, batch=2, backend="native", optimizer=optimizer), Learner(plain)
    learner.update(*torch.zeros(2, 2, SHAPES[name].n_ctx, dtype=torch.int64), 1e-3)
    taken = sum(each.nbytes for kind, each in learner.state().items() if kind.startswith("optimizer."))
    assert needed([native] * 3)["optimizer"] == pytest.approx(step.memory["optimizer"], rel=0.02)
    assert needed([plain])["optimizer"] == pytest.approx(taken, rel=0.01)


LARGER = SHAPES["gpt2"].replace(n_layer=6, d_model=256)
GATED = LARGER.replace(norm="rms", activation="swiglu", position="rope", bias=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "shape", "batch", "changes"),
    [(1, GATED, 64, {"dropout": 0.1}), (1, LARGER, 64, {"accumulate": 4}), (8, LARGER, 16, {"engine": "native"})],
    ids=["torch", "accumulated", "native stack"],
)
def test_a_stack_takes_the_memory_that_was_predicted(
    make_spec: MakeSpec, models: int, shape: Shape, batch: int, changes: dict[str, Any]
) -> None:
    spec = spec_of(make_spec, shape, batch, **changes)
    made = subprocess.run(
        [sys.executable, "-m", "proof.peak", json.dumps(spec.to_dict()), str(models)],
        capture_output=True, text=True, check=True, cwd=__file__.partition("/train/")[0],
    )  # fmt: skip
    found = json.loads(made.stdout)
    assert found["predicted"] == pytest.approx(found["taken"], rel=0.25)


def test_smaller_parts_of_a_batch_take_less(make_spec: MakeSpec) -> None:
    whole, parted = (needed([spec_of(make_spec, SHAPES["gpt2"], 64, accumulate=parts)]) for parts in (1, 8))
    assert parted["activations"] == pytest.approx(whole["activations"] / 8)
    assert {**parted, "activations": 0, "data": 0} == {**whole, "activations": 0, "data": 0}


@pytest.mark.parametrize(
    ("models", "share", "message"),
    [
        (
            9,
            0.8,
            r"^9 models of 875,264 parameters, batch_tokens = 8,192, would take .* GiB \(libraries .*\); .* there",
        ),
        (9, 0.8, r"\n  hint: train \d at a time$"),
        (1, 0.6, r"\n  hint: set accumulate = \d in \[train\], or a smaller batch_tokens$"),
        (1, 0.1, r"\n  hint: a smaller model, or a machine with more memory$"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    make_spec: MakeSpec, models: int, share: float, message: str
) -> None:
    engine = "native" if models > 1 else "torch"
    specs = [spec_of(make_spec, SHAPES["gpt2"], 64, engine=engine)] * models
    total = sum(needed(specs).values())
    refuse_past_memory(specs, total)
    refuse_past_memory(specs, None)
    with pytest.raises(NotEnoughMemory, match=message):
        refuse_past_memory(specs, int(share * total))


def test_a_run_past_the_memory_does_not_start(
    make_spec: MakeSpec, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    monkeypatch.setattr(steps, "available_bytes", lambda: 2**20)
    for engine in ("torch", "native"):
        with pytest.raises(NotEnoughMemory, match="1 model of"):
            train(make_spec(engine=engine), corpus, progress=started.append)
    with pytest.raises(NotEnoughMemory, match="2 models of"):
        train_stack([make_spec(seed=seed) for seed in range(2)], [corpus] * 2, [None] * 2)
    assert started == []
