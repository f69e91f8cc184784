"""One contract for every backend of the engine: it trains as the plain model under autograd and torch's AdamW does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import isoflop as iso
from isoflop import _core
from isoflop.errors import KernelError
from isoflop.kernels.parameter_kinds import kind_of
from isoflop.train.engine.regime import DEFAULTS
from isoflop.train.engine.step import Step
from isoflop.train.model import Transformer

SMALL = {"n_layer": 2, "d_model": 32, "n_head": 4, "n_ctx": 24, "n_vocab": 37}
SHAPES = {
    "gpt2": iso.Shape(**SMALL),
    "llama": iso.Shape(
        **SMALL | {"d_model": 24}, n_kv_head=2, norm="rms", activation="swiglu", position="rope", bias=False,
        tied_embeddings=False,
    ),
    "relu2": iso.Shape(**SMALL | {"n_layer": 1}, d_head=6, norm="rms", activation="relu2", position="none"),
    "swiglu with biases": iso.Shape(**SMALL | {"n_layer": 1}, activation="swiglu", n_kv_head=1, position="rope"),
    "mixture": iso.Shape(**SMALL, n_expert=4, top_k=2, n_shared_expert=1, d_expert=20, n_dense_layer=1),
    "mixture with a capacity": iso.Shape(
        **SMALL, n_expert=5, top_k=2, capacity_factor=0.9, d_expert=40, norm="rms", activation="swiglu", bias=False
    ),
    "untied": iso.Shape(**SMALL | {"n_layer": 1, "n_vocab": 300}, tied_embeddings=False, bias=False),
}  # fmt: skip
STACKED = ("gpt2", "mixture with a capacity")
WINDOWS = iso.Shape(**SMALL | {"n_layer": 4}, window=5, global_every=2)
HYPER: dict[str, list[float]] = {
    "lr": [1e-3, 1e-2, 3e-3, 1e-3, 5e-3, 2e-3, 1e-3],
    "beta1": [0.9, 0.8, 0.95, 0.9, 0.9, 0.85, 0.0],
    "beta2": [0.95, 0.99, 0.999, 0.9, 0.95, 0.95, 0.95],
    "weight_decay": [0.1, 0.0, 0.3, 0.1, 0.0, 0.0, 1.0],
    "clip": [1.0, math.inf, 0.5, 0.1, 1.0, 1.0, 1.0],
}
BATCH, STEPS = 4, 50
# The plain trainer and a backend add up in other orders: what fifty steps make of a float32's rounding.
CLOSE = 2e-4
BACKENDS: dict[str, dict[str, Any]] = {"reference": {"backend": "reference"}} | {
    isa: {"backend": "native", "instruction_set": isa} for isa in _core.usable_isas()
}


def hyper(models: list[int]) -> dict[str, list[float]]:
    return {name: [values[k] for k in models] for name, values in HYPER.items()}


def batches(shape: iso.Shape, models: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Sequences that follow a rule with some noise, so that there is something to learn."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        start = torch.randint(shape.n_vocab, (models, BATCH, 1), generator=generator)
        rows = (start + 3 * torch.arange(shape.n_ctx + 1)) % shape.n_vocab
        noise = torch.randint(shape.n_vocab, rows.shape, generator=generator)
        rows = torch.where(torch.rand(rows.shape, generator=generator) < 0.2, noise, rows)
        yield rows[..., :-1].contiguous(), rows[..., 1:].contiguous()


def plain_losses(shape: iso.Shape, models: list[int], steps: int) -> Tensor:
    """(steps, K), each model trained by itself by autograd and torch."""
    columns = []
    for k in models:
        model = Transformer(shape, torch.Generator().manual_seed(k))
        decay = HYPER["weight_decay"][k]
        by_kind = [(each, kind_of(name) == "vector") for name, each in model.named_parameters()]
        optimizer = torch.optim.AdamW(
            [
                {"params": [each for each, is_vector in by_kind if not is_vector], "weight_decay": decay},
                {"params": [each for each, is_vector in by_kind if is_vector], "weight_decay": 0.0},
            ],
            lr=HYPER["lr"][k], betas=(HYPER["beta1"][k], HYPER["beta2"][k]),
        )  # fmt: skip
        column = []
        for tokens, targets in batches(shape, 7, steps):
            optimizer.zero_grad()
            lowered, loss = model.objective(tokens[k], targets[k], balance_loss=DEFAULTS["balance_loss"])
            lowered.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), HYPER["clip"][k])
            optimizer.step()
            column.append(loss)
        columns.append(torch.stack(column))
    return torch.stack(columns, 1)


def losses(step: Step, models: list[int], steps: int) -> Tensor:
    """(steps, K) of ``step``, on the data of ``models``."""
    return torch.stack(
        [step.step(*(each[models] for each in given)).clone() for given in batches(step.shape, 7, steps)]
    )


@pytest.fixture(scope="module")
def plain() -> dict[str, Tensor]:
    """The plain losses of seven models of the shapes that are stacked, and of one of every other."""
    counts = {name: 7 if name in STACKED else 1 for name in SHAPES}
    return {name: plain_losses(SHAPES[name], list(range(count)), STEPS) for name, count in counts.items()}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_fifty_steps_give_the_losses_of_the_plain_trainer(backend: str, name: str, plain: dict[str, Tensor]) -> None:
    steps = STEPS if backend != "reference" or name == "gpt2" else 10
    step = Step(SHAPES[name], models=1, batch=BATCH, **BACKENDS[backend], **hyper([0]))
    found = losses(step, [0], steps)
    torch.testing.assert_close(found, plain[name][:steps, :1], atol=CLOSE, rtol=0)
    assert step.steps.tolist() == [steps]
    assert backend in step.ran


@pytest.mark.parametrize("name", STACKED)
@pytest.mark.parametrize("backend", list(BACKENDS)[-1:])
def test_seven_models_have_the_bits_of_each_alone_and_the_plain_losses(
    backend: str, name: str, plain: dict[str, Tensor]
) -> None:
    models, shape = list(range(7)), SHAPES[name]
    step = Step(shape, models=7, batch=BATCH, **BACKENDS[backend], **hyper(models))
    together = losses(step, models, STEPS)
    torch.testing.assert_close(together, plain[name], atol=CLOSE, rtol=0)
    for k in models:
        alone = Step(shape, models=1, batch=BATCH, seeds=[k], **BACKENDS[backend], **hyper([k]))
        assert torch.equal(losses(alone, [k], STEPS)[:, 0], together[:, k])
        assert all(torch.equal(value[0], step.params[name][k]) for name, value in alone.params.items())


@pytest.mark.parametrize("models", [1, 7])
@pytest.mark.parametrize("name", ["llama", "mixture"])
def test_the_number_of_threads_changes_no_bit(name: str, models: int) -> None:
    found = []
    for threads in (1, 2, 3):
        step = Step(SHAPES[name], models=models, batch=BATCH, backend="native", threads=threads, accumulate=2, lr=1e-2)
        found.append((losses(step, list(range(models)), 10), step.state()))
    for other, state in found[1:]:
        assert torch.equal(other, found[0][0])
        assert all(torch.equal(value, found[0][1]["params"][name]) for name, value in state["params"].items())


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_a_model_that_diverges_is_seen_and_touches_no_other(backend: str) -> None:
    shape = SHAPES["relu2"]
    settings = {"batch": BATCH, "backend": backend, "weight_decay": 0.0}
    wild = Step(shape, models=3, lr=[1e-3, 1e9, 1e-3], **settings)
    tame = Step(shape, models=2, seeds=[0, 2], lr=1e-3, **settings)
    found, expected = losses(wild, [0, 1, 2], 8), losses(tame, [0, 2], 8)
    assert not found[:, 1].isfinite().all()
    assert torch.equal(found[:, [0, 2]], expected)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_a_frozen_model_stays_as_it_is(backend: str) -> None:
    shape, models = SHAPES["relu2"], [0, 1]
    step, free = (Step(shape, models=2, batch=BATCH, backend=backend, lr=1e-2) for _ in range(2))
    losses(step, models, 2), losses(free, models, 2)
    before = step.state()
    step.active[1] = False
    assert torch.equal(losses(step, models, 3)[:, 0], losses(free, models, 3)[:, 0])
    after = step.state()
    assert after["steps"].tolist() == [5, 2]
    for kind in ("params", "first", "second"):
        assert all(torch.equal(value[1], after[kind][name][1]) for name, value in before[kind].items())


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_training_goes_on_from_a_state_with_the_same_bits(backend: str) -> None:
    shape = SHAPES["relu2"]
    step, other = (Step(shape, models=2, batch=BATCH, backend=backend, lr=1e-2) for _ in range(2))
    losses(step, [0, 1], 3)
    other.load_state(step.state())
    assert torch.equal(losses(step, [0, 1], 3), losses(other, [0, 1], 3))
    with pytest.raises(KernelError, match=r"no parameter '.*' given"):
        other.load_state(step.state() | {"params": {}})


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_the_state_of_one_model_moves_to_another_place_of_another_stack(backend: str) -> None:
    shape = SHAPES["relu2"]
    step, other = (Step(shape, models=count, batch=BATCH, backend=backend, lr=1e-2) for count in (3, 2))
    losses(step, [0, 1, 2], 3)
    untouched = other.state([1])
    other.load_state(step.state([2]), [0])
    assert torch.equal(other.state([1])["params"]["tokens"], untouched["params"]["tokens"])
    assert other.steps.tolist() == [3, 0]
    assert torch.equal(losses(other, [2, 0], 3)[:, 0], losses(step, [0, 1, 2], 3)[:, 2])
    with pytest.raises(KernelError, match=r"tokens is \(3, .*\); needed: \(1, "):
        other.load_state(step.state(), [0])


def test_rates_written_between_steps_are_the_next_steps() -> None:
    still, moved = (Step(SHAPES["relu2"], models=1, batch=BATCH, backend="native", lr=rate) for rate in (0.0, 1e-2))
    first = losses(still, [0], 2)
    still.hyper["lr"][0] = 1e-2
    still.load_state(moved.state())
    assert torch.equal(losses(still, [0], 2), losses(moved, [0], 2))
    assert first.isfinite().all()


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_dropout_written_between_steps_begins_with_the_next(backend: str) -> None:
    shape = SHAPES["relu2"]
    whole, late, early = (
        Step(shape, models=1, batch=BATCH, backend=backend, lr=1e-2, dropout=rate) for rate in (0.0, 0.0, 0.3)
    )
    assert torch.equal(losses(whole, [0], 2), losses(late, [0], 2))
    late.hyper["dropout"][0] = 0.3
    early.load_state(late.state())
    found = losses(late, [0], 2)
    assert torch.equal(found, losses(early, [0], 2))
    assert not torch.equal(found, losses(whole, [0], 2))


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("sequences", [1, 3, 10])
@pytest.mark.parametrize("name", ["llama", "mixture", "mixture with a capacity"])
def test_evaluation_gives_the_loss_of_every_position(backend: str, sequences: int, name: str) -> None:
    shape = SHAPES[name]
    step = Step(shape, models=2, batch=BATCH, backend=backend, lr=1e-2)
    losses(step, [0, 1], 3)
    tokens, targets = torch.randint(shape.n_vocab, (2, 2, sequences, shape.n_ctx))
    found = step.evaluate(tokens, targets)
    for k in range(2):
        model = Transformer(shape)
        model.load_state_dict({name: value[k] for name, value in step.params.items()})
        with torch.no_grad():
            expected = model(tokens[k], targets[k], reduction="none")
        torch.testing.assert_close(found[k], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_models_that_are_not_active_are_not_evaluated(backend: str) -> None:
    step = Step(SHAPES["relu2"], models=3, batch=BATCH, backend=backend)
    given = torch.randint(SMALL["n_vocab"], (2, 3, 5, SMALL["n_ctx"]))
    whole = step.evaluate(*given)
    step.active[1] = False
    found = step.evaluate(*given)
    assert torch.equal(found[[0, 2]], whole[[0, 2]])
    assert found[1].isnan().all()
    step.active.fill_(False)
    assert step.evaluate(*given).isnan().all()


def test_ignored_targets_count_in_no_part_of_the_batch() -> None:
    shape = SHAPES["relu2"]
    native, reference = (Step(shape, models=1, batch=BATCH, backend=name) for name in ("native", "reference"))
    ((tokens, targets),) = batches(shape, 1, 1)
    targets[0, 1:3, 2:] = -100
    expected = reference.step(tokens, targets)
    torch.testing.assert_close(native.step(tokens, targets), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(native.grad_norm, reference.grad_norm, atol=1e-4, rtol=1e-4)


def test_windows_and_whole_layers_train_as_the_definition_says() -> None:
    native, reference = (
        Step(WINDOWS, models=1, batch=BATCH, backend=name, lr=3e-3) for name in ("native", "reference")
    )
    torch.testing.assert_close(losses(native, [0], 5), losses(reference, [0], 5), atol=CLOSE, rtol=0)


def test_micro_batches_measure_the_noise_of_gradients() -> None:
    shape = SHAPES["relu2"]
    native, reference = (
        Step(shape, models=2, batch=BATCH, micro_batches=BATCH, backend=name) for name in ("native", "reference")
    )
    for given in batches(shape, 2, 2):
        native.step(*given), reference.step(*given)
        torch.testing.assert_close(native.noise, reference.noise, rtol=1e-3, atol=0)
        assert native.noise[:, 1].tolist() == pytest.approx(native.grad_norm.double().square().tolist(), rel=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "mixture"])
def test_bfloat16_products_train_nearly_as_float32_ones(name: str, record_property: Any) -> None:
    shape = SHAPES[name]
    exact, rounded = (
        losses(Step(shape, models=1, batch=BATCH, backend="native", products=products, lr=3e-3), [0], STEPS)
        for products in ("float32", "bfloat16")
    )
    apart = float((exact - rounded).abs().max())
    record_property("largest difference of losses, nats", apart)
    print(f"bfloat16 products: losses at most {apart:.2e} nats from those of float32 over {STEPS} steps")  # noqa: T201
    assert 0 < apart < 0.03


def test_memory_is_told_by_kind() -> None:
    shape = SHAPES["gpt2"]
    one, many = (Step(shape, models=models, batch=BATCH, backend="native", threads=1).memory for models in (1, 8))
    assert one["parameters"] == pytest.approx(4 * shape.n_params, rel=0.1)
    assert one["optimizer"] == 2 * one["parameters"]
    assert many["parameters"] == 8 * one["parameters"]
    assert many["activations"] == one["activations"] > 0
    assert many["gradients"] == one["gradients"]


def test_what_does_not_go_is_refused_by_name() -> None:
    shape = SHAPES["gpt2"]
    with pytest.raises(KernelError, match="there is no backend 'nativ'"):
        Step(shape, models=1, batch=1, backend="nativ")
    with pytest.raises(KernelError, match="lr has \\(2,\\) values; one, or one for each of 3 models"):
        Step(shape, models=3, batch=1, backend="reference", lr=[1.0, 2.0])
    with pytest.raises(KernelError, match="there is no hyper-parameter 'lrr'"):
        Step(shape, models=1, batch=1, backend="reference", lrr=1.0)
    with pytest.raises(KernelError, match=r"dropout is 1.0; it must be in \[0, 1\)"):
        Step(shape, models=1, batch=1, backend="reference", dropout=1.0)
    with pytest.raises(KernelError, match=r"lr is \[0.1, nan\]; it must be a number, zero or more"):
        Step(shape, models=2, batch=1, backend="reference", lr=[0.1, torch.nan])
    with pytest.raises(KernelError, match="2 seeds for 3 models"):
        Step(shape, models=3, batch=1, backend="reference", seeds=[0, 1])
    with pytest.raises(KernelError, match="a batch of 4 sequences does not divide into 3 micro-batches"):
        Step(shape, models=1, batch=4, backend="reference", micro_batches=3)
    step = Step(shape, models=1, batch=1, backend="reference")
    tokens = torch.zeros(1, 1, shape.n_ctx, dtype=torch.int64)
    with pytest.raises(KernelError, match=r"targets are \(1, 1, 24\) int32; needed: \(1, 1, 24\) int64"):
        step.step(tokens, tokens.int())
