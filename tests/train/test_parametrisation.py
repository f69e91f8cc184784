"""muP is the standard parametrisation at its base width, and keeps the sizes of what it should at all others."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from isoflop import Shape
from isoflop.errors import SpecError
from isoflop.kernels.parameter_kinds import kind_of
from isoflop.train.architectures import build_model
from isoflop.train.language_model import LanguageModel
from isoflop.train.optimizers import optimizer_of
from isoflop.train.parametrisation import PARAMETRISATIONS, STANDARD, Parametrisation

MUP = Parametrisation("mup", base_width=32)
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "decoder": {},
    "untied experts": {"tied_embeddings": False, "n_expert": 3, "top_k": 2, "n_shared_expert": 1},
    "lstm": {"architecture": "lstm"},
}


def model_of(
    width: int, parametrisation: Parametrisation = MUP, heads: int | None = None, **fields: Any
) -> LanguageModel:
    n_head = 1 if "architecture" in fields else heads or width // 16
    shape = Shape(**{"n_layer": 2, "d_model": width, "n_head": n_head, "n_ctx": 16, "n_vocab": 64} | fields)
    return build_model(shape, torch.Generator().manual_seed(0), parametrisation=parametrisation)


def some_tokens() -> torch.Tensor:
    return torch.randint(64, (16, 17), generator=torch.Generator().manual_seed(1))


def trained(model: LanguageModel, steps: int = 3, optimizer: str = "adamw") -> LanguageModel:
    moves = optimizer_of(model, optimizer, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    tokens = some_tokens()
    for _ in range(steps):
        model(tokens[:, :-1], tokens[:, 1:]).backward()
        moves.step()
        moves.zero_grad()
    return model


@pytest.mark.parametrize("fields", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_at_the_base_width_every_parametrisation_trains_alike(fields: dict[str, Any]) -> None:
    base_head = None if "architecture" in fields else 16
    standard = trained(model_of(32, STANDARD, **fields))
    mup = trained(model_of(32, Parametrisation("mup", base_width=32, base_head=base_head), **fields))
    for name, value in standard.named_parameters():
        torch.testing.assert_close(mup.get_parameter(name), value, msg=name)


def test_tables_keep_their_spread_and_logits_begin_smaller_with_width() -> None:
    narrow, wide = model_of(32), model_of(512)
    assert wide.tokens.std().item() == pytest.approx(32**-0.5, rel=0.05)
    assert narrow.tokens.std().item() == pytest.approx(32**-0.5, rel=0.05)
    assert model_of(512, STANDARD).tokens.std().item() == pytest.approx(512**-0.5, rel=0.05)
    matrix = "blocks.0.mlp.fc.weight"
    assert wide.get_parameter(matrix).std().item() == pytest.approx(512**-0.5, rel=0.05)


def test_rates_of_matrices_fall_with_width_and_rate_times_decay_does_not() -> None:
    shape = model_of(128).shape
    for name, rate, decay in (
        ("blocks.0.attention.qkv.weight", 0.25, 4.0),
        ("blocks.1.mlp.routed.fc.weight", 0.25, 4.0),
        ("layers.0.state.weight", 0.25, 4.0),
        ("tokens", 1.0, 1.0),
        ("positions", 1.0, 1.0),
        ("unembed", 1.0, 1.0),
        ("blocks.0.mlp.router", 1.0, 1.0),
        ("norm.gain", 1.0, 0.0),
        ("blocks.0.mlp.routed.fc.bias", 1.0, 0.0),
    ):
        kind = kind_of(name)
        assert (MUP.rate(kind, shape), MUP.decay(kind, shape)) == (rate, decay), name
        assert STANDARD.rate(kind, shape) == 1.0
        if kind != "hidden":
            assert (MUP.rate(kind, shape, "muon"), MUP.decay(kind, shape, "muon")) == (rate, decay), name
    assert (MUP.rate("hidden", shape, "muon"), MUP.decay("hidden", shape, "muon")) == (0.5, 2.0)
    assert MUP.forward("output", shape) == 0.25
    assert STANDARD.forward("output", shape) == 1.0


def test_attention_of_wider_heads_is_scaled_by_their_width() -> None:
    of = Parametrisation("mup", base_width=32, base_head=16)
    shape = Shape(n_layer=1, d_model=128, n_head=2, n_ctx=8, n_vocab=8)
    assert of.attention_scale(shape) == 16**0.5 / 64
    assert of.attention_scale(shape.replace(n_head=8)) == 16**-0.5
    assert MUP.attention_scale(shape) is None


def matrix_change(width: int, parametrisation: Parametrisation) -> float:
    """How far the first step of Muon moves a matrix, in the direction in which that is furthest."""
    before, after = model_of(width, parametrisation), model_of(width, parametrisation)
    name = "blocks.1.mlp.fc.weight"
    moved = trained(after, steps=1, optimizer="muon").get_parameter(name) - before.get_parameter(name)
    return float(torch.linalg.matrix_norm(moved.detach(), 2))


def test_muon_moves_matrices_of_all_widths_as_far_under_mup() -> None:
    assert matrix_change(256, MUP) == pytest.approx(matrix_change(32, MUP), rel=0.25)
    assert matrix_change(256, STANDARD) > 2 * matrix_change(32, STANDARD)


def logit_change(width: int, parametrisation: Parametrisation) -> float:
    """How far the logits of a fixed batch move in three steps, root mean square."""
    tokens = some_tokens()[:, :-1]

    def logits(model: LanguageModel) -> torch.Tensor:
        multiplier = parametrisation.forward("output", model.shape)
        return (model.hidden(tokens) @ model.tokens.T * multiplier).detach()

    before = logits(model_of(width, parametrisation))
    return float((logits(trained(model_of(width, parametrisation))) - before).square().mean().sqrt())


def test_steps_move_the_logits_of_wide_models_alike_under_mup() -> None:
    assert logit_change(1024, MUP) == pytest.approx(logit_change(256, MUP), rel=0.25)
    assert logit_change(1024, STANDARD) > 2 * logit_change(256, STANDARD)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "mpu"}, r"unknown parametrisation 'mpu'\n.*did you mean 'mup'"),
        ({"name": "mup"}, "'mup' needs base_width"),
        ({"base_width": 64}, "base_width = 64; the standard parametrisation has no base"),
        ({"name": "mup", "base_width": 0}, "base_width = 0 must be a positive whole number"),
        ({"name": "mup", "base_width": 64, "base_head": 1.5}, "base_head = 1.5 must be"),
    ],
)
def test_impossible_parametrisations_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Parametrisation(**given)


def test_every_parametrisation_says_what_it_does_with_every_kind() -> None:
    kinds = set(PARAMETRISATIONS["standard"])
    assert all(set(table) == kinds for table in PARAMETRISATIONS.values())
