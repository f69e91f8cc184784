"""The kernels of a linear layer against their definition, in the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import linear, linear_backward, reference
from isoflop.kernels.configurations import table
from isoflop.kernels.dispatch import last_dispatch
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.tiles import tiles
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SMALL = {"rows": 16, "columns": 32, "depth": 16}
MANY = linear_backward.STEPS * SMALL["depth"] + 1  # rows that two programs share out


@pytest.fixture(autouse=True)
def small_tiles() -> Iterator[None]:
    with tiles(linear=SMALL, linear_weight=SMALL):
        yield


class Inputs(NamedTuple):
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    residual: Tensor | None
    dy: Tensor

    def of(self, models: slice) -> Inputs:
        return Inputs(*(None if each is None else each[models] for each in self))


def inputs(
    models: int, rows: int, inner: int, width: int, dtype: torch.dtype, *, bias: bool = True, residual: bool = True,
    turned: bool = False,
) -> Inputs:  # fmt: skip
    draw = partial(torch.randn, models, generator=torch.Generator().manual_seed(rows + inner + width))
    drawn = [draw(rows, inner), draw(width, inner), draw(width), draw(rows, width), draw(rows, width)]
    if turned:
        drawn[1] = drawn[1].mT
    x, weight, shift, stream, dy = (fenced(each.to(dtype)) for each in drawn)
    if turned:
        weight = weight.mT
    return Inputs(x, weight, shift if bias else None, stream if residual else None, dy)


def by_kernels(given: Inputs) -> dict[str, Tensor]:
    x, weight, bias, residual, dy = given
    with fenced_empties():
        y = linear.forward(x, weight, bias, residual)
        dx, dweight, dbias, *_ = linear_backward.backward(dy, x, weight, has_bias=bias is not None)
    named = {"y": y, "dx": dx, "dweight": dweight, "dbias": dbias}
    return {name: value for name, value in named.items() if value is not None}


def by_definition(given: Inputs, dtype: torch.dtype) -> dict[str, Tensor]:
    x, weight, bias, residual, dy = (
        None if each is None else each.detach().to(dtype).requires_grad_() for each in given
    )
    assert x is not None
    assert weight is not None
    y = reference.on_models(reference.linear)(x, weight, bias, residual)
    y.backward(dy)
    named = {"y": y, "dx": x.grad, "dweight": weight.grad, "dbias": None if bias is None else bias.grad}
    return {name: value.detach() for name, value in named.items() if value is not None}


def assert_right(given: Inputs) -> None:
    actual, plain = by_kernels(given), by_definition(given, given.x.dtype)
    exact = by_definition(given, torch.float64)
    assert actual.keys() == exact.keys()
    for name, value in actual.items():
        assert_accurate(name, value, plain[name], exact[name])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_every_form_of_linear_matches_its_definition(dtype: torch.dtype, bias: bool, residual: bool) -> None:
    assert_right(inputs(2, 37, 23, 41, dtype, bias=bias, residual=residual))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rows", "bias"), [(17, False), (MANY, True)])
def test_a_turned_weight_is_read_as_it_lies_and_its_gradient_lies_so(dtype: torch.dtype, rows: int, bias: bool) -> None:
    given = inputs(2, rows, 7, 5, dtype, bias=bias, turned=True)
    assert_right(given)
    made = linear_backward.backward(given.dy, given.x, given.weight, has_bias=bias)
    assert made.dweight.stride() == given.weight.stride()
    again = linear_backward.backward(given.dy, given.x, given.weight, has_bias=bias, out=made)
    assert again.dweight.data_ptr() == made.dweight.data_ptr()
    one = given.of(slice(1, 2))
    alone = linear_backward.backward(one.dy, one.x, one.weight, has_bias=bias)
    assert all(torch.equal(a, b[1:]) for a, b in zip(alone[:3], made[:3], strict=True) if a is not None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", [15, 16, 17])
@pytest.mark.parametrize(("inner", "width"), [(15, 31), (16, 32), (17, 33), (31, 15), (32, 16), (33, 17)])
def test_sizes_round_the_edge_of_every_tile(dtype: torch.dtype, rows: int, inner: int, width: int) -> None:
    assert_right(inputs(1, rows, inner, width, dtype))


@pytest.mark.parametrize(("rows", "inner", "width"), [(1, 1, 1), (1, 40, 3), (3, 1, 40)])
def test_single_rows_inputs_and_outputs(rows: int, inner: int, width: int) -> None:
    for dtype in DTYPES:
        assert_right(inputs(1, rows, inner, width, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_wide_layers_go_to_the_library_and_say_so(
    dtype: torch.dtype, bias: bool, residual: bool, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = inputs(2, 9, 20, 40, dtype, bias=bias, residual=residual, turned=turned)
    for widest, ran in ((40, "triton"), (39, "library")):
        monkeypatch.setattr(linear, "library_past", {"linear": widest}.__getitem__)
        assert_right(given)
        told = last_dispatch()
        assert (told["linear"], told["linear_backward"]) == (ran, ran)
    room = linear_backward.backward(given.dy, given.x, given.weight, has_bias=bias)
    again = linear_backward.backward(given.dy, given.x, given.weight, has_bias=bias, out=room)
    assert again.dweight.data_ptr() == room.dweight.data_ptr()
    if given.residual is not None:
        expected = linear.forward(given.x, given.weight, given.bias, given.residual)
        onto = given.residual.clone()
        assert torch.equal(linear.forward(given.x, given.weight, given.bias, onto, out=onto), expected)


@pytest.mark.parametrize("op", ["linear", "linear_weight"])
def test_shipped_tiles_match_the_definition(op: str) -> None:
    for tile in table(op, None):
        row = {name.lower(): value for name, value in tile.constants.items()}
        dtype = torch.float32 if tile.bits == 32 else torch.bfloat16
        with tiles(linear=row, linear_weight=row):
            assert_right(inputs(1, tile["rows"] + 1, tile["depth"] + 1, tile["columns"] + 1, dtype))


@pytest.mark.parametrize("rows", [MANY - 1, MANY, 600])
def test_a_sum_over_many_rows_is_shared_out_and_right(rows: int) -> None:
    assert_right(inputs(1, rows, 5, 7, torch.bfloat16))


@pytest.mark.parametrize("rows", [1, MANY - 1, MANY, 10_000, 10_000_000])
@pytest.mark.parametrize("tiles_of_model", [1, 3, linear_backward.PROGRAMS, 1000])
def test_shares_hold_every_row_once(rows: int, tiles_of_model: int) -> None:
    tile = table("linear_weight", None)[0]
    shares, span = linear_backward.shared_out(rows, tiles_of_model, tile)
    assert (shares - 1) * span < rows <= shares * span
    assert span % tile["depth"] == 0
    assert shares == 1 or span >= linear_backward.STEPS * tile["depth"]
    assert shares <= max(1, linear_backward.PROGRAMS / tiles_of_model + 1)


def test_the_order_of_programs_changes_no_bit() -> None:
    given, runs = inputs(2, MANY, 5, 33, torch.bfloat16), []
    for name in ORDERS:
        with order(name):
            runs.append(by_kernels(given))
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_in_one_launch_equal_each_in_its_own(dtype: torch.dtype) -> None:
    given = inputs(3, MANY, 5, 7, dtype)
    together = by_kernels(given)
    for k in range(3):
        alone = by_kernels(given.of(slice(k, k + 1)))
        assert all(torch.equal(alone[name], together[name][k : k + 1]) for name in together)


def test_the_room_of_an_earlier_call_is_filled_again() -> None:
    first, second = (inputs(1, MANY, 20, 33, torch.float32, bias=bias) for bias in (True, False))
    y = linear.forward(first.x, first.weight, first.bias)
    made = linear_backward.backward(first.dy, first.x, first.weight, has_bias=True)
    expected = [each.clone() for each in (y, *made) if each is not None]
    for tensor in (y, *made):
        if tensor is not None:
            tensor.fill_(torch.nan)
    again = (
        linear.forward(first.x, first.weight, first.bias, out=y),
        *linear_backward.backward(first.dy, first.x, first.weight, has_bias=True, out=made),
    )
    assert all(a is b for a, b in zip(again, (y, *made), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(expected, again, strict=True))
    with pytest.raises(KernelError, match="linear: dbias of out is"):
        linear_backward.backward(second.dy, second.x, second.weight, has_bias=False, out=made)


@pytest.mark.parametrize(("bias", "residual"), [(True, True), (False, False)])
def test_counted_products_and_bytes_are_those_of_the_formula(bias: bool, residual: bool) -> None:
    rows, inner, width = 32, 64, 96
    given = inputs(1, rows, inner, width, torch.bfloat16, bias=bias, residual=residual)
    one_share = {"rows": 32, "columns": 32, "depth": 32}
    with tiles(linear=one_share, linear_weight=one_share):
        with counted() as forward:
            linear.forward(given.x, given.weight, given.bias, given.residual)
        with counted() as backward:
            linear_backward.backward(given.dy, given.x, given.weight, has_bias=bias)
    assert (forward.flops, backward.flops) == linear.flops(rows, inner, width)
    least = linear.least_bytes(rows, inner, width, 2, bias=bias, residual=residual)
    assert (forward.read + forward.written, backward.read + backward.written) == least
