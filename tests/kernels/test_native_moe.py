"""The native mixture of experts against its definition, on every instruction set of this machine."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import reference
from isoflop.kernels.native import moe
from isoflop.kernels.native.call import use
from isoflop.kernels.native.moe_routing import route
from isoflop.kernels.signatures import ACTIVATIONS, GATED
from proof.native import Tensors, assert_native, by_instruction_set

APART = 0.02
"""Between the probabilities of two experts of a row: rounding them to bfloat16 must not change who is chosen."""
SHARED = ("shared_in", "shared_out", "shared_b_in", "shared_b_out")
BIASES = ("b_in", "b_out", "shared_b_in", "shared_b_out")


def inputs(
    models: int, rows: int, width: int, deep: int, experts: int, *, kind: str = "gelu", shared: int = 2,
    without: tuple[str, ...] = (),
) -> Tensors:  # fmt: skip
    """Rows that no rounding sends to another expert: of many drawn, those whose probabilities all lie apart."""
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(width + rows + experts))
    wide = deep * (2 if kind in GATED else 1)
    router = draw(models, experts, width) / width**0.5
    many = draw(models, 200 * rows, width)
    sorted_ = (many @ router.mT).softmax(-1).sort(-1).values
    apart = (sorted_.diff(dim=-1) > APART / experts).all(-1)
    drawn = {
        "grad_y": draw(models, rows, width),
        "grad_balance": draw(models),
        "x": torch.stack([each[chosen][:rows] for each, chosen in zip(many, apart, strict=True)]),
        "router": router,
        "w_in": draw(models, experts, wide, width) / width**0.5,
        "w_out": draw(models, experts, width, deep) / deep**0.5,
        "b_in": draw(models, experts, wide),
        "b_out": draw(models, experts, width),
        "shared_in": draw(models, shared, wide, width) / width**0.5,
        "shared_out": draw(models, shared, width, deep) / deep**0.5,
        "shared_b_in": draw(models, shared, wide),
        "shared_b_out": draw(models, shared, width),
        "residual": draw(models, rows, width),
    }
    return {name: None if name in without else each for name, each in drawn.items()}


def assert_right(given: Tensors, instruction_set: str, **settings: Any) -> None:
    scale = torch.tensor([1.5, 0.75]).double()[: len(given["x"])] if given["x"] is not None else None

    def by_native(grad_y: Tensor, grad_balance: Tensor, **tensors: Tensor | None) -> dict[str, Tensor]:
        made = moe.forward(**tensors, scale=scale, **settings)
        taken = {name: each for name, each in tensors.items() if name != "residual"}
        kept = {name: value for name, value in settings.items() if name in ("kind", "renormalise")}
        grads = moe.backward(grad_y, **taken, scale=scale, dbalance=grad_balance, mixture=made, **kept)
        found = {f"d{name}": getattr(grads, f"d{name}") for name in taken}
        named = {"y": made.y, "balance": made.routing.balance} | found
        residual = {} if tensors["residual"] is None else {"dresidual": grad_y}
        return {name: value for name, value in named.items() if value is not None} | residual

    def by_definition(**tensors: Tensor | None) -> dict[str, Tensor]:
        y, balance, _ = reference.on_models(partial(reference.moe, **settings))(**tensors, scale=scale)
        return {"y": y, "balance": balance.to(y.dtype)}  # in float32 at least

    assert_native(by_native, by_definition, given, instruction_set)


@by_instruction_set
@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("renormalise", [False, True])
def test_every_form_of_mixture_matches_its_definition(instruction_set: str, kind: str, renormalise: bool) -> None:
    given = inputs(2, 37, 20, 35, 5, kind=kind)
    assert_right(given, instruction_set, kind=kind, top_k=2, renormalise=renormalise)


@by_instruction_set
@pytest.mark.parametrize("factor", [0.3, 1.0, 1.5])
def test_choices_beyond_a_capacity_are_dropped(instruction_set: str, factor: float) -> None:
    assert_right(inputs(2, 41, 16, 24, 4), instruction_set, kind="gelu", top_k=2, capacity_factor=factor)


@by_instruction_set
@pytest.mark.parametrize("without", [BIASES, SHARED, (*SHARED, *BIASES, "residual")], ids=str)
def test_biases_shared_experts_and_the_residual_may_be_absent(instruction_set: str, without: tuple[str, ...]) -> None:
    given = inputs(1, 19, 20, 35, 3, kind="swiglu", without=without)
    assert_right(given, instruction_set, kind="swiglu", top_k=1)


@by_instruction_set
@pytest.mark.parametrize(
    ("rows", "width", "deep", "experts", "top_k"), [(7, 1, 1, 1, 1), (3, 48, 40, 9, 9), (300, 33, 140, 17, 3)]
)
def test_rows_experts_and_columns_beyond_a_tile(
    instruction_set: str, rows: int, width: int, deep: int, experts: int, top_k: int
) -> None:
    assert_right(inputs(1, rows, width, deep, experts, shared=1), instruction_set, kind="gelu", top_k=top_k)


@by_instruction_set
def test_experts_without_a_row_have_no_gradient(instruction_set: str) -> None:
    given = inputs(1, 8, 16, 16, 4, without=(*SHARED, "residual"))
    dy, x, router = given["grad_y"], given["x"], given["router"]
    assert dy is not None
    assert x is not None
    assert router is not None
    router[:, 1:] = 0
    tensors = {name: given[name] for name in ("w_in", "w_out", "b_in", "b_out")}
    with use(instruction_set=instruction_set):
        made = moe.forward(x.abs(), router.abs(), **tensors, kind="gelu", top_k=1)
        dirty = moe.backward(dy, x.abs(), router.abs(), **tensors, mixture=made, kind="gelu")
        for each in dirty[1:5]:
            each.fill_(torch.nan)
        grads = moe.backward(dy, x.abs(), router.abs(), **tensors, mixture=made, kind="gelu", out=dirty)
    assert made.routing.totals.tolist() == [[8, 0, 0, 0]]
    for name in tensors:
        value = getattr(grads, f"d{name}")
        assert value[:, 0].abs().sum() > 0
        assert not value[:, 1:].any()


def test_slots_hold_the_rows_of_each_expert_in_their_order() -> None:
    x, router = torch.randn(2, 50, 8), torch.randn(2, 6, 8)
    made = route(x, router, top_k=3, capacity_factor=0.8)
    gates, balance, dropped = reference.on_models(partial(reference.moe_route, top_k=3, capacity_factor=0.8))(x, router)
    torch.testing.assert_close(made.balance, balance)
    assert torch.equal(made.dropped, dropped)
    for model in range(2):
        kept = gates[model] > 0
        assert made.starts[model].diff().tolist() == kept.sum(0).tolist()
        for expert, (start, end) in enumerate(made.starts[model].unfold(0, 2, 1).tolist()):
            choices = made.routes[model, start:end]
            assert (choices // 3).tolist() == kept[:, expert].nonzero().flatten().tolist()
            assert set(made.chosen[model].flatten()[choices].tolist()) <= {expert}
            assert made.slots[model].flatten()[choices].tolist() == list(range(start, end))


def test_rows_that_are_no_numbers_go_somewhere() -> None:
    x = torch.full((1, 5, 8), torch.nan)
    made = route(x, torch.randn(1, 4, 8), top_k=3)
    assert made.totals.sum() == 15
    assert made.chosen.sort(-1).values.diff(dim=-1).min() > 0
    assert made.balance.isnan().all()


def test_of_equal_experts_the_first_are_chosen() -> None:
    made = route(torch.ones(1, 3, 4), torch.ones(1, 5, 4), top_k=2)
    assert made.chosen.tolist() == [[[0, 1]] * 3]


def test_what_a_mixture_cannot_take_is_refused_in_words() -> None:
    given = inputs(1, 3, 4, 5, 2, without=("grad_y", "grad_balance"))
    tensors = {name: each for name, each in given.items() if not name.startswith("grad")}
    with pytest.raises(KernelError, match="top_k is 3; it must be from 1 to the 2 experts"):
        moe.forward(**tensors, kind="gelu", top_k=3)
    with pytest.raises(KernelError, match="moe: w_in has 5 rows an expert; swiglu with d_ff 5 takes 10"):
        moe.forward(**tensors, kind="swiglu", top_k=1)
    with pytest.raises(KernelError, match="neither goes without the other"):
        moe.forward(**tensors | {"shared_out": None, "shared_b_out": None}, kind="gelu", top_k=1)
    with pytest.raises(KernelError, match="there is no activation 'gelo'"):
        moe.forward(**tensors, kind="gelo", top_k=1)
