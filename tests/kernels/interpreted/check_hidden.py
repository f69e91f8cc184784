"""Activations of hidden columns in memory against their definition, in the interpreter; heads joined and split."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import activation, hidden, reference
from isoflop.kernels.configurations import table
from isoflop.kernels.heads import join_heads, split_heads
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
KINDS = ["gelu", "relu2", "swiglu"]
TILE = table("activation", None)[0]
ROWS, COLUMNS = TILE["rows"], TILE["columns"]
EDGES = [(1, 1), (ROWS - 1, 7), (ROWS, COLUMNS - 1), (ROWS + 1, COLUMNS), (2 * ROWS, COLUMNS + 1)]


def draw(rows: int, deep: int, kind: str, dtype: torch.dtype, models: int = 2) -> tuple[Tensor, Tensor]:
    """z and the gradient of its activation; among them numbers so large that an exponential overflows."""
    generator = torch.Generator().manual_seed(0)
    width = 2 * deep if kind in activation.GATED else deep
    z, da = (torch.randn(models, rows, size, generator=generator) for size in (width, deep))
    z[0, 0, 0] = -100.0
    return fenced(z.to(dtype)), fenced(da.to(dtype))


def run(z: Tensor, da: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    with fenced_empties():
        return hidden.forward(z, kind=kind), hidden.backward(da, z, kind=kind)


def definition(z: Tensor, da: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    leaf = z.clone().requires_grad_()
    a = reference.activation(leaf, kind=kind)
    return a.detach(), torch.autograd.grad(a, leaf, da)[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_activation_is_as_accurate_as_torchs(kind: str, dtype: torch.dtype) -> None:
    for rows, deep in EDGES:
        z, da = draw(rows, deep, kind, dtype)
        plain, exact = definition(z, da, kind), definition(z.double(), da.double(), kind)
        for name, *results in zip(("a", "dz"), run(z, da, kind), plain, exact, strict=True):
            assert_accurate(f"{name} {rows}x{deep}", *results)


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_programs_and_number_of_models_change_no_bit(kind: str) -> None:
    z, da = draw(ROWS + 1, COLUMNS + 1, kind, torch.bfloat16)
    runs = []
    for name in ORDERS:
        with order(name):
            runs.append(run(z, da, kind))
    for k in range(2):
        alone = run(z[k : k + 1].clone(), da[k : k + 1].clone(), kind)
        assert all(torch.equal(one, together[k : k + 1]) for one, together in zip(alone, runs[0], strict=True))
    for other in runs[1:]:
        assert all(torch.equal(*pair) for pair in zip(runs[0], other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_those_of_the_formula(kind: str) -> None:
    z, da = draw(ROWS + 1, 40, kind, torch.float32, models=1)
    forward, backward = hidden.least_bytes(ROWS + 1, 40, 4, kind=kind)
    with counted() as traffic:
        hidden.forward(z, kind=kind)
    assert traffic.read + traffic.written == forward
    with counted() as traffic:
        hidden.backward(da, z, kind=kind)
    assert traffic.read + traffic.written == backward


def test_what_has_no_gate_and_kinds_that_are_not_there_are_refused() -> None:
    with pytest.raises(KernelError, match="swiglu needs gates and values, and x has 3 columns"):
        hidden.forward(torch.ones(1, 2, 3), kind="swiglu")
    with pytest.raises(KernelError, match="x has 6 columns and dy 6, with swiglu"):
        hidden.backward(torch.ones(1, 2, 6), torch.ones(1, 2, 6), kind="swiglu")
    with pytest.raises(KernelError, match=r"no activation 'glu'\n  hint: did you mean"):
        hidden.forward(torch.ones(1, 2, 3), kind="glu")


def test_heads_are_joined_by_position_and_split_again() -> None:
    y = torch.arange(2 * 3 * 4 * 5 * 2.0).view(2, 3, 4, 5, 2)
    rows = join_heads(y)
    assert torch.equal(rows[1, 2 * 5 + 3, 2 * 2 : 3 * 2], y[1, 2, 2, 3])
    assert torch.equal(split_heads(rows, batch=3, heads=4), y)
    assert split_heads(rows, batch=3, heads=4).is_contiguous()
