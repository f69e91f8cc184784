"""The MLP kernels against their definition, in the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import mlp, mlp_backward, reference
from isoflop.kernels.activation import GATED, KINDS
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.tiles import tiles
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
TILE = 16  # rows and hidden columns of every table in these tests
WEIGHTS = ("w_in", "b_in", "w_out", "b_out", "gain", "bias")


@pytest.fixture(autouse=True)
def small_tiles() -> Iterator[None]:
    tile = {"rows": TILE, "hidden": TILE}
    with tiles(mlp=tile, mlp_backward_rows=tile, mlp_backward_columns=tile):
        yield


def inputs(
    models: int, rows: int, width: int, deep: int, dtype: torch.dtype, *, kind: str = "gelu",
    without: tuple[str, ...] = (),
) -> dict[str, Tensor | None]:  # fmt: skip
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(width + rows))
    wide = deep * (2 if kind in GATED else 1)
    drawn = {
        "dy": draw(models, rows, width),
        "x": 2 * draw(models, rows, width) + 0.5,
        "w_in": draw(models, wide, width) / width**0.5,
        "b_in": draw(models, wide),
        "w_out": draw(models, width, deep) / deep**0.5,
        "b_out": draw(models, width),
        "gain": 1 + draw(models, width) / 4,
        "bias": draw(models, width),
    }
    return {name: None if name in without else fenced(each.to(dtype)) for name, each in drawn.items()}


def by_kernels(given: dict[str, Tensor | None], **settings: Any) -> dict[str, Tensor]:
    tensors = {name: each for name, each in given.items() if name != "dy"}
    with fenced_empties():
        y = mlp.forward(**tensors, **settings)
        grads = mlp_backward.backward(given["dy"], **tensors, **settings)
    named = {"y": y} | grads._asdict()
    return {name: value for name, value in named.items() if value is not None and not name.endswith("_sums")}


def by_definition(given: dict[str, Tensor | None], dtype: torch.dtype, **settings: Any) -> dict[str, Tensor]:
    leaves = {name: None if each is None else each.detach().to(dtype).requires_grad_() for name, each in given.items()}
    dy = leaves.pop("dy")
    y = reference.on_models(partial(reference.mlp, **settings))(*leaves.values())
    y.backward(dy)
    named = {"y": y.detach()} | {f"d{name}": None if each is None else each.grad for name, each in leaves.items()}
    return {name: value for name, value in named.items() if value is not None}


def assert_right(given: dict[str, Tensor | None], **settings: Any) -> None:
    actual = by_kernels(given, **settings)
    plain = by_definition(given, given["x"].dtype, **settings)
    exact = by_definition(given, torch.float64, **settings)
    assert actual.keys() == exact.keys()
    for name, value in actual.items():
        assert_accurate(name, value, plain[name], exact[name])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["layer", "rms", "none"])
def test_every_form_of_mlp_matches_its_definition(dtype: torch.dtype, kind: str, norm: str) -> None:
    without = ("gain", "bias") if norm == "none" else ()
    assert_right(inputs(2, 19, 20, 35, dtype, kind=kind, without=without), kind=kind, norm=norm, residual=True)


@pytest.mark.parametrize("without", [("b_in",), ("b_out",), ("bias",), ("b_in", "b_out", "bias")], ids=str)
@pytest.mark.parametrize("kind", ["gelu", "swiglu"])
def test_every_bias_may_be_absent(without: tuple[str, ...], kind: str) -> None:
    given = inputs(1, 19, 20, 35, torch.float32, kind=kind, without=without)
    assert_right(given, kind=kind, norm="layer", residual=False)


EDGES = [
    (rows, width, deep)
    for rows, width, deep in (
        (TILE, 16, TILE), (TILE - 1, 16, TILE), (TILE + 1, 16, TILE), (1, 16, TILE),
        (TILE, 15, TILE), (TILE, 17, TILE), (TILE, 33, TILE),
        (TILE, 16, TILE - 1), (TILE, 16, TILE + 1), (TILE, 16, 1), (TILE + 1, 17, TILE + 1),
    )
]  # fmt: skip


@pytest.mark.parametrize(("rows", "width", "deep"), EDGES)
def test_rows_widths_and_hidden_columns_round_the_edge_of_every_tile(rows: int, width: int, deep: int) -> None:
    for dtype, kind in ((torch.float32, "swiglu"), (torch.bfloat16, "gelu")):
        assert_right(inputs(4, rows, width, deep, dtype, kind=kind), kind=kind, norm="rms", residual=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_one_row_of_one_column_and_one_hidden_column(kind: str) -> None:
    given = inputs(16, 1, 1, 1, torch.float32, kind=kind, without=("gain", "bias"))
    assert_right(given, kind=kind, residual=True)


def several(dtype: torch.dtype, models: int = 1) -> dict[str, Tensor | None]:
    return inputs(models, 3 * TILE - 3, 18, TILE + 3, dtype)


@pytest.fixture
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two programs a hidden column, of several tiles of rows each."""
    monkeypatch.setattr(mlp_backward, "COLUMN_PROGRAMS", 4)


@pytest.mark.usefixtures("few_programs")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sums_over_several_tiles_and_programs_match_the_definition(dtype: torch.dtype) -> None:
    assert_right(several(dtype), kind="gelu", norm="layer", residual=True)


@pytest.mark.usefixtures("few_programs")
def test_the_order_of_programs_changes_no_bit() -> None:
    given, runs = several(torch.bfloat16), []
    for name in ORDERS:
        with order(name):
            runs.append(by_kernels(given, kind="gelu", norm="layer", residual=True))
    assert all(torch.equal(run[name], runs[0][name]) for run in runs for name in run)


@pytest.mark.usefixtures("few_programs")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models_in_one_launch_equal_each_in_its_own(dtype: torch.dtype) -> None:
    given = several(dtype, models=2)
    settings = {"kind": "gelu", "norm": "rms", "residual": True}
    together = by_kernels(given, **settings)
    for k in range(2):
        one = {name: None if each is None else each[k : k + 1] for name, each in given.items()}
        alone = by_kernels(one, **settings)
        assert all(torch.equal(alone[name], together[name][k : k + 1]) for name in together)


@pytest.mark.usefixtures("few_programs")
def test_a_second_call_fills_the_tensors_of_the_first() -> None:
    given = several(torch.float32)
    tensors = {name: each for name, each in given.items() if name != "dy"}
    settings = {"kind": "gelu", "norm": "layer", "residual": True}
    y, grads = mlp.forward(**tensors, **settings), mlp_backward.backward(given["dy"], **tensors, **settings)
    first = [each.clone() for each in (y, *grads)]
    for each in (y, *grads):
        each.fill_(torch.nan)
    with fenced_empties() as made:
        assert mlp.forward(**tensors, **settings, out=y) is y
        again = mlp_backward.backward(given["dy"], **tensors, **settings, out=grads)
    assert not made
    assert all(one is other for one, other in zip(again, grads, strict=True))
    assert all(torch.equal(one, other) for one, other in zip((y, *grads), first, strict=True))


@pytest.mark.parametrize("kind", ["gelu", "swiglu"])
def test_counted_products_and_bytes_are_those_of_the_formula(kind: str) -> None:
    rows, width, deep = 2 * TILE, 32, 3 * TILE
    given = inputs(1, rows, width, deep, torch.bfloat16, kind=kind)
    tensors = {name: each for name, each in given.items() if name != "dy"}
    with counted() as forward:
        mlp.forward(**tensors, kind=kind, norm="layer", residual=True)
    one_share = {"rows": rows, "hidden": TILE}
    with tiles(mlp_backward_rows=one_share, mlp_backward_columns=one_share), counted() as backward:
        mlp_backward.backward(given["dy"], **tensors, kind=kind, norm="layer", residual=True)
    assert (forward.flops, backward.flops) == mlp.flops(rows, width, deep, kind=kind)
    least = mlp.least_bytes(rows, width, deep, 2, kind=kind)
    sums = 3 * 4 * width  # of dgain, dbias and db_out, written by one program, read to be rounded
    assert (forward.read + forward.written, backward.read + backward.written - 2 * sums) == least


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "gleu"}, r"no activation 'gleu'\n  hint: did you mean 'gelu'"),
        ({"norm": "layers"}, r"no norm 'layers'\n  hint: did you mean 'layer'"),
        ({"kind": "swiglu"}, r"mlp: w_in has 6 rows; swiglu with d_ff 6 takes 12"),
        ({"gain": None}, r"mlp: a norm of kind 'layer' needs gain"),
        ({"norm": "none"}, r"mlp: gain or bias is given, and there is no norm"),
        ({"w_out": torch.ones(2, 4, 6)}, r"mlp: axis K is 2 in w_out and 1 in x"),
        ({"out": torch.ones(1, 3, 5)}, r"mlp: y of out is \(1, 3, 5\) float32; needed: \(1, 3, 4\) float32"),
    ],
)
def test_what_the_mlp_cannot_take_is_refused_in_words(changed: dict[str, Any], message: str) -> None:
    given = {name: each for name, each in inputs(1, 3, 4, 6, torch.float32).items() if name != "dy"}
    with pytest.raises(KernelError, match=message):
        mlp.forward(**{**given, "kind": "gelu", "norm": "layer"} | changed)


def test_rows_that_fit_no_program_are_refused_with_what_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISOFLOP_CONFIGURATIONS")
    given = {name: each for name, each in inputs(1, 1, 300, 16, torch.bfloat16).items() if name != "dy"}
    with pytest.raises(KernelError, match=r"mlp of bfloat16 takes rows of up to 256 elements, not 300\n.*linear"):
        mlp.forward(**given, kind="gelu", norm="layer")
