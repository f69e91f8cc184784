"""A model in training depends on its spec and its data alone, and goes on from its state bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from isoflop import Shape
from isoflop.train.learner import Learner
from isoflop.train.model import Transformer
from isoflop.train.spec import TrainSpec

MakeSpec = Callable[..., TrainSpec]

SHAPE = Shape(n_layer=1, d_model=16, n_head=2, n_ctx=16, n_vocab=256)
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout": {"dropout": 0.2},
    "adafactor, z-loss, tail": {"optimizer": "adafactor", "z_loss": 1e-3, "averaging": "tail", "averaging_share": 0.5},
    "muon of experts, average": {
        "optimizer": "muon",
        "averaging": "ema",
        "shape": SHAPE.replace(n_expert=3, top_k=2),
    },
    "mup": {"parametrisation": "mup", "base_width": 8, "base_head": 4},
    "lstm": {"shape": Shape(n_layer=1, d_model=16, n_head=1, n_ctx=16, n_vocab=256, architecture="lstm")},
}
settings = pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)


def batch(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randint(256, (8, 17), generator=torch.Generator().manual_seed(index))
    return tokens[:, :-1], tokens[:, 1:]


def trained(learner: Learner, steps: range) -> list[float]:
    return [learner.update(*batch(index), 0.01) for index in steps]


@settings
def test_training_goes_on_from_its_state_bit_for_bit(make_spec: MakeSpec, changes: dict[str, Any]) -> None:
    spec = make_spec(**changes)
    whole, begun, resumed = Learner(spec), Learner(spec), Learner(spec)
    expected = trained(whole, range(6))
    assert trained(begun, range(3)) == expected[:3]
    state = {name: value.clone() for name, value in begun.state().items()}
    trained(begun, range(10, 12))
    resumed.load_state(state)
    assert trained(resumed, range(3, 6)) == expected[3:]
    assert resumed.steps == whole.steps == 6
    for name, value in whole.state().items():
        assert torch.equal(resumed.state()[name], value), name


@settings
def test_a_model_depends_on_no_other(make_spec: MakeSpec, changes: dict[str, Any]) -> None:
    spec = make_spec(**changes)
    alone = trained(Learner(spec), range(4))
    first, second = Learner(spec), Learner(make_spec(**changes, seed=1))
    beside = []
    for index in range(4):
        second.update(*batch(index), 0.01)
        beside.append(first.update(*batch(index), 0.01))
    assert beside == alone


def test_a_spec_that_says_nothing_else_is_trained_by_adamw_on_clipped_gradients(make_spec: MakeSpec) -> None:
    spec = make_spec(grad_clip=0.5)
    model = Transformer(spec.shape, torch.Generator().manual_seed(spec.seed))
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), fused=True)
    expected = []
    for index in range(5):
        loss = model(*batch(index))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        adamw.step()
        adamw.zero_grad()
        expected.append(loss.item())
    assert trained(Learner(spec), range(5)) == expected


def test_gradients_are_clipped_to_their_norm(make_spec: MakeSpec) -> None:
    learner = Learner(make_spec(grad_clip=0.01))
    lowered, _ = learner.losses(*batch(0))
    lowered.backward()
    norm = learner.move(0.0)
    assert norm > 0.01
    moments = [value for name, value in learner.state().items() if name.endswith("exp_avg")]
    clipped = torch.cat([value.flatten() for value in moments]).norm() / (1 - 0.9)
    assert clipped.item() == pytest.approx(0.01, rel=1e-3)


def test_the_loss_told_is_the_cross_entropy_whatever_is_lowered(make_spec: MakeSpec) -> None:
    mixture = SHAPE.replace(n_expert=3, top_k=2)
    plain, more = (Learner(make_spec(shape=mixture, z_loss=z, balance_loss=b)) for z, b in ((0.0, 0.0), (0.1, 0.1)))
    assert plain.update(*batch(0), 0.01) == more.update(*batch(0), 0.01)
    assert plain.update(*batch(1), 0.01) != more.update(*batch(1), 0.01)


def test_a_model_is_judged_with_its_average_weights_and_trained_with_its_own(make_spec: MakeSpec) -> None:
    spec = make_spec(averaging="tail", averaging_share=1.0, dropout=0.5)
    learner, weights = Learner(spec), []
    for index in range(3):
        learner.update(*batch(index), 0.01)
        weights.append(learner.model.tokens.detach().clone())
    with learner.judged():
        torch.testing.assert_close(learner.model.tokens.detach(), torch.stack(weights).mean(0))
    assert torch.equal(learner.model.tokens, weights[-1])
