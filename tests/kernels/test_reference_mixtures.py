"""The definition of a mixture of experts, held against its formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import reference as ops


@pytest.fixture
def randn() -> Callable[..., Tensor]:
    return partial(torch.randn, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_a_mixture_adds_up_its_gated_experts(randn: Callable[..., Tensor]) -> None:
    x, router, w_in, w_out = randn(2, 3, 4), randn(5, 4), randn(5, 6, 4), randn(5, 4, 6)
    y, balance, dropped = ops.moe(x, router, w_in, w_out, kind="gelu", top_k=2, renormalise=True)
    p = (x.view(6, 4) @ router.T).softmax(-1)
    shares = torch.zeros(5).double()
    for row, likely in enumerate(p):
        first, second = sorted(range(5), key=lambda e: -float(likely[e]))[:2]
        expert = [ops.mlp(x.view(6, 4)[row], w_in[e], None, w_out[e], None, kind="gelu") for e in (first, second)]
        mass = likely[first] + likely[second]
        assert_close(y.view(6, 4)[row], (likely[first] * expert[0] + likely[second] * expert[1]) / mass)
        shares[[first, second]] += 1 / 12
    assert_close(balance, 5 * (shares * p.mean(0)).sum())
    assert int(dropped) == 0


def test_the_balance_of_even_experts_is_one_and_of_a_single_favourite_their_number() -> None:
    x, even = torch.eye(4).double(), torch.zeros(4, 4).double()
    assert_close(ops.moe_route(x, 1e3 * x, top_k=1)[1], torch.tensor(1.0).double())
    assert_close(ops.moe_route(x, even, top_k=4)[1], torch.tensor(1.0).double())
    favourite = torch.cat((torch.full((1, 4), 1e3), torch.zeros(3, 4))).double()
    assert_close(ops.moe_route(x, favourite, top_k=1)[1], torch.tensor(4.0).double())


def test_earlier_rows_fill_an_expert_and_later_ones_are_dropped() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    gates, _, dropped = ops.moe_route(x, 10 * torch.eye(2), top_k=1, capacity_factor=1.0)
    assert (gates > 0).tolist() == [[True, False], [False, True], [True, False], [False, False]]
    assert int(dropped) == 1


@pytest.mark.parametrize(
    ("top_k", "factor", "message"),
    [(0, None, "top_k is 0; it must be from 1 to the 2 experts"), (3, 1.0, "top_k is 3"), (1, 0.0, "must be above 0")],
)
def test_settings_of_a_mixture_out_of_range_are_refused(top_k: int, factor: float | None, message: str) -> None:
    with pytest.raises(KernelError, match=message):
        ops.moe_route(torch.ones(3, 4), torch.ones(2, 4), top_k=top_k, capacity_factor=factor)


@pytest.mark.parametrize("kind", ["gelu", "relu2", "swiglu"])
def test_shared_experts_are_one_mlp_of_their_hidden_columns_side_by_side(
    randn: Callable[..., Tensor], kind: str
) -> None:
    """Beside the router's, experts that every row passes (n_shared_expert of a shape) need no op of their own."""
    x, halves = randn(5, 4), 2 if kind == "swiglu" else 1
    w_in, w_out = randn(3, halves, 6, 4), randn(3, 4, 6)
    each = [ops.mlp(x, w_in[e].flatten(0, 1), None, w_out[e], None, kind=kind) for e in range(3)]
    beside, below = w_in.transpose(0, 1).flatten(0, 2), w_out.transpose(0, 1).flatten(1)
    assert_close(ops.mlp(x, beside, None, below, None, kind=kind), sum(each, torch.zeros_like(x)))
