"""Muon's kernels against their definition, in the interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import reference
from isoflop.kernels.configurations import table
from isoflop.kernels.muon import Muon
from isoflop.kernels.orthogonal import flops, least_bytes, orthogonalise
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.tiles import tiles
from proof.traffic import counted

make_bfloat16_honest()

TILES = {"muon": {"rows": 16, "depth": 16}, "adamw": {"block": 256}}
HYPER = {"lr": [0.02, 0.1, 0.0], "momentum": [0.95, 0.8, 0.9], "weight_decay": [0.1, 0.0, 0.3]}


@pytest.fixture(autouse=True)
def small_tiles() -> Iterator[None]:
    with tiles(**TILES):
        yield


def draw(models: int, *shape: int) -> Tensor:
    return torch.randn(models, *shape, generator=torch.Generator().manual_seed(sum(shape)))


def orthogonal(u: Tensor, dtype: torch.dtype, steps: int = 5) -> Tensor:
    with fenced_empties():
        return orthogonalise(fenced(u), steps=steps, dtype=dtype).x.clone()


def by_definition(u: Tensor, dtype: torch.dtype, steps: int = 5) -> Tensor:
    return reference.on_models(reference.orthogonalise)(u.to(dtype), steps=steps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("height", "width"), [(15, 33), (16, 16), (17, 17), (33, 15), (31, 32), (1, 5), (5, 1)])
def test_one_iteration_matches_its_definition(dtype: torch.dtype, height: int, width: int) -> None:
    u = draw(2, height, width)
    exact = by_definition(u.double(), torch.float64, 1)
    assert_accurate("x", orthogonal(u, dtype, 1), by_definition(u, dtype, 1), exact)


@pytest.mark.parametrize(("height", "width"), [(24, 40), (40, 24), (33, 33)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_five_iterations_match_the_definition(dtype: torch.dtype, height: int, width: int) -> None:
    u = draw(1, height, width)
    exact = by_definition(u.double(), torch.float64)
    assert_accurate("x", orthogonal(u, dtype), by_definition(u, dtype), exact)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_result_is_where_the_room_says_after_any_number_of_iterations(steps: int) -> None:
    u = draw(1, 9, 12)
    torch.testing.assert_close(orthogonal(u, torch.float32, steps), by_definition(u, torch.float32, steps))


@pytest.mark.parametrize(("height", "width"), [(24, 40), (40, 24)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_singular_values_come_near_one_and_singular_vectors_stay(dtype: torch.dtype, height: int, width: int) -> None:
    u = draw(1, height, width)
    left, values, right = torch.linalg.svd(u[0].double(), full_matrices=False)
    assert float(values[-1] / values[0]) < 0.25
    x = orthogonal(u, dtype)[0].double()
    near = torch.linalg.svdvals(x)
    assert 0.65 < float(near.min()) <= float(near.max()) < 1.25
    turned = left.T @ x @ right.T
    tolerance = 1e-4 if dtype == torch.float32 else 0.05
    assert float((turned - turned.diag().diag()).abs().max()) < tolerance


def test_a_matrix_of_noughts_stays_one() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 5, 7), torch.float32), torch.zeros(1, 5, 7))


def test_shipped_tiles_match_the_definition() -> None:
    for tile in table("muon", None):
        dtype = torch.float32 if tile.bits == 32 else torch.bfloat16
        u, row = draw(1, tile["rows"] + 1, tile["depth"] + 1), {"rows": tile["rows"], "depth": tile["depth"]}
        exact = by_definition(u.double(), torch.float64, 1)
        with tiles(muon=row):
            assert_accurate("x", orthogonal(u, dtype, 1), by_definition(u, dtype, 1), exact)


def optimised(
    shapes: list[tuple[int, ...]], dtype: torch.dtype, models: slice = slice(0, 3), *, master: bool = False, **how: Any
) -> dict[str, list[Tensor]]:
    """Two steps by the kernels, every tensor amid NaN."""
    given = state(shapes, dtype, models)
    held = {name: [fenced(each) for each in tensors] for name, tensors in given.items()}
    wide = [fenced(each.float()) for each in given["params"]] if master else None
    hyper = {name: torch.tensor(values[models], dtype=torch.float64) for name, values in HYPER.items()}
    with fenced_empties():
        optimizer = Muon(**held, master=wide, dtype=torch.float32, **hyper, **how)
        optimizer.update()
        optimizer.update()
    return held | {"master": wide or []}


def state(shapes: list[tuple[int, ...]], dtype: torch.dtype, models: slice) -> dict[str, list[Tensor]]:
    def each(seed: int, kind: torch.dtype) -> list[Tensor]:
        return [(draw(3, *shape, seed)[..., 0] if seed else draw(3, *shape))[models].to(kind) for shape in shapes]

    return {"params": each(0, dtype), "grads": each(2, dtype), "first": each(3, torch.float32)}


def defined(shapes: list[tuple[int, ...]], given: torch.dtype, dtype: torch.dtype, **how: Any) -> dict[str, Any]:
    tensors = state(shapes, given, slice(0, 3))
    params, grads, first = ([each.to(dtype) for each in tensors[name]] for name in ("params", "grads", "first"))
    hyper = {name: torch.tensor(values, dtype=torch.float64) for name, values in HYPER.items()}
    for _ in range(2):
        params, first = reference.on_models(reference.muon)(params, grads, first, **hyper, **how)
    return {"params": params, "first": first}


@pytest.mark.parametrize("how", [{}, {"nesterov": False, "scaled": False, "steps": 2}], ids=str)
def test_updates_match_the_definition_for_every_model(how: dict[str, Any]) -> None:
    shapes: list[tuple[int, ...]] = [(17, 9), (9, 17), (17, 9)]
    actual = optimised(shapes, torch.float32, **how)
    plain, exact = (defined(shapes, torch.float32, dtype, **how) for dtype in (torch.float32, torch.float64))
    for name in ("params", "first"):
        for index in range(len(shapes)):
            assert_accurate(name, actual[name][index], plain[name][index], exact[name][index])


def test_changes_of_a_given_size_follow_clipped_gradients() -> None:
    """As the definition moves them at a rate times, and a decay over, that size."""
    shape, rms, clipped = (17, 9), 0.2, torch.tensor([0.5, 1.0, 0.01])
    actual = optimised([shape], torch.float32, rms=rms, clipped=clipped)
    given = {name: tensor.double() for name, [tensor] in state([shape], torch.float32, slice(0, 3)).items()}
    params, first = [given["params"]], [given["first"]]
    grads, size = [given["grads"] * clipped.double()[:, None, None]], rms * max(shape) ** 0.5
    hyper = {name: torch.tensor(values, dtype=torch.float64) for name, values in HYPER.items()}
    hyper |= {"lr": hyper["lr"] * size, "weight_decay": hyper["weight_decay"] / size}
    for _ in range(2):
        params, first = reference.on_models(reference.muon)(params, grads, first, **hyper, scaled=False)
    torch.testing.assert_close(actual["params"][0].double(), params[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(actual["first"][0].double(), first[0], rtol=1e-6, atol=1e-6)


def test_matrices_of_a_stack_move_as_each_would_alone() -> None:
    drawn, clipped = state([(2, 17, 9)], torch.bfloat16, slice(0, 3)), torch.tensor([0.5, 1.0, 0.01])
    stacks = {name: [tensor.contiguous()] for name, [tensor] in drawn.items()}
    hyper = {name: torch.tensor(values, dtype=torch.float64) for name, values in HYPER.items()}
    alone = [{name: [tensor[:, each].contiguous()] for name, [tensor] in stacks.items()} for each in range(2)]
    for held in (stacks, *alone):
        Muon(**held, dtype=torch.float32, rms=0.2, clipped=clipped, **hyper).update()
    for name in ("params", "first"):
        assert torch.equal(stacks[name][0], torch.stack([each[name][0] for each in alone], 1))


def test_a_master_is_updated_and_parameters_are_its_rounded_copy() -> None:
    shapes: list[tuple[int, ...]] = [(17, 9)]
    actual = optimised(shapes, torch.bfloat16, master=True)
    plain, exact = (defined(shapes, torch.bfloat16, dtype) for dtype in (torch.float32, torch.float64))
    assert_accurate("master", actual["master"][0], plain["params"][0], exact["params"][0])
    assert torch.equal(actual["params"][0], actual["master"][0].bfloat16())


def test_the_order_of_programs_changes_no_bit() -> None:
    runs = []
    for name in ORDERS:
        with order(name):
            runs.append(orthogonal(draw(2, 33, 18), torch.bfloat16, 2))
    assert all(torch.equal(run, runs[0]) for run in runs)


def test_models_in_one_launch_equal_each_in_its_own() -> None:
    together = optimised([(17, 9)], torch.bfloat16)
    for k in range(3):
        alone = optimised([(17, 9)], torch.bfloat16, slice(k, k + 1))
        for name in ("params", "first"):
            assert torch.equal(alone[name][0], together[name][0][k : k + 1])


def test_the_room_of_an_earlier_call_is_filled_again() -> None:
    u = draw(1, 9, 12)
    room = orthogonalise(u, dtype=torch.float32)
    expected = room.x.clone()
    for tensor in room:
        tensor.fill_(torch.nan)
    again = orthogonalise(u, dtype=torch.float32, out=room)
    assert all(a is b for a, b in zip(again, room, strict=True))
    assert torch.equal(again.x, expected)
    with pytest.raises(KernelError, match="orthogonalise: x of out is"):
        orthogonalise(u, dtype=torch.bfloat16, out=room)


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 32)])
def test_counted_products_and_bytes_are_those_of_the_formula(height: int, width: int) -> None:
    u = draw(1, height, width)
    with counted() as done:
        orthogonalise(u, steps=1)
    assert done.flops == flops(height, width, tiles=2, steps=1)
    assert done.moved(2) == least_bytes(height, width, 2, steps=1)
