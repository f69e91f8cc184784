"""Adafactor's kernels against its definition, in the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from triton.runtime.interpreter import GridExecutor

from isoflop.kernels.adafactor import Adafactor
from isoflop.train.adafactor import adafactor
from proof.accuracy import assert_accurate
from proof.graph_safety import graph_safe
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.tiles import tiles

make_bfloat16_honest()

SIZES = [(70, 33), (5,), (2, 9, 64), (1, 130)]
"""Of a matrix of several tiles each way, a vector, a stack, and of one row."""
RATE, DECAY, CLIPPED, STEP = [0.5, 0.02], [0.1, 0.0], [1.0, 0.3], 7
FACTORS = [[[1.0, 0.5], [1.0, 2.0]], [[2.0, 1.0], [0.0, 0.0]], [[0.25, 1.0], [4.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]]


@pytest.fixture(autouse=True)
def small_tiles() -> Iterator[None]:
    with tiles(adamw={"block": 1024}):
        yield


class State(NamedTuple):
    """Of two models: parameters, gradients, and moments of rows and columns."""

    params: list[Tensor]
    grads: list[Tensor]
    rows: list[Tensor]
    columns: list[Tensor | None]

    def of(self, models: slice) -> State:
        return State(*([each if each is None else fenced(each[models]) for each in kind] for kind in self))


def state(dtype: torch.dtype) -> State:
    """With gradients of one matrix so small that the product of two of its moments is 0 in float32."""
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    grads = [draw(2, *size) for size in SIZES]
    grads[0] *= 1e-12
    rows = [draw(2, *(size if len(size) == 1 else size[:-1])).square() for size in SIZES]
    columns = [None if len(size) == 1 else draw(2, *size[:-2], size[-1]).square() for size in SIZES]
    for kind in (rows, columns):
        kind[0] = kind[0] * 1e-24
    return State([draw(2, *size).to(dtype) for size in SIZES], [each.to(dtype) for each in grads], rows, columns)


def optimizer(held: State, models: slice = slice(None), master: list[Tensor] | None = None) -> Adafactor:
    rate, decay = (torch.tensor(each[models], dtype=torch.float64) for each in (RATE, DECAY))
    factors = torch.tensor(FACTORS)[:, :, models].contiguous()
    step, clipped = torch.full((len(rate),), STEP), torch.tensor(CLIPPED[models])
    return Adafactor(*held, rate=rate, decay=decay, factors=factors, step=step, clipped=clipped, master=master)


def moved(held: State, models: slice = slice(None), master: list[Tensor] | None = None) -> State:
    with fenced_empties():
        optimizer(held, models, master).update()
    return held


def defined(given: State, dtype: torch.dtype) -> State:
    """As the definition moves each tensor of each model."""
    made = State(*([None if each is None else each.to(dtype) for each in kind] for kind in given))
    for (rates, decays), *kinds in zip(FACTORS, *made, strict=True):
        for k in range(2):
            param, grad, row, column = (None if each is None else each[k] for each in kinds)
            old = (row,) if column is None else (row[..., None], column[..., None, :])
            [value], [new] = adafactor(
                [param], [grad * CLIPPED[k]], [old], decayed=[True], step=STEP, lr=RATE[k] * rates[k],
                weight_decay=DECAY[k] * decays[k],
            )  # fmt: skip
            for into, each in zip((param, *old), (value, *new), strict=True):
                into.copy_(each)
    return made


def test_tensors_of_all_sizes_move_as_the_definition_says_for_every_model() -> None:
    given = state(torch.float32)
    actual, plain, exact = moved(given.of(slice(None))), defined(given, torch.float32), defined(given, torch.float64)
    for kind in ("params", "rows", "columns"):
        for index, found in enumerate(getattr(actual, kind)):
            if found is not None:
                assert_accurate(f"{kind} {index}", found, getattr(plain, kind)[index], getattr(exact, kind)[index])


def test_a_master_is_updated_and_parameters_are_its_rounded_copy() -> None:
    given = state(torch.bfloat16)
    master = [fenced(each.float()) for each in given.params]
    actual = moved(given.of(slice(None)), master=master)
    plain, exact = (defined(given, dtype) for dtype in (torch.float32, torch.float64))
    for found, of_plain, of_exact, rounded in zip(master, plain.params, exact.params, actual.params, strict=True):
        assert_accurate("master", found, of_plain, of_exact)
        assert torch.equal(rounded, found.bfloat16())


def test_models_in_one_launch_and_programs_in_any_order_give_the_same_bits() -> None:
    given = state(torch.bfloat16)
    together = moved(given.of(slice(None)))
    with order(list(ORDERS)[-1]):
        alone = moved(given.of(slice(1, 2)), slice(1, 2))
    for found, expected in zip(alone, together, strict=True):
        assert all(one is two is None or torch.equal(one, two[1:]) for one, two in zip(found, expected, strict=True))


def test_six_launches_move_any_number_of_tensors_and_allocate_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []
    launch = GridExecutor.__call__

    def noting(grid: Any, *given: Any, **settings: Any) -> None:
        launched.append(grid.fn.__name__)
        launch(grid, *given, **settings)

    made = optimizer(state(torch.float32))
    monkeypatch.setattr(GridExecutor, "__call__", noting)
    with graph_safe():
        made.update()
    assert len(launched) == 6
