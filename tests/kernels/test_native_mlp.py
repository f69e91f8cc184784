"""The native MLP against its definition, on every instruction set of this machine."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import reference
from isoflop.kernels.native import mlp
from isoflop.kernels.signatures import ACTIVATIONS, GATED, ROW_NORMS
from proof.native import Tensors, assert_native, by_instruction_set


def inputs(
    models: int, rows: int, width: int, deep: int, *, kind: str = "gelu", without: tuple[str, ...] = ()
) -> Tensors:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(width + rows))
    wide = deep * (2 if kind in GATED else 1)
    drawn = {
        "grad_y": draw(models, rows, width),
        "x": 2 * draw(models, rows, width) + 0.5,
        "w_in": draw(models, wide, width) / width**0.5,
        "b_in": draw(models, wide),
        "w_out": draw(models, width, deep) / deep**0.5,
        "b_out": draw(models, width),
        "gain": 1 + draw(models, width) / 4,
        "bias": draw(models, width),
    }
    return {name: None if name in without else each for name, each in drawn.items()}


def assert_right(given: Tensors, instruction_set: str, *, saving: bool = False, **settings: Any) -> None:
    def by_native(grad_y: Tensor, **tensors: Tensor | None) -> dict[str, Tensor]:
        y, saved = mlp.forward_saving(**tensors, **settings) if saving else (mlp.forward(**tensors, **settings), None)
        named = {"y": y} | mlp.backward(grad_y, **tensors, saved=saved, **settings)._asdict()
        return {name: value for name, value in named.items() if value is not None}

    def by_definition(**tensors: Tensor | None) -> dict[str, Tensor]:
        return {"y": reference.on_models(partial(reference.mlp, **settings))(*tensors.values())}

    assert_native(by_native, by_definition, given, instruction_set)


@by_instruction_set
@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("norm", ROW_NORMS)
def test_every_form_of_mlp_matches_its_definition(instruction_set: str, kind: str, norm: str) -> None:
    without = ("gain", "bias") if norm == "none" else ()
    given = inputs(2, 37, 20, 35, kind=kind, without=without)
    assert_right(given, instruction_set, kind=kind, norm=norm, residual=True)


@by_instruction_set
@pytest.mark.parametrize("without", [("b_in",), ("b_out",), ("bias",), ("b_in", "b_out", "bias")], ids=str)
def test_every_bias_may_be_absent(instruction_set: str, without: tuple[str, ...]) -> None:
    given = inputs(1, 19, 20, 35, kind="swiglu", without=without)
    assert_right(given, instruction_set, kind="swiglu", norm="layer", residual=False)


@by_instruction_set
@pytest.mark.parametrize(("rows", "width", "deep"), [(1, 1, 1), (33, 16, 129), (300, 48, 192), (520, 33, 300)])
def test_rows_and_hidden_columns_beyond_a_tile(instruction_set: str, rows: int, width: int, deep: int) -> None:
    assert_right(inputs(1, rows, width, deep, kind="swiglu"), instruction_set, kind="swiglu", norm="rms", residual=True)
    assert_right(inputs(1, rows, width, deep), instruction_set, kind="gelu", norm="layer", residual=True)


@by_instruction_set
@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize(
    ("models", "rows", "width", "deep"),
    [(16, 2, 3, 5), (2, 33, 16, 129), (2, 300, 130, 192), (2, 520, 33, 300)],  # torch's own error over few is luck
)
def test_gradients_from_what_was_saved_match_the_definition(
    instruction_set: str, kind: str, models: int, rows: int, width: int, deep: int
) -> None:
    given = inputs(models, rows, width, deep, kind=kind)
    assert_right(given, instruction_set, saving=True, kind=kind, norm="layer", residual=True)


def test_float32_saves_nothing() -> None:
    given = inputs(1, 3, 4, 5)
    given.pop("grad_y")
    assert mlp.forward_saving(**given, kind="gelu", norm="layer").saved is None


def test_a_norm_without_gain_is_refused() -> None:
    given = inputs(1, 3, 4, 5, without=("grad_y", "gain", "bias"))
    given.pop("grad_y")
    with pytest.raises(KernelError, match="a norm of kind 'rms' needs gain"):
        mlp.forward(**given, kind="gelu", norm="rms")
