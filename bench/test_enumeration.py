"""The search of shapes against NumPy over every candidate of the same space, one thread, same answer.

``candidates/s`` counts the space. The search proves most candidates farther off without computing their counts;
``evaluated/s`` counts those it computed. The exhaustive search computes every one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isoflop import _core
from shapes import GPT2

TARGET, LIMIT = 1e8, 100
SPACE: dict[str, Any] = {
    "n_layer": (1, 64),
    "d_model": (64, 4096),
    "d_head": (64, 128),
    "kv_group": (1, 8),
    "aspect": (8.0, 256.0),
    "ff_ratio": (1.0, 8.0),
    "multiple_of": 64,
    "even_heads": False,
}
ALL_WIDTHS = SPACE | {"d_model": (8, 32_768), "n_layer": (1, 256), "multiple_of": 8}
GOALS = {
    "N": [(_core.Quantity.N_NONEMBEDDING, TARGET, False)],
    "N and FLOPs": [(_core.Quantity.N_NONEMBEDDING, TARGET, False), (_core.Quantity.FLOPS, 1024 * 1.1e9, False)],
}


def search(space: dict[str, Any], goals: str, *, exhaustive: bool = False, threads: int = 1) -> Any:
    return _core.nearest_shapes(
        fixed=GPT2.core,
        **space,
        goals=GOALS[goals],
        convention="exact-causal",
        seq=1024,
        limit=LIMIT,
        threads=threads,
        exhaustive=exhaustive,
    )


def with_numpy(space: dict[str, Any]) -> tuple[np.ndarray[Any, Any], int]:
    """The least distances from N and how many candidates there were; d_ff as a vector, the rest as loops."""
    best, covered = np.empty(0), 0
    for d in range(space["d_model"][0], space["d_model"][1] + 1, space["multiple_of"]):
        layers = np.arange(space["n_layer"][0], space["n_layer"][1] + 1)
        layers = layers[(d / layers >= space["aspect"][0]) & (d / layers <= space["aspect"][1])][:, None]
        d_ff = np.arange(space["multiple_of"], 8 * d + 1, space["multiple_of"])
        d_ff = d_ff[(d_ff / d >= space["ff_ratio"][0]) & (d_ff / d <= space["ff_ratio"][1])]
        for d_head in range(64, min(128, d) + 1):
            for group in range(1, 9):
                if d % d_head or (d // d_head) % group:
                    continue
                kv = d // group
                block = 2 * d * (d + kv) + 2 * d * d_ff + (d + 2 * kv + d) + (d_ff + d) + 4 * d
                distance = np.abs(layers * block + 2 * d - TARGET).ravel() * (1 / TARGET)
                covered += distance.size
                if distance.size > LIMIT:
                    distance = np.partition(distance, LIMIT)[:LIMIT]
                best = np.sort(np.concatenate([best, distance]))[:LIMIT]
    return best, covered


def report(benchmark: Any, covered: int, evaluated: int) -> None:
    if benchmark.stats is None:  # run once, untimed
        return
    seconds = benchmark.stats.stats.min
    benchmark.extra_info |= {"candidates/s": f"{covered / seconds:.3g}", "evaluated/s": f"{evaluated / seconds:.3g}"}


@pytest.mark.benchmark(group="shapes nearest to N, one space, one thread")
class TestOneSpace:
    def test_search(self, benchmark: Any) -> None:
        columns, covered, evaluated = benchmark(search, SPACE, "N")
        report(benchmark, covered, evaluated)
        np.testing.assert_array_equal(columns["distance"], with_numpy(SPACE)[0])

    def test_exhaustive(self, benchmark: Any) -> None:
        columns, covered, evaluated = benchmark(search, SPACE, "N", exhaustive=True)
        report(benchmark, covered, evaluated)
        assert covered == evaluated
        np.testing.assert_array_equal(columns["distance"], search(SPACE, "N")[0]["distance"])

    def test_numpy(self, benchmark: Any) -> None:
        _, covered = benchmark.pedantic(with_numpy, (SPACE,), rounds=3)
        report(benchmark, covered, covered)


@pytest.mark.benchmark(group="shapes nearest to N and FLOPs, one space, one thread")
class TestTwoGoals:
    def test_search(self, benchmark: Any) -> None:
        _, covered, evaluated = benchmark(search, SPACE, "N and FLOPs")
        report(benchmark, covered, evaluated)

    def test_exhaustive(self, benchmark: Any) -> None:
        _, covered, evaluated = benchmark(search, SPACE, "N and FLOPs", exhaustive=True)
        report(benchmark, covered, evaluated)


@pytest.mark.benchmark(group="shapes nearest to N, every multiple of 8 to 32,768")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_space(benchmark: Any, threads: int) -> None:
    _, covered, evaluated = benchmark(search, ALL_WIDTHS, "N", threads=threads)
    report(benchmark, covered, evaluated)
