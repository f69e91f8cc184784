"""The model is the one its shape describes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from isoflop import Shape
from isoflop.train.model import Transformer

BASE: dict[str, Any] = {"n_layer": 2, "d_model": 24, "n_head": 4, "n_ctx": 10, "n_vocab": 31}
ATTENTION: list[dict[str, Any]] = [{}, {"n_kv_head": 2}, {"n_kv_head": 1, "d_head": 10}, {"d_head": 4, "d_ff": 17}]


def model_of(shape: Shape, seed: int = 0) -> Transformer:
    return Transformer(shape, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("attention", ATTENTION, ids=str)
@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("activation", ["gelu", "relu2", "swiglu"])
def test_parameters_number_n_params(attention: dict[str, Any], norm: str, activation: str) -> None:
    for position, bias, tied in product(["learned", "rope", "none"], [True, False], [True, False]):
        options = {"norm": norm, "activation": activation, "position": position, "bias": bias, "tied_embeddings": tied}
        shape = Shape(**BASE | options | attention)
        with torch.device("meta"):
            model = Transformer(shape)
        assert sum(parameter.numel() for parameter in model.parameters()) == shape.n_params, shape
        tables = [model.tokens, model.positions, model.unembed]
        n_embedding = sum(table.numel() for table in tables if table is not None)
        assert shape.n_params - n_embedding == shape.n_nonembedding, shape


@pytest.mark.parametrize("position", ["learned", "rope", "none"])
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_later_tokens_leave_earlier_positions_unchanged(position: str, activation: str) -> None:
    model = model_of(Shape(**BASE | {"position": position, "activation": activation}))
    tokens = torch.arange(10)[None] % 31
    changed = tokens.clone()
    changed[0, 6:] += 1
    before, after = model.hidden(tokens), model.hidden(changed)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("position", ["learned", "rope", "none"])
def test_only_models_with_positions_see_the_order_of_earlier_tokens(position: str) -> None:
    model = model_of(Shape(**BASE | {"n_layer": 1, "position": position}))
    straight, swapped = (model.hidden(torch.tensor([tokens]))[0, 2] for tokens in ([3, 5, 7], [5, 3, 7]))
    assert torch.allclose(straight, swapped, atol=1e-5) == (position == "none")


@pytest.mark.parametrize("d_model", [16, 64, 256])
@pytest.mark.parametrize("tied", [True, False])
def test_logits_start_with_unit_scale_at_every_width(d_model: int, tied: bool) -> None:
    shape = Shape(n_layer=2, d_model=d_model, n_head=2, n_ctx=16, n_vocab=512, tied_embeddings=tied)
    model = model_of(shape)
    hidden = model.hidden(torch.randint(512, (8, 16), generator=torch.Generator().manual_seed(1)))
    logits = hidden @ (model.tokens if model.unembed is None else model.unembed).T
    assert 0.8 < logits.std().item() < 1.25


def test_initial_weights_follow_the_generator() -> None:
    shape = Shape(**BASE)
    first, same, other = model_of(shape, 1), model_of(shape, 1), model_of(shape, 2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    assert not torch.equal(first.tokens, other.tokens)


def test_mean_loss_is_the_mean_of_the_losses() -> None:
    model = model_of(Shape(**BASE))
    tokens = torch.randint(31, (3, 11), generator=torch.Generator().manual_seed(1))
    each = model(tokens[:, :-1], tokens[:, 1:], reduction="none")
    assert each.shape == (3, 10)
    torch.testing.assert_close(model(tokens[:, :-1], tokens[:, 1:]), each.mean())
