"""Whatever a spec asks for, the engine trains it as the plain models do, each model of a stack in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop import Shape, _core
from isoflop.kernels.native.call import ENVIRONMENT
from isoflop.train import spec as specs_module
from isoflop.train.engine_step import EngineStep
from isoflop.train.layers import Experts
from isoflop.train.plain import PlainStep
from isoflop.train.spec import TrainSpec
from isoflop.train.step import Step

MakeSpec = Callable[..., TrainSpec]

SMALL = {"n_layer": 2, "d_model": 32, "n_head": 4, "n_ctx": 16, "n_vocab": 37}
GPT2 = Shape(**SMALL)
LLAMA = Shape(
    **SMALL | {"d_model": 24}, n_kv_head=2, norm="rms", activation="swiglu", position="rope", bias=False,
    tied_embeddings=False, window=9,
)  # fmt: skip
MIXTURE = Shape(
    **SMALL | {"n_layer": 3}, n_expert=4, top_k=2, n_shared_expert=1, d_expert=20, n_dense_layer=1, capacity_factor=1.0
)
EXPERTS = Shape(**SMALL | {"d_model": 24}, n_expert=3, top_k=1, norm="rms", activation="swiglu", bias=False)
MUP = {"parametrisation": "mup", "base_width": 8}
REGIMES: dict[str, tuple[Shape, list[dict[str, Any]]]] = {
    "z-loss": (GPT2, [{"z_loss": 1e-2}, {}, {"z_loss": 0.3}]),
    "mup": (GPT2, [MUP, {}, MUP | {"base_width": 64}, MUP | {"base_head": 2}]),
    "mup, untied": (LLAMA, [MUP | {"base_head": 24}, MUP]),
    "dropout": (GPT2, [{"dropout": 0.1}, {"dropout": 0.5, "seed": 4}, {"dropout": 0.1, "seed": 3}]),
    "dropout, windows": (LLAMA, [{"dropout": 0.2}, {"dropout": 0.3, "weight_decay": 0.0}]),
    "noise, dropout": (GPT2, [{"dropout": 0.1, "measurements": ["noise"]}]),
    "averages": (GPT2, [{"averaging": "ema"}, {}, {"averaging": "tail", "averaging_share": 0.5}]),
    "muon": (GPT2, [{"optimizer": "muon"}, {"optimizer": "muon", "weight_decay": 0.0, "grad_clip": 0.1}]),
    # Without biases: a gradient that is nought but for rounding, as that of keys' biases, moves as far as any other.
    "adafactor": (LLAMA, [{"optimizer": "adafactor"}, {"optimizer": "adafactor", "weight_decay": 0.5}]),
    "muon, mup, averages": (LLAMA, [MUP | {"optimizer": "muon"}, {"optimizer": "muon", "averaging": "ema"}]),
    "adafactor, mup, dropout": (LLAMA, [MUP | {"optimizer": "adafactor", "dropout": 0.1}]),
    "experts": (MIXTURE, [{"balance_loss": 1.0}, {}, {"balance_loss": 0.0}]),
    "experts, noise": (MIXTURE, [{"balance_loss": 0.4, "measurements": ["noise"]}]),
    "experts in parts": (MIXTURE, [{"accumulate": 4, "balance_loss": 0.5}]),
    "experts, mup, dropout": (EXPERTS, [MUP | {"dropout": 0.1, "balance_loss": 0.1}, {"dropout": 0.3}]),
    "experts, muon": (MIXTURE, [{"optimizer": "muon"}, {"optimizer": "muon", "averaging": "ema"}]),
    "experts, adafactor": (EXPERTS, [{"optimizer": "adafactor"}, MUP | {"optimizer": "adafactor"}]),
    "all of it": (LLAMA, [MUP | {"z_loss": 0.1, "dropout": 0.1, "averaging": "ema", "base_head": 24}]),
}
MODELS, BATCH, STEPS = 7, 8, 50
CLOSE = 2e-5  # what fifty steps make of a float32's rounding
EVEN = 1e-5  # between scores of experts: less is within what two that compute the same differ by
EPS = 1e-5
"""Of AdamW. Beside the usual 1e-8 a gradient that is nought but for rounding, of 1e-9, moves its parameter by a tenth
of the rate; what two engines choose of experts then parts, by 2e-4 of a score, and their losses by 5e-3."""
regimes = pytest.mark.parametrize("regime", REGIMES)


@pytest.fixture(params=["reference", *_core.usable_isas()])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine's definitions, as one that a spec may name; and C++ on each instruction set."""
    monkeypatch.setitem(specs_module.ENGINES, "reference", ("float32",))
    if request.param == "reference":
        return "reference"
    monkeypatch.setenv(ENVIRONMENT, request.param)
    return "native"


def specs_of(make_spec: MakeSpec, regime: str, engine: str, models: int) -> list[TrainSpec]:
    shape, changes = REGIMES[regime]
    own = [{"seed": k} | changes[k % len(changes)] for k in range(models)]
    return [make_spec(shape=shape, engine=engine, batch_tokens=BATCH * shape.n_ctx, **each) for each in own]


def batches(steps: range) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each step, sequences that follow a rule with some noise, so that there is something to learn."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        start = torch.randint(37, (MODELS, BATCH, 1), generator=generator)
        rows = (start + 3 * torch.arange(SMALL["n_ctx"] + 1)) % 37
        noise = torch.randint(37, rows.shape, generator=generator)
        rows = torch.where(torch.rand(rows.shape, generator=generator) < 0.2, noise, rows)
        yield rows[..., :-1].contiguous(), rows[..., 1:].contiguous()


def trained(step: Step, models: list[int], steps: range) -> Tensor:
    """(steps, K) losses on the data of ``models``."""
    step.hyper["lr"].fill_(5e-3)
    return torch.stack([step.step(*(each[models] for each in given)).clone() for given in batches(steps)])


def judged(step: Step, models: list[int]) -> tuple[Tensor, Tensor]:
    [given] = batches(range(1000, 1001))
    return step.evaluate(*(each[models] for each in given)), step.hits(*(each[models] for each in given))


def give_eps(plain: PlainStep, made: EngineStep) -> None:
    """To what of either divides by one: Adafactor has its own."""
    made.hyper["eps"].fill_(EPS)
    for learner in plain.learners:
        for group in learner._optimizer.param_groups:
            group.update({"eps": EPS} if "eps" in group else {})


def note_margins(plain: PlainStep) -> list[list[float]]:
    """Of each model the margins, layer by layer and pass by pass, by which the least sure row chooses its experts."""

    def noting(margins: list[float], experts: Experts, given: tuple[Tensor, ...], _: object) -> None:
        scores = (given[0].detach().flatten(0, -2) @ experts.router.detach().T).sort(-1, descending=True).values
        margins.append(float((scores[:, experts.top_k - 1] - scores[:, experts.top_k]).min()))

    noted: list[list[float]] = [[] for _ in plain.learners]
    for margins, learner in zip(noted, plain.learners, strict=True):
        for each in learner.model.modules():
            if isinstance(each, Experts):
                each.register_forward_hook(partial(noting, margins))
    return noted


@regimes
def test_a_stack_trains_as_the_plain_models_do(make_spec: MakeSpec, regime: str, engine: str) -> None:
    """Each model to the step at which rounding may choose its experts: seldom one before the last."""
    steps, models = range(STEPS if engine == "native" else 10), list(range(MODELS))
    plain = PlainStep(specs_of(make_spec, regime, "torch", MODELS))
    made = EngineStep(specs_of(make_spec, regime, engine, MODELS))
    give_eps(plain, made)
    noted = note_margins(plain)
    losses, expected = trained(made, models, steps), trained(plain, models, steps)
    margins = torch.tensor(noted).view(MODELS, len(steps), -1) if any(noted) else torch.ones(MODELS, len(steps), 1)
    sure = margins.amin(2).cummin(1).values.T > EVEN
    assert float(sure.float().mean()) > 0.5
    torch.testing.assert_close(losses[sure], expected[sure], atol=CLOSE, rtol=0)
    kept = sure[-1]
    (losses, hits), (expected, expected_hits) = judged(made, models), judged(plain, models)
    torch.testing.assert_close(losses[kept], expected[kept], atol=10 * CLOSE, rtol=0)
    assert float((hits == expected_hits)[kept].float().mean()) > 0.99
    if made.parts > 1:
        torch.testing.assert_close(made.squares[kept], plain.squares[kept], rtol=0.02, atol=1e-9)


@regimes
def test_each_model_has_the_bits_it_has_alone(make_spec: MakeSpec, regime: str, engine: str) -> None:
    specs = specs_of(make_spec, regime, engine, MODELS)
    stack = EngineStep(specs)
    together = trained(stack, list(range(MODELS)), range(5))
    for k in range(0, MODELS, 3):
        alone = EngineStep([specs[k]])
        assert torch.equal(trained(alone, [k], range(5))[:, 0], together[:, k])
        state = stack.state(k)
        assert alone.state(0).keys() == state.keys()
        assert all(torch.equal(value, state[name]) for name, value in alone.state(0).items())


@regimes
def test_training_goes_on_from_a_state_in_another_stack(make_spec: MakeSpec, regime: str, engine: str) -> None:
    specs = specs_of(make_spec, regime, engine, 3)
    whole, other = EngineStep(specs), EngineStep([specs[2], specs[0]])
    expected = trained(whole, [0, 1, 2], range(6))
    begun = EngineStep(specs)
    trained(begun, [0, 1, 2], range(3))
    for place, k in enumerate((2, 0)):
        other.load_state(place, {name: value.clone() for name, value in begun.state(k).items()})
    assert torch.equal(trained(other, [2, 0], range(3, 6)), expected[3:, [2, 0]])
    assert torch.equal(judged(other, [2, 0])[0], judged(whole, [0, 1, 2])[0][[2, 0]])


@regimes
def test_a_regime_changes_what_is_learned(make_spec: MakeSpec, regime: str) -> None:
    [spec, *_] = specs_of(make_spec, regime, "native", 1)
    usual = make_spec(shape=spec.shape, engine="native", batch_tokens=spec.batch_tokens, seed=spec.seed)
    steps = [EngineStep([each]) for each in (spec, usual)]
    for step in steps:
        trained(step, [0], range(4))
    assert not torch.equal(*(judged(step, [0])[0] for step in steps))


def test_threads_change_no_bit_of_what_is_dropped(make_spec: MakeSpec) -> None:
    specs = specs_of(make_spec, "dropout, windows", "native", MODELS)
    found = [trained(EngineStep(specs, threads=threads), list(range(MODELS)), range(5)) for threads in (1, 3)]
    assert torch.equal(*found)
