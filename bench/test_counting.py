"""The C++ counts against NumPy, a Python loop and the exact integer reference, side by side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from isoflop import Shape, flops
from isoflop.counting import flops_columns
from reference import flops as reference
from shapes import GPT2, LLAMA3_8B


@pytest.mark.benchmark(group="training FLOPs of one shape")
@pytest.mark.parametrize("shape", [GPT2, LLAMA3_8B], ids=["gpt2", "llama-3-8b"])
class TestTrainingFlops:
    def test_cpp(self, benchmark, shape: Shape) -> None:
        counted = flops(shape, 8)
        assert benchmark(counted.total, "exact-causal") > 0

    def test_python_reference(self, benchmark, shape: Shape) -> None:
        assert benchmark(reference.convention_flops, shape, "exact-causal", 8, shape.n_ctx)[1] > 0


@pytest.mark.benchmark(group="parameters of one shape")
class TestParameters:
    def test_cpp(self, benchmark) -> None:
        assert benchmark(lambda: GPT2.n_nonembedding) == reference.n_nonembedding(GPT2)

    def test_python_reference(self, benchmark) -> None:
        assert benchmark(reference.n_nonembedding, GPT2) == GPT2.n_nonembedding


@pytest.mark.benchmark(group="flops(shape), one call")
def test_flops_of_a_shape(benchmark) -> None:
    assert benchmark(flops, LLAMA3_8B).seq == LLAMA3_8B.n_ctx


FIELDS = ("n_layer", "d_model", "n_head", "n_kv_head", "d_head", "d_ff", "n_ctx", "n_vocab")
ROWS = 500_000
Whole = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def columns() -> dict[str, Whole]:
    draw = np.random.default_rng(0)
    heads = draw.integers(1, 64, ROWS)
    return {
        "n_layer": draw.integers(1, 128, ROWS),
        "d_model": 64 * heads,
        "n_head": heads,
        "n_kv_head": heads.copy(),
        "d_head": np.full(ROWS, 64),
        "d_ff": draw.integers(64, 65536, ROWS),
        "n_ctx": draw.integers(128, 8192, ROWS),
        "n_vocab": draw.integers(1000, 200_000, ROWS),
    }


def products(n_layer, d_model, n_head, n_kv_head, d_head, d_ff, n_ctx, n_vocab):  # type: ignore[no-untyped-def]
    """Training FLOPs of a causal decoder's matrix products: of numbers, or of arrays of doubles."""
    d_attn, d_kv = n_head * d_head, n_kv_head * d_head
    qkv = 2.0 * n_layer * n_ctx * d_model * (d_attn + 2.0 * d_kv)
    logits = 2.0 * n_layer * (0.5 * n_ctx * (n_ctx + 1.0)) * d_attn
    proj = 2.0 * n_layer * n_ctx * d_attn * d_model
    mlp = 2.0 * n_layer * n_ctx * d_model * d_ff * 2.0
    unembed = 2.0 * n_ctx * d_model * n_vocab
    return 3.0 * (qkv + logits + logits + proj + mlp + unembed)


def per_row(benchmark, rows: int) -> None:
    if benchmark.stats is not None:
        benchmark.extra_info["ns a shape"] = round(benchmark.stats.stats.min / rows * 1e9, 2)


@pytest.mark.benchmark(group=f"training FLOPs of {ROWS:,} shapes, all matrix products (exact-causal)")
class TestColumns:
    @pytest.mark.parametrize("threads", [1, 2])
    def test_cpp(self, benchmark, columns: dict[str, Whole], threads: int) -> None:
        got = benchmark(flops_columns, columns, "exact-causal", threads=threads)
        np.testing.assert_allclose(got, products(*(columns[name].astype(float) for name in FIELDS)), rtol=1e-12)
        per_row(benchmark, ROWS)

    def test_numpy(self, benchmark, columns: dict[str, Whole]) -> None:
        assert benchmark(lambda: products(*(columns[name].astype(float) for name in FIELDS))).size == ROWS
        per_row(benchmark, ROWS)

    def test_python_loop(self, benchmark, columns: dict[str, Whole]) -> None:
        rows = list(zip(*(columns[name].tolist() for name in FIELDS), strict=True))
        assert len(benchmark.pedantic(lambda: [products(*row) for row in rows], rounds=1)) == ROWS
        per_row(benchmark, ROWS)


@pytest.mark.benchmark(group=f"training FLOPs of {ROWS:,} shapes, elementwise work too (every-term)")
@pytest.mark.parametrize("threads", [1, 2])
def test_every_term(benchmark, columns: dict[str, Whole], threads: int) -> None:
    assert benchmark(flops_columns, columns, "every-term", threads=threads).size == ROWS
    per_row(benchmark, ROWS)
