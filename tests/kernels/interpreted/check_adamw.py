"""The AdamW kernels against their definition, in the interpreter."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop.kernels import adamw, reference
from isoflop.kernels.adamw import AdamW
from isoflop.kernels.configurations import table
from proof.accuracy import assert_accurate
from proof.interpreter import FENCE, ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.traffic import counted

make_bfloat16_honest()

BLOCK = table("adamw", None)[0]["block"]
EDGES = [(3, 5), (BLOCK - 1,), (BLOCK,), (BLOCK + 1,), (1,)]
ALIGNED = [(16, 3), (BLOCK,), (BLOCK + 16,)]
HYPER = {
    "lr": [1e-3, 3e-2, 0.0],
    "beta1": [0.9, 0.8, 0.95],
    "beta2": [0.95, 0.999, 0.99],
    "eps": [1e-8, 1e-6, 1e-10],
    "weight_decay": [0.1, 0.0, 0.3],
    "clip": [1.0, math.inf, 1e3],
}
STEPS = 3


def hyper(models: slice) -> dict[str, Tensor]:
    return {name: torch.tensor(values[models], dtype=torch.float64) for name, values in HYPER.items()}


def state(shapes: list[tuple[int, ...]], dtype: torch.dtype, models: slice = slice(0, 3)) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def draw(dtype: torch.dtype) -> list[Tensor]:
        drawn = [torch.randn(3, *shape, generator=generator) for shape in shapes]
        return [fenced(each[models].to(dtype)) for each in drawn]

    moments = {"first": draw(torch.float32), "second": [each.square_() for each in draw(torch.float32)]}
    return {"params": draw(dtype), "grads": draw(dtype), **moments}


def run(given: dict[str, Any], models: slice = slice(0, 3), *, with_master: bool = False) -> dict[str, list[Tensor]]:
    """Some steps by the kernels, every tensor amid NaN; what lies round them must stay."""
    count = len(given["params"])
    master = [fenced(each.float()) for each in given["params"]] if with_master else None
    held = {name: [fenced(each) for each in tensors] for name, tensors in given.items()}
    steps = torch.full((held["params"][0].shape[0],), 4)
    decayed = [index % 2 == 0 for index in range(count)]
    with fenced_empties():
        optimizer = AdamW(**held, master=master, decayed=decayed, step=steps, **hyper(models))
        for _ in range(STEPS):
            optimizer.update()
    assert (steps == 4 + STEPS).all()
    for tensor in [each for tensors in held.values() for each in tensors]:
        whole = torch.as_strided(tensor, (tensor.numel() + 2 * FENCE,), (1,), 0)
        assert whole[:FENCE].isnan().all()
        assert whole[-FENCE:].isnan().all()
    return {**held, "norm": [optimizer.norm.clone()], "master": master or []}


def by_definition(given: dict[str, Any], dtype: torch.dtype) -> dict[str, list[Tensor]]:
    """The same steps by the definition, in ``dtype``."""
    params, grads = ([each.to(dtype) for each in given[name]] for name in ("params", "grads"))
    wide = torch.promote_types(dtype, torch.float32)
    first, second = ([each.to(wide) for each in given[name]] for name in ("first", "second"))
    decayed = [index % 2 == 0 for index in range(len(params))]
    for step in range(5, 5 + STEPS):
        step_of_models = reference.on_models(reference.adamw)
        params, first, second, norm = step_of_models(
            params, grads, first, second, decayed=decayed, step=step, **hyper(slice(0, 3))
        )
        params = [each.to(dtype) for each in params]
    return {"params": params, "first": first, "second": second, "norm": [norm]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shapes", [EDGES, ALIGNED], ids=["odd", "aligned"])
def test_updates_match_the_definition_for_every_model(dtype: torch.dtype, shapes: list[tuple[int, ...]]) -> None:
    given = state(shapes, dtype)
    actual, plain, exact = run(given), by_definition(given, dtype), by_definition(given, torch.float64)
    for name in ("params", "first", "second"):
        for index in range(len(shapes)):
            for k in range(3):
                at = (actual[name][index][k], plain[name][index][k], exact[name][index][k])
                assert_accurate(f"{name}[{index}] of model {k}", *at)
    torch.testing.assert_close(actual["norm"][0].double(), exact["norm"][0], rtol=1e-6, atol=0)


def test_each_tensor_has_factors_of_its_own_and_others_are_part_of_the_norm() -> None:
    given, (other,) = state([(16, 3), (5,)], torch.float32), state([(7, 7)], torch.float32)["grads"]
    factors = torch.tensor([[[0.5, 1.0, 2.0], [2.0, 1.0, 0.5]], [[0.25, 3.0, 0.1], [0.0, 0.0, 0.0]]])
    held = {name: [fenced(each) for each in tensors] for name, tensors in given.items()}
    step, kept = torch.zeros(3, dtype=torch.int64), other.clone()
    optimizer = AdamW(**held, others=[other], decayed=[True, True], step=step, factors=factors, **hyper(slice(0, 3)))
    optimizer.update()
    norm = sum(each.double().square().flatten(1).sum(1) for each in [*given["grads"], other]).sqrt()
    clipped = (hyper(slice(0, 3))["clip"] / norm).clamp(max=1.0)
    torch.testing.assert_close(optimizer.norm.double(), norm)
    torch.testing.assert_close(optimizer.clipped.double(), clipped)
    assert torch.equal(other, kept)
    for index, (rate, decay) in enumerate(factors.double()):
        own = hyper(slice(0, 3)) | {"clip": torch.full((3,), math.inf, dtype=torch.float64)}
        own |= {"lr": own["lr"] * rate, "weight_decay": own["weight_decay"] * decay}
        params, grads, first, second = ([tensors[index].double()] for tensors in given.values())
        grads = [grads[0] * clipped.view(3, *[1] * (grads[0].ndim - 1))]
        moved = reference.on_models(reference.adamw)(params, grads, first, second, decayed=[True], step=1, **own)
        for name, [expected] in zip(("params", "first", "second"), moved[:3], strict=True):
            torch.testing.assert_close(held[name][index].double(), expected, rtol=2e-6, atol=1e-6)


def test_one_that_moves_nothing_measures_what_others_move() -> None:
    others, step = state([(16, 3), (5,)], torch.float32)["grads"], torch.zeros(3, dtype=torch.int64)
    optimizer = AdamW([], [], [], [], others=others, decayed=[], step=step, **hyper(slice(0, 3)))
    optimizer.update()
    norm = sum(each.double().square().flatten(1).sum(1) for each in others).sqrt()
    torch.testing.assert_close(optimizer.norm.double(), norm)
    assert step.tolist() == [1, 1, 1]


def test_updates_of_one_model_match_torch() -> None:
    given = state(EDGES, torch.float32, slice(0, 1))
    actual = run(given, slice(0, 1))
    params = [torch.nn.Parameter(each.clone()) for each in given["params"]]
    groups = [{"params": params[::2], "weight_decay": 0.1}, {"params": params[1::2], "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    moments = zip(params, given["first"], given["second"], strict=True)
    for param, first, second in moments:
        theirs.state[param] = {"step": torch.tensor(4.0), "exp_avg": first.clone(), "exp_avg_sq": second.clone()}
    for _ in range(STEPS):
        for param, grad in zip(params, given["grads"], strict=True):
            param.grad = grad.clone()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        theirs.step()
    for ours, param in zip(actual["params"], params, strict=True):
        torch.testing.assert_close(ours, param.detach(), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_master_keeps_the_updates_that_rounding_would_lose(dtype: torch.dtype) -> None:
    given = state(EDGES, dtype)
    actual = run(given, with_master=True)
    wide = {name: [each.float() for each in tensors] for name, tensors in given.items()}
    plain, exact = by_definition(wide, torch.float32), by_definition(wide, torch.float64)
    for index, (master, param) in enumerate(zip(actual["master"], actual["params"], strict=True)):
        assert torch.equal(param, master.to(dtype))
        assert_accurate(f"master[{index}]", master, plain["params"][index], exact["params"][index])


def test_the_order_of_programs_changes_no_bit() -> None:
    given, runs = state(EDGES, torch.bfloat16), []
    for name in ORDERS:
        with order(name):
            runs.append(run(given))
    for name, first in runs[0].items():
        assert all(torch.equal(*pair) for run in runs[1:] for pair in zip(first, run[name], strict=True)), name


def test_models_in_one_launch_equal_each_in_its_own() -> None:
    together = run(state(EDGES, torch.float32))
    for k in range(3):
        one = slice(k, k + 1)
        alone = run(state(EDGES, torch.float32, one), one)
        for name in ("params", "first", "second", "norm"):
            for index, tensor in enumerate(alone[name]):
                assert torch.equal(tensor, together[name][index][one]), name


def test_a_hyper_parameter_written_later_is_used() -> None:
    given = state([(8,)], torch.float32)
    before = given["params"][0].clone()
    optimizer = AdamW(**given, decayed=[False], step=torch.zeros(3, dtype=torch.int64), **hyper(slice(0, 3)))
    optimizer.hyper[0] = torch.tensor([0.0, 1.0, 0.0])
    optimizer.update()
    moved = (given["params"][0] != before).any(1)
    assert moved.tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_update_reads_and_writes_the_bytes_of_the_formula(dtype: torch.dtype) -> None:
    master, counts = dtype != torch.float32, []
    for size in (BLOCK // 2, BLOCK):
        given = state([(size,)], dtype, slice(0, 1))
        wide = [each.float() for each in given["params"]] if master else None
        step = torch.zeros(1, dtype=torch.int64)
        optimizer = AdamW(**given, master=wide, decayed=[True], step=step, **hyper(slice(0, 1)))
        with counted() as traffic:
            optimizer.update()
        again = given["grads"][0].nbytes  # by the kernel that measures the norm, and by the one that updates
        counts.append(traffic.read + traffic.written + again)
    assert counts[1] - counts[0] == adamw.least_bytes(BLOCK // 2, dtype.itemsize, master=master)
