"""Ceilings measured here: what is measured, with what, and in how long."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable

import pytest

from isoflop import peak_of_this_machine
from isoflop.hardware import measured


@pytest.fixture(scope="module")
def ceilings() -> tuple[measured.Ceiling, ...]:
    return peak_of_this_machine(0.5)


def test_products_and_copies_of_the_cpu_are_measured(ceilings: tuple[measured.Ceiling, ...]) -> None:
    found = {(c.kind, c.library, c.dtype) for c in ceilings if c.where == "cpu"}
    assert found >= {("matmul", "numpy", "float32"), ("matmul", "numpy", "float64"), ("copy", "numpy", "uint8")}
    if importlib.util.find_spec("torch"):
        assert found >= {("matmul", "torch", "float32"), ("matmul", "torch", "bfloat16")}


def test_every_rate_says_of_what_size(ceilings: tuple[measured.Ceiling, ...]) -> None:
    for one in ceilings:
        assert one.rate > 1e6
        assert one.size in measured._SIZES or one.kind == "copy"
        assert one.repetitions >= 1


@pytest.mark.parametrize(("rate", "size"), [(1e9, 256), (1e11, 1024), (1e12, 4096), (1e15, 8192)])
def test_sizes_grow_until_a_product_is_long_enough(monkeypatch: pytest.MonkeyPatch, rate: float, size: int) -> None:
    now = 0.0

    def product(n: int) -> Callable[[], None]:
        def once() -> None:
            nonlocal now
            now += 2 * n**3 / rate

        return once

    monkeypatch.setattr(measured.time, "perf_counter", lambda: now)
    found = measured._best_product(product, 10.0, "cpu", "none", "float32")
    assert found.size == size
    assert found.rate == pytest.approx(rate)


def test_all_of_it_takes_less_than_five_seconds_of_a_core() -> None:
    if importlib.util.find_spec("torch"):
        importlib.import_module("torch")
    begun = time.process_time()
    peak_of_this_machine()
    assert time.process_time() - begun < 5


def test_without_torch_numpy_alone_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str, *, extra: str) -> None:
        raise measured.MissingExtra(f"{module} is not installed")

    monkeypatch.setattr(measured, "require", absent)
    assert {c.library for c in peak_of_this_machine(0.1)} == {"numpy"}


def test_the_best_of_repetitions_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0, 9.0, 9.0])
    monkeypatch.setattr(measured.time, "perf_counter", lambda: next(clock))
    assert measured._best(lambda: None, 8.0) == (1.0, 3)
