"""Muon and Adafactor of the CPU against their definitions in float64, on every instruction set."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop import _core
from isoflop.errors import KernelError
from isoflop.kernels import reference
from isoflop.kernels.native import adafactor, adamw, muon
from isoflop.kernels.native.call import use
from isoflop.train.adafactor import adafactor as define_adafactor

SIZES = [(1, 1), (1, 9), (3, 17), (17, 3), (40, 16), (33, 65), (96, 32)]
HYPER = torch.tensor([[0.1, 0.9, 0.95, 1e-8, 0.1, 1.0], [0.02, 0.8, 0.999, 1e-6, 0.0, math.inf]]).double()
FACTORS = torch.tensor([[0.5, 2.0], [1.0, 1.0]]).double()
STEP = torch.tensor([0, 7])
isas = pytest.mark.parametrize("isa", _core.usable_isas())


def draw(*sizes: int, slots: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(math.prod(sizes))
    grads = torch.randn(2, slots, math.prod(sizes), generator=generator)
    return {"params": torch.randn(2, *sizes, generator=generator), "grads": grads}


def numbers(grads: Tensor) -> dict[str, Tensor]:
    return {"squares": adamw.squares(grads)[:, None], "hyper": HYPER, "factors": FACTORS}


def clipped(held: dict[str, Tensor], model: int) -> Tensor:
    whole = held["grads"][model].double().sum(0)
    return (whole * (HYPER[model, 5] / whole.norm()).clamp(max=1.0)).view_as(held["params"][model])


def own_rates(model: int) -> dict[str, float]:
    lr, decay = HYPER[model, 0] * FACTORS[model, 0], HYPER[model, 4] * FACTORS[model, 1]
    return {"lr": float(lr), "weight_decay": float(decay)}


def assert_near(made: Tensor, exact: Tensor, before: Tensor, bound: float) -> None:
    """Within a share of the largest change."""
    assert float((made.double() - exact).abs().max()) <= bound * float((exact - before.double()).abs().max()) + 1e-7


@pytest.mark.parametrize("size", SIZES, ids=str)
@isas
def test_a_step_of_muon_is_that_of_the_definition(size: tuple[int, int], isa: str) -> None:
    held, first = draw(*size), torch.randn(2, *size, generator=torch.Generator().manual_seed(1))
    before, momentum = held["params"].clone(), first.clone()
    with use(instruction_set=isa):
        muon.update(first=first, momentum=0.95, size=0.3, **held, **numbers(held["grads"]))
    for model in range(2):
        rates = own_rates(model)
        [params], [exact] = reference.muon(
            [before[model].double()], [clipped(held, model)], [momentum[model].double()], momentum=0.95, scaled=False,
            lr=0.3 * rates["lr"], weight_decay=rates["weight_decay"] / 0.3,
        )  # fmt: skip
        assert_near(first[model], exact, momentum[model], 1e-5)
        assert_near(held["params"][model], params, before[model], 2e-3)


@pytest.mark.parametrize("size", [*SIZES, (1,), (16,), (77,)], ids=str)
@isas
def test_a_step_of_adafactor_is_that_of_the_definition(size: tuple[int, ...], isa: str) -> None:
    held, before = draw(*size), draw(*size)["params"]
    row, column = torch.rand(2, size[0]), torch.rand(2, *size[1:]) if len(size) > 1 else None
    old = [row.clone(), None if column is None else column.clone()]
    with use(instruction_set=isa):
        adafactor.update(row=row, column=column, step=STEP, **held, **numbers(held["grads"]))
    for model in range(2):
        moments = [each[model].double() for each in old if each is not None]
        given = tuple(moments) if len(size) == 1 else (moments[0][:, None], moments[1][None])
        [params], [made] = define_adafactor(
            [before[model].double()], [clipped(held, model)], [given], decayed=[True], step=int(STEP[model]) + 1,
            **own_rates(model),
        )  # fmt: skip
        for moment, exact in zip((row, column), made, strict=False):
            assert moment is not None
            torch.testing.assert_close(moment[model].double(), exact.flatten(), rtol=1e-5, atol=0)
        assert_near(held["params"][model], params, before[model], 1e-5)


@isas
def test_muon_with_bfloat16_products_turns_nearly_as_with_float32(isa: str) -> None:
    made = []
    for products in ("float32", "bfloat16"):
        held = draw(48, 32)
        first = torch.zeros_like(held["params"])
        with use(instruction_set=isa, products=products):
            muon.update(first=first, momentum=0.95, size=1.0, **held, **numbers(held["grads"]))
        made.append(held["params"])
    change = (made[0] - draw(48, 32)["params"]).norm()
    assert 0 < float((made[1] - made[0]).norm()) < 0.05 * float(change)


def test_tensors_that_do_not_go_together_are_refused_in_words() -> None:
    held: dict[str, Any] = draw(4, 3) | numbers(draw(4, 3)["grads"])
    with pytest.raises(KernelError, match=r"muon: first is \(2, 3, 4\); needed: \(2, 4, 3\)"):
        muon.update(first=torch.zeros(2, 3, 4), momentum=0.9, size=1.0, **held)
    with pytest.raises(KernelError, match=r"adafactor: column is \(2, 4\); needed: \(2, 3\)"):
        adafactor.update(row=torch.zeros(2, 4), column=torch.zeros(2, 4), step=STEP, **held)
    with pytest.raises(KernelError, match="a matrix has moments of columns, no vector has"):
        adafactor.update(row=torch.zeros(2, 4), column=None, step=STEP, **held)
