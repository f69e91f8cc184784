"""Every shape that is trained has a model of exactly its parameters, which sees no later token."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from isoflop import Shape
from isoflop.errors import ShapeError, SpecError
from isoflop.kernels import reference as ops
from isoflop.train.architectures import build_model
from isoflop.train.drops import Drops
from isoflop.train.language_model import LanguageModel
from isoflop.train.layers import Experts
from isoflop.train.lstm import LSTM
from isoflop.train.model import Transformer

BASE: dict[str, Any] = {"n_layer": 3, "d_model": 24, "n_head": 4, "n_ctx": 10, "n_vocab": 31}
EXPERTS: dict[str, Any] = {"n_expert": 4, "top_k": 2}
MODERN: dict[str, Any] = {"norm": "rms", "activation": "swiglu", "position": "rope", "bias": False, "n_kv_head": 2}
SHAPES: dict[str, dict[str, Any]] = {
    "window": {"window": 3},
    "window and global layers": {"window": 3, "global_every": 2},
    "experts": EXPERTS,
    "experts without biases": EXPERTS | MODERN,
    "shared experts": EXPERTS | {"n_shared_expert": 2, "d_expert": 7},
    "dense first layers": EXPERTS | {"n_dense_layer": 1, "d_expert": 7, "activation": "swiglu"},
    "capacity": EXPERTS | {"capacity_factor": 1.25},
    "one expert a token": {"n_expert": 3, "top_k": 1, "tied_embeddings": False},
    "universal": {"architecture": "universal", "n_recurrence": 3},
    "universal with a window": {"architecture": "universal", "n_recurrence": 2, "window": 4, **MODERN},
    "universal with experts": {"architecture": "universal", "n_recurrence": 2, **EXPERTS},
    "lstm": {"architecture": "lstm", "n_head": 1},
    "lstm without biases": {"architecture": "lstm", "n_head": 1, "bias": False, "tied_embeddings": False},
}
shapes = pytest.mark.parametrize("fields", SHAPES.values(), ids=SHAPES)


def build(fields: dict[str, Any], **settings: Any) -> LanguageModel:
    return build_model(Shape(**BASE | fields), torch.Generator().manual_seed(0), **settings)


def some_tokens(*sizes: int) -> torch.Tensor:
    return torch.randint(31, sizes, generator=torch.Generator().manual_seed(1))


@shapes
def test_parameters_number_n_params(fields: dict[str, Any]) -> None:
    model = build(fields)
    assert sum(parameter.numel() for parameter in model.parameters()) == model.shape.n_params
    tables = {"tokens", "positions", "unembed"}
    inner = sum(value.numel() for name, value in model.named_parameters() if name not in tables)
    assert inner == model.shape.n_nonembedding


@shapes
def test_later_tokens_leave_earlier_positions_unchanged(fields: dict[str, Any]) -> None:
    model = build(fields)
    tokens = torch.arange(10)[None] % 31
    changed = tokens.clone()
    changed[0, 6:] += 1
    before, after = model.hidden(tokens), model.hidden(changed)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


@shapes
def test_every_parameter_is_drawn_and_trained(fields: dict[str, Any]) -> None:
    model = build(fields)
    tokens = some_tokens(8, 11)
    loss, entropy = model.objective(tokens[:, :-1], tokens[:, 1:], balance_loss=0.01)
    loss.backward()
    assert entropy.item() == pytest.approx(math.log(31), rel=0.3)
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_local_layer_sees_its_window_and_every_nth_layer_sees_all() -> None:
    tokens = some_tokens(1, 10)
    changed = tokens.clone()
    changed[0, 0] = (changed[0, 0] + 1) % 31
    local, mixed = (build({"n_layer": 2, "window": 3} | more) for more in ({}, {"global_every": 2}))
    reach = 1 + 2 * (3 - 1)
    apart = (local.hidden(tokens) - local.hidden(changed)).abs().sum(-1)[0]
    assert (apart[:reach] > 0).all()
    assert (apart[reach:] == 0).all()
    assert ((mixed.hidden(tokens) - mixed.hidden(changed)).abs().sum(-1)[0] > 0).all()


@pytest.mark.parametrize("more", [{}, {"capacity_factor": 0.5}, {"top_k": 1}], ids=str)
def test_experts_without_biases_are_the_op_of_experts(more: dict[str, Any]) -> None:
    model = build(EXPERTS | MODERN | more)
    experts = model.blocks[0].mlp  # type: ignore[union-attr, index]
    assert isinstance(experts, Experts)
    x = torch.randn(2, 10, 24, generator=torch.Generator().manual_seed(1))
    routed = experts.routed
    expected, balance, _ = ops.moe(
        x,
        experts.router,
        routed.fc.weight,
        routed.proj.weight,
        kind="swiglu",
        top_k=experts.top_k,
        capacity_factor=experts.capacity_factor,
    )
    y, found = experts(x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(found, balance)


def test_every_token_meets_every_shared_expert() -> None:
    experts = build(EXPERTS | {"n_shared_expert": 2}).blocks[0].mlp  # type: ignore[union-attr, index]
    assert isinstance(experts, Experts)
    assert experts.shared is not None
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(1))
    with_shared, _ = experts(x)
    shared, experts.shared = experts.shared, None
    torch.testing.assert_close(with_shared, experts(x)[0] + shared(x, 0) + shared(x, 1))


def test_the_objective_has_balance_and_z_loss_beside_the_cross_entropy() -> None:
    model = build(EXPERTS)
    tokens = some_tokens(4, 11)
    x, y = tokens[:, :-1], tokens[:, 1:]
    stream, balances = model.stream(x)
    assert len(balances) == 3
    squares = (stream @ model.tokens.T).logsumexp(-1).square().mean()
    lowered, entropy = model.objective(x, y, z_loss=0.1, balance_loss=0.2)
    torch.testing.assert_close(entropy, model(x, y).detach())
    torch.testing.assert_close(lowered, model(x, y) + 0.1 * squares + 0.2 * torch.stack(balances).sum())
    plain, _ = model.objective(x, y)
    torch.testing.assert_close(plain, model(x, y))


def test_a_universal_transformer_is_its_blocks_over_and_over() -> None:
    once, thrice = build({"n_layer": 1}), build({"n_layer": 1, "architecture": "universal", "n_recurrence": 3})
    thrice.load_state_dict(once.state_dict())
    assert isinstance(once, Transformer)
    tokens = some_tokens(2, 10)
    x = ops.embed(tokens, once.tokens, once.positions)
    for _ in range(3):
        x, _ = once.blocks[0](x)
    torch.testing.assert_close(thrice.hidden(tokens), once.norm(x))


def test_an_lstm_is_the_one_of_its_equations() -> None:
    model = build({"architecture": "lstm", "n_head": 1, "n_layer": 2})
    assert isinstance(model, LSTM)
    x = model.tokens[some_tokens(2, 10)]
    for cell in model.layers:
        state = memory = torch.zeros(2, 24)
        made = []
        for step in range(10):
            gates = x[:, step] @ cell.input.weight.T + cell.input.bias + state @ cell.state.weight.T  # type: ignore[operator, union-attr]
            take, keep, new, give = gates.chunk(4, dim=-1)
            memory = keep.sigmoid() * memory + take.sigmoid() * new.tanh()
            state = give.sigmoid() * memory.tanh()
            made.append(state)
        x = torch.stack(made, 1)
    torch.testing.assert_close(model.hidden(some_tokens(2, 10)), x)


def test_forget_gates_begin_open() -> None:
    model = build({"architecture": "lstm", "n_head": 1})
    bias = model.get_parameter("layers.0.input.bias").detach()
    assert bias.view(4, 24).mean(1).tolist() == [0.0, 1.0, 0.0, 0.0]


@shapes
def test_what_is_dropped_follows_the_seed_the_step_and_the_place_in_the_batch(fields: dict[str, Any]) -> None:
    model, tokens = build(fields), some_tokens(4, 10)
    key = {"rate": 0.3, "seed": 5, "step": 2}
    whole = model.hidden(tokens, Drops(**key))
    torch.testing.assert_close(model.hidden(tokens, Drops(**key)), whole, rtol=0, atol=0)
    for change in ({"seed": 6}, {"step": 3}, {"first": 1}, {"rate": 0.2}):
        assert not torch.allclose(model.hidden(tokens, Drops(**key | change)), whole), change
    if model.shape.capacity_factor is None:  # else which tokens an expert takes depends on the others
        torch.testing.assert_close(model.hidden(tokens[2:], Drops(**key, first=2)), whole[2:])


@pytest.mark.parametrize("fields", [{}, {"window": 3}, {"n_kv_head": 2}], ids=str)
def test_attention_that_drops_almost_nothing_is_attention(fields: dict[str, Any]) -> None:
    model, tokens = build(fields), some_tokens(2, 10)
    torch.testing.assert_close(model.hidden(tokens, Drops(1e-12)), model.hidden(tokens))


def test_dropout_leaves_the_random_numbers_of_torch_alone() -> None:
    model = build({})
    before = torch.random.get_rng_state()
    model.hidden(some_tokens(2, 10), Drops(0.5))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("dropout", [-0.1, 1.0, math.nan])
def test_an_impossible_dropout_is_refused(dropout: float) -> None:
    with pytest.raises(SpecError, match=r"dropout = .* must be a probability"):
        Drops(dropout)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"architecture": "encoder"}, "architecture = 'encoder'"),
        ({"n_predict": 1}, "n_predict = 1"),
        ({"kv_lora_rank": 8, "n_predict": 2}, "kv_lora_rank = 8, n_predict = 2"),
    ],
)
def test_what_is_counted_alone_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ShapeError, match=f"shapes with {named} can be counted, not trained"):
        build(fields)
