"""The levels of docs/kernel-levels.md: each is right, and its bytes and FLOPs are those that its programs make."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from triton.runtime import interpreter

from proof.accuracy import assert_accurate
from proof.interpreter import fenced, fenced_empties, make_bfloat16_honest
from proof.traffic import counted

sys.path.append(str(Path(__file__).resolve().parents[3] / "bench"))
from levels.arithmetic import Launch, launches
from levels.ladder import LEVELS
from levels.measured import by_definition
from levels.task import DEEP, Weights, draw

make_bfloat16_honest()

WIDTH, DEPTH = 12, DEEP * 12  # tiles have 16 or 32 rows and hidden columns
SIZES = dict.fromkeys(LEVELS, (2, 35)) | {2: (1, 5)}  # models, rows; the naive product has a program for each number
ALONE = [number for number, level in LEVELS.items() if number >= 6]


def given(level: int, dtype: torch.dtype) -> tuple[Tensor, Weights]:
    x, weights = draw(*SIZES[level], WIDTH, dtype, "cpu")
    return fenced(x), Weights(*map(fenced, weights))


def made(level: int, models: int, rows: int) -> list[Launch]:
    return launches(level, models, rows, WIDTH, DEPTH, {"rows": 16})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("level", LEVELS)
def test_every_level_is_no_further_from_float64_than_twice_plain_torch(level: int, dtype: torch.dtype) -> None:
    x, weights = given(level, dtype)
    exact = by_definition(x.double(), Weights(*(each.double() for each in weights)))
    with fenced_empties():
        actual = LEVELS[level](x, weights)
    assert_accurate(LEVELS[level].name, actual, by_definition(x, weights), exact)


@contextmanager
def lanes() -> Iterator[list[int]]:
    """How many elements each load and store inside asks for."""
    builder, seen = interpreter.InterpreterBuilder, [0]
    load, store = builder.create_masked_load, builder.create_masked_store

    def count(pointers: Any, mask: Any) -> None:
        seen.append(int(np.broadcast_to(mask.data, pointers.data.shape).sum()))

    def counting_load(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        count(pointers, mask)
        return load(self, pointers, mask, *rest)

    def counting_store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        count(pointers, mask)
        return store(self, pointers, value, mask, *rest)

    builder.create_masked_load, builder.create_masked_store = counting_load, counting_store
    try:
        yield seen
    finally:
        builder.create_masked_load, builder.create_masked_store = load, store


@pytest.mark.parametrize("level", [number for number in LEVELS if number > 1])
def test_what_the_programs_of_a_level_ask_for_is_what_the_arithmetic_says(level: int) -> None:
    x, weights = given(level, torch.float32)
    with lanes() as seen:
        LEVELS[level](x, weights)
    ours = [launch.asked for launch in made(level, *SIZES[level]) if launch.triton]
    assert sum(seen) == sum(each for each in ours if each is not None)


@pytest.mark.parametrize("level", ALONE)
def test_one_launch_touches_each_tensor_once(level: int) -> None:
    x, weights = given(level, torch.float32)
    with counted() as traffic:
        LEVELS[level](x, weights)
    models, rows = SIZES[level]
    assert traffic.moved(4) == 4 * sum(launch.least for launch in made(level, models, rows))
    assert sum(launch.flops for launch in made(level, models, rows)) > models * 4 * rows * WIDTH * DEPTH


def test_bytes_fall_level_by_level_as_less_goes_through_memory() -> None:
    least = {level: sum(launch.least for launch in made(level, 2, 35)) for level in LEVELS}
    asked = {level: sum(launch.asked or 0 for launch in made(level, 2, 35)) for level in LEVELS}
    assert least[2] == least[3] > least[1] > least[4] > least[5] > least[6] == least[7] == least[8]
    assert asked[2] > asked[3] > asked[4] > asked[6] == asked[7]
    assert [len(made(level, 2, 35)) for level in LEVELS] == [10, 14, 14, 6, 4, 2, 1, 1]
