"""The native linear layer against its definition, on every instruction set of this machine."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from isoflop import _core
from isoflop.errors import KernelError
from isoflop.kernels import reference
from isoflop.kernels.native import linear
from isoflop.kernels.native.call import PRODUCTS, use
from proof.native import Tensors, assert_native, by_instruction_set

EDGES = [
    (1, 1, 1), (3, 5, 7), (14, 16, 16), (15, 17, 33), (32, 32, 32), (33, 31, 65), (40, 48, 16), (300, 20, 130),
    (600, 48, 16), (530, 65, 96),
]  # fmt: skip


def inputs(models: int, rows: int, inner: int, width: int, *, bias: bool = True, residual: bool = True) -> Tensors:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(rows + inner))
    return {
        "grad_y": draw(models, rows, width),
        "x": draw(models, rows, inner),
        "weight": draw(models, width, inner) / inner**0.5,
        "bias": draw(models, width) if bias else None,
        "residual": draw(models, rows, width) if residual else None,
    }


def by_native(
    grad_y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None
) -> dict[str, Tensor]:
    y = linear.forward(x, weight, bias, residual)
    made = linear.backward(grad_y, x, weight, has_bias=bias is not None)
    named = {"y": y} | made._asdict() | {"dresidual": None if residual is None else grad_y}
    return {name: value for name, value in named.items() if value is not None}


def by_definition(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None) -> dict[str, Tensor]:
    return {"y": reference.on_models(reference.linear)(x, weight, bias, residual)}


@by_instruction_set
@pytest.mark.parametrize(("rows", "inner", "width"), EDGES)
def test_linear_and_its_gradients_match_the_definition(instruction_set: str, rows: int, inner: int, width: int) -> None:
    assert_native(by_native, by_definition, inputs(2, rows, inner, width), instruction_set)


@by_instruction_set
def test_sums_of_thousands_of_products_lose_no_more_digits_than_torchs(instruction_set: str) -> None:
    assert_native(by_native, by_definition, inputs(1, 2080, 2080, 40), instruction_set)


@by_instruction_set
@pytest.mark.parametrize("absent", ["bias", "residual"])
def test_bias_and_residual_may_be_absent(instruction_set: str, absent: str) -> None:
    assert_native(by_native, by_definition, inputs(1, 19, 20, 35, **{absent: False}), instruction_set)


def test_the_result_may_take_the_place_of_the_residual() -> None:
    given = inputs(2, 19, 20, 35)
    x, weight, bias, residual = (given[name] for name in ("x", "weight", "bias", "residual"))
    apart = linear.forward(x, weight, bias, residual)
    held = residual.clone()
    assert linear.forward(x, weight, bias, held, out=held) is held
    torch.testing.assert_close(held, apart)


@pytest.mark.parametrize("products", PRODUCTS)
def test_instruction_sets_differ_by_the_order_of_sums_alone(products: str) -> None:
    given, results = inputs(1, 33, 65, 48), []
    for instruction_set in _core.usable_isas():
        with use(instruction_set=instruction_set, products=products):
            results.append(by_native(**given))
    for name, first in results[0].items():
        for other in results[1:]:
            torch.testing.assert_close(other[name], first, rtol=0, atol=4e-6 * float(first.abs().max()), msg=name)


def test_products_of_rounded_operands_are_those_of_bfloat16_tensors() -> None:
    given = inputs(1, 33, 65, 48, bias=False, residual=False)
    x, weight = (given[name].bfloat16().double() for name in ("x", "weight"))
    for instruction_set in _core.usable_isas():
        with use(instruction_set=instruction_set, products="bfloat16"):
            y = linear.forward(given["x"], given["weight"])
        torch.testing.assert_close(y.double(), x @ weight.mT, rtol=0, atol=4e-6)


def test_tensors_of_another_dtype_are_refused() -> None:
    x = torch.zeros(1, 2, 3, dtype=torch.bfloat16)
    with pytest.raises(KernelError, match="float32 tensors on the host, not bfloat16"):
        linear.forward(x, torch.zeros(1, 4, 3, dtype=torch.bfloat16))
