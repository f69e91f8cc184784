"""The norm kernels against their definition, in the interpreter."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from isoflop.kernels import norm, norm_backward, reference
from isoflop.kernels.configurations import table
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
TILES = [(tile["rows"], tile["columns"]) for tile in table("norm", None) if tile.width]
EDGES = [(rows + i, columns + j) for rows, columns in TILES for i, j in ((-1, 0), (0, 1), (1, -1), (0, 0)) if rows + i]


class Inputs(NamedTuple):
    x: Tensor
    gain: Tensor
    bias: Tensor | None
    residual: Tensor | None
    dy: Tensor
    dtotal: Tensor | None

    def of(self, models: slice) -> Inputs:
        return Inputs(*(None if each is None else each[models] for each in self))


def inputs(models: int, rows: int, width: int, dtype: torch.dtype, *, bias: bool = True, add: bool = True) -> Inputs:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(width + rows))
    big, small = (models, rows, width), (models, width)
    drawn = [3 * draw(*big) + 1, 1 + draw(*small) / 4, draw(*small), draw(*big), draw(*big), draw(*big)]
    x, gain, shift, residual, dy, dtotal = (fenced(each.to(dtype)) for each in drawn)
    return Inputs(x, gain, shift if bias else None, residual if add else None, dy, dtotal if add else None)


def by_kernels(given: Inputs, kind: str) -> dict[str, Tensor]:
    x, gain, bias, residual, dy, dtotal = given
    with fenced_empties():
        y, total, mean, rstd = norm.forward(x, gain, bias, residual, kind=kind)
        dx, dgain, dbias, *_ = norm_backward.backward(dy, total, gain, mean, rstd, dtotal, has_bias=bias is not None)
    named = {"y": y, "total": total, "dx": dx, "dgain": dgain, "dbias": dbias}
    return {name: value for name, value in named.items() if value is not None}


def by_definition(given: Inputs, kind: str, dtype: torch.dtype) -> dict[str, Tensor]:
    x, gain, bias, residual, dy, dtotal = (
        None if each is None else each.detach().to(dtype).requires_grad_() for each in given
    )
    assert x is not None
    if residual is None:
        y, total = reference.on_models(partial(reference.norm, kind=kind))(x, gain, bias), x
    else:
        y, total = reference.on_models(partial(reference.add_norm, kind=kind))(x, residual, gain, bias)
    grads = (dy,) if dtotal is None else (dy, dtotal)
    torch.autograd.backward((y, total)[: len(grads)], grads)
    named = {"y": y, "total": total, "dx": x.grad, "dgain": gain.grad, "dbias": None if bias is None else bias.grad}
    return {name: value.detach() for name, value in named.items() if value is not None}


def assert_right(given: Inputs, kind: str) -> None:
    actual = by_kernels(given, kind)
    plain, exact = by_definition(given, kind, given.x.dtype), by_definition(given, kind, torch.float64)
    for name, value in actual.items():
        assert_accurate(name, value, plain[name], exact[name])
    assert actual.keys() == exact.keys()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", norm.KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("add", [True, False])
def test_every_form_of_norm_matches_its_definition(dtype: torch.dtype, kind: str, bias: bool, add: bool) -> None:
    assert_right(inputs(2, 37, 50, dtype, bias=bias, add=add), kind)


@pytest.mark.parametrize(("rows", "width"), EDGES)
def test_rows_and_widths_round_the_edge_of_every_tile(rows: int, width: int) -> None:
    for kind, dtype in zip(norm.KINDS, (torch.float32, torch.bfloat16), strict=True):
        assert_right(inputs(1, rows, width, dtype), kind)


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (1, 7), (5, 4609), (TILES[0][0] * norm_backward.PROGRAMS + 1, 9)])
@pytest.mark.parametrize("kind", norm.KINDS)
def test_single_elements_rows_in_pieces_and_several_tiles_a_program(rows: int, width: int, kind: str) -> None:
    assert_right(inputs(1, rows, width, torch.float32), kind)


@pytest.mark.parametrize("kind", norm.KINDS)
@pytest.mark.parametrize(("rows", "width"), [(70, 40), (5, 4100)])
def test_the_order_of_programs_changes_no_bit(kind: str, rows: int, width: int) -> None:
    given = inputs(2, rows, width, torch.bfloat16)
    runs = []
    for name in ORDERS:
        with order(name):
            runs.append(by_kernels(given, kind))
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.parametrize("kind", norm.KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_in_one_launch_equal_each_in_its_own(kind: str, dtype: torch.dtype) -> None:
    given = inputs(3, 70, 40, dtype)
    together = by_kernels(given, kind)
    for k in range(3):
        alone = by_kernels(given.of(slice(k, k + 1)), kind)
        assert all(torch.equal(alone[name], together[name][k : k + 1]) for name in together)


@pytest.mark.parametrize("add", [True, False])
def test_counted_bytes_are_those_of_the_formula(add: bool) -> None:
    rows, width = 40, 48
    given = inputs(1, rows, width, torch.bfloat16, add=add)
    with counted() as forward:
        _, total, mean, rstd = norm.forward(given.x, given.gain, given.bias, given.residual, kind="layer")
    with counted() as backward:
        made = norm_backward.backward(given.dy, total, given.gain, mean, rstd, given.dtotal, has_bias=True)
    assert mean is not None
    statistics, vectors = mean.nbytes + rstd.nbytes, 2 * given.gain.nbytes
    sums = 2 * (made.gain_sums.nbytes * 2)  # written by one kernel, read by the other, of gain and of bias
    least = norm.least_bytes(rows, width, 2, add=add)
    assert forward.read + forward.written == least[0] + statistics + vectors
    assert backward.read + backward.written == least[1] + statistics + vectors // 2 + vectors + sums
