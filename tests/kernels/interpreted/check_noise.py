"""Accumulated gradients and their squares against their definition, in the interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels import reference
from isoflop.kernels.adamw import AdamW
from isoflop.kernels.configurations import table
from isoflop.kernels.noise import GradientNoise
from isoflop.kernels.signatures import OPS
from proof.accuracy import assert_accurate
from proof.interpreter import ORDERS, fenced, fenced_empties, make_bfloat16_honest, order
from proof.traffic import counted

make_bfloat16_honest()

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
BLOCK = table("adamw", None)[0]["block"]
EDGES = [(3, 5), (BLOCK - 1,), (BLOCK,), (BLOCK + 1,), (1,)]
ALIGNED = [(16, 3), (BLOCK,), (BLOCK + 16,)]
MICRO_BATCHES = 3


def optimizer(shapes: list[tuple[int, ...]], models: int) -> AdamW:
    """Parameters of 1, moments of 0, and gradients that no one may read before they are written."""
    params, first, second = ([fenced(torch.full((models, *s), x)) for s in shapes] for x in (1.0, 0.0, 0.0))
    grads = [fenced(torch.full((models, *shape), torch.nan)) for shape in shapes]
    hyper = {name: torch.full((models,), 0.5, dtype=torch.float64) for name in OPS["adamw"].hyper}
    step = torch.zeros(models, dtype=torch.int64)
    return AdamW(params, grads, first, second, decayed=[True] * len(shapes), step=step, **hyper)


def micro_batches(shapes: list[tuple[int, ...]], dtype: torch.dtype, models: int = 2) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        [fenced((1 + torch.randn(models, *shape, generator=generator)).to(dtype)) for shape in shapes]
        for _ in range(MICRO_BATCHES)
    ]


def run(batches: list[list[Tensor]], models: slice = slice(0, 2), batch_count: int = 1) -> dict[str, list[Tensor]]:
    shapes = [tuple(each.shape[1:]) for each in batches[0]]
    grads = [fenced(torch.empty_like(each[models])) for each in batches[0]]
    held = optimizer(shapes, grads[0].shape[0])
    with fenced_empties():
        noise = GradientNoise(held, grads)
        for _ in range(batch_count):
            for index, given in enumerate(batches):
                for grad, value in zip(grads, given, strict=True):
                    grad.copy_(value[models])
                noise.add(first=index == 0)
    held.update(measured=True)
    sums = held.kept["grads"]
    assert sums is not None
    return {"sums": list(sums), "squares": [noise.squares.clone()], "norm": [held.norm.clone()]}


def by_definition(batches: list[list[Tensor]], dtype: torch.dtype) -> tuple[list[Tensor], Tensor, Tensor]:
    sums = [torch.zeros_like(each, dtype=torch.promote_types(dtype, torch.float32)) for each in batches[0]]
    small = torch.zeros(sums[0].shape[0], dtype=sums[0].dtype)
    for grads in batches:
        sums, square = reference.on_models(reference.accumulate)(sums, [each.to(small.dtype) for each in grads])
        small = small + square
    return sums, small, torch.stack([each.flatten(1).square().sum(1) for each in sums]).sum(0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shapes", [EDGES, ALIGNED], ids=["odd", "aligned"])
def test_sums_and_squares_match_their_definition(dtype: torch.dtype, shapes: list[tuple[int, ...]]) -> None:
    batches = micro_batches(shapes, dtype)
    actual, plain, exact = run(batches), by_definition(batches, dtype), by_definition(batches, torch.float64)
    for index, total in enumerate(actual["sums"]):
        assert_accurate(f"sums[{index}]", total, plain[0][index], exact[0][index])
    torch.testing.assert_close(actual["squares"][0], torch.stack(exact[1:], 1), rtol=1e-6, atol=0)


def test_every_batch_starts_its_sums_and_squares_anew() -> None:
    batches = micro_batches(EDGES, torch.float32)
    once, twice = run(batches), run(batches, batch_count=2)
    assert all(torch.equal(*pair) for name in once for pair in zip(once[name], twice[name], strict=True))


def test_an_update_of_measured_gradients_equals_one_that_measures_them() -> None:
    batches = micro_batches(EDGES, torch.bfloat16)
    given = run(batches)
    alone = optimizer(EDGES, 2)
    for grad, total in zip(alone.kept["grads"] or (), given["sums"], strict=True):
        grad.copy_(total)
    alone.update()
    assert torch.equal(alone.norm, given["norm"][0])


def test_the_order_of_programs_changes_no_bit() -> None:
    batches, runs = micro_batches(EDGES, torch.bfloat16), []
    for name in ORDERS:
        with order(name):
            runs.append(run(batches))
    for name, first in runs[0].items():
        assert all(torch.equal(*pair) for run in runs[1:] for pair in zip(first, run[name], strict=True)), name


def test_models_in_one_launch_equal_each_in_its_own() -> None:
    batches = micro_batches(EDGES, torch.float32)
    together = run(batches)
    for k in range(2):
        alone = run(batches, slice(k, k + 1))
        for name in alone:
            for ours, theirs in zip(alone[name], together[name], strict=True):
                assert torch.equal(ours, theirs[k : k + 1]), name


def test_the_noise_scale_is_the_variance_of_micro_batches_over_the_signal() -> None:
    batches = micro_batches([(40,)], torch.float32)
    held, grads = optimizer([(40,)], 2), [torch.empty(2, 40)]
    noise = GradientNoise(held, grads)
    for index, (given,) in enumerate(batches):
        grads[0].copy_(given / MICRO_BATCHES)
        noise.add(first=index == 0)
    signal, trace, simple = reference.noise_scale(*noise.norms(MICRO_BATCHES), micro_batch=8, batch=24)
    drawn = torch.stack([given.double() for (given,) in batches])
    variance = drawn.var(0).sum(-1)
    torch.testing.assert_close(trace, 8 * variance, rtol=1e-5, atol=0)
    torch.testing.assert_close(signal, drawn.mean(0).square().sum(-1) - variance / MICRO_BATCHES, rtol=1e-5, atol=0)
    torch.testing.assert_close(simple, trace / signal)


def test_gradients_that_do_not_match_the_sums_are_refused() -> None:
    held = optimizer([(4,), (5,)], 2)
    with pytest.raises(KernelError, match=r"accumulate: number of tensors is 1 in grads and 2 in sums"):
        GradientNoise(held, [torch.ones(2, 4)])
    with pytest.raises(KernelError, match=r"shape of tensor 1 is \(2, 4\) in grads\[1\] and \(2, 5\) in sums\[1\]"):
        GradientNoise(held, [torch.ones(2, 4), torch.ones(2, 4)])
    with pytest.raises(KernelError, match=r"accumulate: grads\[0\] starts at no multiple of 16 bytes"):
        GradientNoise(held, [torch.ones(9)[1:].view(2, 4), torch.ones(2, 5)])


@pytest.mark.parametrize(("first", "bytes_an_element"), [(True, 2 + 4), (False, 2 + 4 + 4)])
def test_accumulation_reads_and_writes_nothing_else(first: bool, bytes_an_element: int) -> None:
    counts = []
    for size in (BLOCK // 2, BLOCK):
        held = optimizer([(size,)], 1)
        noise = GradientNoise(held, [torch.ones(1, size).bfloat16()])
        noise.add(first=True)
        with counted() as traffic:
            noise.add(first=first)
        counts.append(traffic.read + traffic.written)
    assert counts[1] - counts[0] == bytes_an_element * (BLOCK // 2)
