"""Runs are stacked with their kind, the longest last, so that no worker waits long for another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from isoflop.errors import NotEnoughMemory
from isoflop.hardware import cores
from isoflop.sweep import packing
from isoflop.sweep.cost import own_shares, typical_seconds
from isoflop.sweep.packing import LARGEST, pack
from isoflop.train.footprint import needed
from isoflop.train.spec import TrainSpec, stack_key

MakeSpecs = Callable[..., list[TrainSpec]]


def seconds(stack: list[TrainSpec]) -> float:
    return sum(map(typical_seconds, stack))


@pytest.fixture
def specs(make_specs: MakeSpecs) -> list[TrainSpec]:
    """Six kinds, 36 runs of different lengths of each."""
    return make_specs(
        shapes=[{"d_model": [4, 8, 16]}],
        tokens=[3200, 6400, 12_800],
        train={"seeds": list(range(12)), "engine": "native", "batch_scan": [1, 2]},
    )


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_every_run_is_in_one_stack_of_its_kind(specs: list[TrainSpec], workers: int) -> None:
    stacks = pack(specs, workers)
    packed = [spec for stack in stacks for spec in stack]
    assert len(packed) == len(specs) == 216
    assert set(packed) == set(specs)
    for stack in stacks:
        assert len({stack_key(spec) for spec in stack}) == 1
        assert len(stack) <= LARGEST["native"]
    assert max(map(len, stacks)) > 1
    assert [seconds(stack) for stack in stacks] == sorted(seconds(stack) for stack in stacks)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_workers_end_together_but_for_a_quarter_of_their_share(specs: list[TrainSpec], workers: int) -> None:
    stacks, busy = pack(specs, workers), [0.0] * workers
    share = seconds(specs) / workers
    while stacks:
        busy[busy.index(min(busy))] += seconds(stacks.pop())
    assert max(busy) <= 1.25 * share
    assert max(busy) - min(busy) <= share / 4


def test_torch_trains_runs_one_by_one(make_specs: MakeSpecs) -> None:
    assert [len(stack) for stack in pack(make_specs(), 2)] == [1] * 4


def taken(stack: list[TrainSpec]) -> int:
    return sum(needed(stack, threads=max(1, int(cores()) // 2)).values())


def test_models_that_fill_the_memory_are_not_stacked(specs: list[TrainSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    largest = max(specs, key=lambda spec: taken([spec]))
    monkeypatch.setattr(packing, "memory_bytes", lambda: 2 * 2 * taken([largest] * 3))
    by_size = {spec.shape.n_params: 0 for spec in specs}
    for stack in pack(specs, 2):
        assert taken(stack) <= 1.01 * taken([largest] * 3)
        by_size[stack[0].shape.n_params] = max(by_size[stack[0].shape.n_params], len(stack))
    assert by_size[largest.shape.n_params] <= 4 < max(by_size.values())


def test_a_run_past_the_memory_is_refused_before_any_is_trained(
    specs: list[TrainSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "memory_bytes", lambda: 2**16)
    with pytest.raises(NotEnoughMemory, match=r"1 model of 1,340 parameters, .*GiB are there\n.*"):
        pack(specs, 2)


def test_nothing_packs_into_nothing() -> None:
    assert pack([], 2) == []


def test_cool_downs_go_with_their_trunk_and_cost_what_they_add(make_specs: MakeSpecs) -> None:
    train = {"seeds": [0, 1, 2], "engine": "torch", "one_trunk": True, "schedule": "wsd"}
    specs = make_specs(shapes=[{"d_model": 8}], tokens=[3200, 6400, 12_800], train=train)
    stacks = pack(specs, 2)
    assert [sorted(spec.tokens for spec in stack) for stack in stacks] == [[3200, 6400, 12_800]] * 3
    assert all(len({spec.seed for spec in stack}) == 1 for stack in stacks)
    own = own_shares(specs)
    assert {spec.tokens: share for spec, share in own.items()} == pytest.approx({3200: 0.2, 6400: 0.2, 12_800: 1.0})


def test_a_run_is_judged_no_more_often_than_it_has_steps_and_once_for_each_measurement(
    make_specs: MakeSpecs,
) -> None:
    spec = make_specs()[0]
    judged = [replace(spec, evaluations=count) for count in (spec.n_steps, 100 * spec.n_steps)]
    assert typical_seconds(judged[0]) == typical_seconds(judged[1]) > typical_seconds(spec)
    steps = typical_seconds(replace(spec, evaluations=1, eval_tokens=1024)) * 2 - typical_seconds(
        replace(spec, evaluations=1, eval_tokens=2048)
    )
    more = replace(spec, measurements=("accuracy", "gap"), exact_match=(2,), transfer=("other",))
    assert typical_seconds(more) - steps == pytest.approx(4 * (typical_seconds(spec) - steps))
