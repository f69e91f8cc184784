"""Optimizers by name are the published ones, on the parameters that each is for."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from isoflop import Shape
from isoflop.errors import SpecError
from isoflop.kernels import reference as ops
from isoflop.train.adafactor import Adafactor, adafactor, first_moments
from isoflop.train.architectures import build_model
from isoflop.train.language_model import LanguageModel
from isoflop.train.optimizers import OPTIMIZERS, Together, optimizer_of, parameter_groups, set_rate
from isoflop.train.parametrisation import Parametrisation

SHAPE = Shape(n_layer=1, d_model=16, n_head=2, n_ctx=8, n_vocab=32, tied_embeddings=False)
MIXTURE = SHAPE.replace(n_expert=3, top_k=2)
HYPER: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.1}


def model_of(shape: Shape = SHAPE, **settings: Any) -> LanguageModel:
    return build_model(shape, torch.Generator().manual_seed(0), **settings)


def give_gradients(model: LanguageModel, seed: int = 1) -> None:
    tokens = torch.randint(32, (8, 9), generator=torch.Generator().manual_seed(seed))
    model(tokens[:, :-1], tokens[:, 1:]).backward()


def tensors(*sizes: tuple[int, ...], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("shape", [SHAPE, MIXTURE], ids=["dense", "experts"])
def test_every_optimizer_lowers_the_loss_on_a_batch(name: str, shape: Shape) -> None:
    model = model_of(shape)
    optimizer = optimizer_of(model, name, **HYPER)
    tokens = torch.randint(32, (8, 9), generator=torch.Generator().manual_seed(1))
    losses = []
    for _ in range(50):
        loss = model(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_shrinks_matrices_and_tables_and_spares_gains_and_biases(name: str) -> None:
    model = model_of(MIXTURE)
    optimizer = optimizer_of(model, name, lr=0.5, betas=(0.9, 0.95), weight_decay=0.2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter_name, parameter in model.named_parameters():
        left = 1.0 if parameter_name.endswith(("gain", "bias")) else 0.9
        torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, left)), parameter_name


def test_groups_hold_every_parameter_once() -> None:
    model = model_of(MIXTURE)
    grouped = [parameter for group in parameter_groups(model, weight_decay=0.1) for parameter in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, model.parameters()))


def test_groups_have_the_rates_and_the_decay_of_their_parametrisation() -> None:
    model = model_of(SHAPE, parametrisation=Parametrisation("mup", base_width=4))
    optimizer = optimizer_of(model, **HYPER)
    set_rate(optimizer, 0.02)
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    of = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert of["blocks.0.mlp.fc.weight"] == (pytest.approx(0.005), pytest.approx(0.4))
    assert of["tokens"] == of["unembed"] == (0.02, 0.1)
    assert of["norm.gain"] == of["blocks.0.mlp.fc.bias"] == (0.02, 0.0)


def test_an_unknown_optimizer_is_named_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"unknown optimizer 'adam'\n.*did you mean 'adamw'"):
        optimizer_of(model_of(), "adam", **HYPER)


@pytest.mark.parametrize("size", [(5, 7), (9,), (3, 4, 6)], ids=str)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adafactor_with_relative_steps_is_that_of_torch(size: tuple[int, ...], weight_decay: float) -> None:
    [start] = tensors(size, seed=0)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    mine = Adafactor([ours], lr=0.02, weight_decay=weight_decay, relative=True)
    reference = torch.optim.Adafactor([theirs], lr=0.02, weight_decay=weight_decay, foreach=False)
    if len(size) == 3:
        reference = torch.optim.Adafactor(
            [torch.nn.Parameter(matrix.clone()) for matrix in start], lr=0.02, weight_decay=weight_decay, foreach=False
        )
    for step in range(1, 6):
        [grad] = tensors(size, seed=step)
        ours.grad = grad.clone()
        for index, parameter in enumerate(reference.param_groups[0]["params"]):
            parameter.grad = grad[index].clone() if len(size) == 3 else grad.clone()
        mine.step()
        reference.step()
    expected = torch.stack(reference.param_groups[0]["params"]).view(size)
    assert (ours - start).abs().max() > 1e-3
    torch.testing.assert_close(ours.detach(), expected.detach(), rtol=1e-9, atol=1e-12)


def test_the_first_step_of_adafactor_has_the_size_of_the_learning_rate() -> None:
    [param, vector] = tensors((6, 8), (8,), seed=0)
    grads = tensors((6, 8), (8,), seed=1)
    moved, _ = adafactor(
        [param, vector], grads, [first_moments(param), first_moments(vector)], decayed=[False, False], step=1, lr=0.5
    )
    torch.testing.assert_close(moved[1], vector - 0.5 * grads[1].sign())
    change = (param - moved[0]) / 0.5
    assert change.square().mean().sqrt() <= 1 + 1e-12
    square = grads[0].square()
    spread = square.mean(1, keepdim=True) * square.mean(0, keepdim=True) / square.mean()
    unclipped = grads[0] / spread.sqrt()
    torch.testing.assert_close(change, unclipped / max(1.0, unclipped.square().mean().sqrt().item()))


def test_adafactor_remembers_a_row_and_a_column_of_a_matrix() -> None:
    moments = first_moments(torch.zeros(3, 40, 50))
    assert [tuple(moment.shape) for moment in moments] == [(3, 40, 1), (3, 1, 50)]
    assert [tuple(moment.shape) for moment in first_moments(torch.zeros(7))] == [(7,)]


def test_muon_moves_matrices_between_widths_and_adamw_all_else() -> None:
    model = model_of(MIXTURE)
    optimizer = optimizer_of(model, "muon", **HYPER)
    assert isinstance(optimizer, Together)
    muon, adamw = optimizer.optimizers
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    by_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert by_muon == {
        *("blocks.0.attention.qkv.weight", "blocks.0.attention.proj.weight"),
        *("blocks.0.mlp.routed.fc.weight", "blocks.0.mlp.routed.proj.weight"),
    }
    by_adamw = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert by_adamw == set(names.values()) - by_muon
    alone = model_of(MIXTURE)
    plain = optimizer_of(alone, "adamw", **HYPER)
    for seed in (1, 2):
        for each, steps in ((model, optimizer), (alone, plain)):
            give_gradients(each, seed)
            steps.step()
            steps.zero_grad()
        if seed == 1:
            for name in sorted(by_adamw):
                torch.testing.assert_close(model.get_parameter(name), alone.get_parameter(name), rtol=0, atol=0)


def test_muon_is_the_op_with_changes_of_the_size_of_adamws() -> None:
    model = model_of(MIXTURE)
    optimizer = optimizer_of(model, "muon", **HYPER)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    give_gradients(model)
    grads = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    optimizer.step()
    for name in ("blocks.0.attention.qkv.weight", "blocks.0.mlp.routed.fc.weight"):
        was, now = before[name], model.get_parameter(name).detach()
        for index in range(len(was) if was.ndim == 3 else 1):
            matrix, grad = (t[index] if t.ndim == 3 else t for t in (was, grads[name]))
            turned = ops.orthogonalise(grad + 0.95 * grad)
            expected = (1 - 0.01 * 0.1) * matrix - 0.01 * 0.2 * max(matrix.shape) ** 0.5 * turned
            torch.testing.assert_close(now[index] if was.ndim == 3 else now, expected)
        change = ((1 - 0.001) * was - now) / 0.01
        assert 0.1 < change.square().mean().sqrt().item() < 0.3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_from_its_state(name: str) -> None:
    model = model_of()
    optimizer = optimizer_of(model, name, **HYPER)
    give_gradients(model, 1)
    optimizer.step()
    optimizer.zero_grad()
    again = model_of()
    again.load_state_dict(model.state_dict())
    resumed = optimizer_of(again, name, **HYPER)
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))
    for each, steps in ((model, optimizer), (again, resumed)):
        give_gradients(each, 2)
        steps.step()
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())
