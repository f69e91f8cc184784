"""One call of the C++ count against the exact integer reference, side by side."""

from __future__ import annotations

import pytest

from isoflop import Shape, flops
from reference import flops as reference
from shapes import GPT2, LLAMA3_8B


@pytest.mark.benchmark(group="training FLOPs of one shape")
@pytest.mark.parametrize("shape", [GPT2, LLAMA3_8B], ids=["gpt2", "llama-3-8b"])
class TestTrainingFlops:
    def test_cpp(self, benchmark, shape: Shape) -> None:
        counted = flops(shape, batch=8)
        assert benchmark(counted.total, "exact-causal") > 0

    def test_python_reference(self, benchmark, shape: Shape) -> None:
        assert benchmark(reference.training_flops, shape, "exact-causal", 8, shape.n_ctx) > 0


@pytest.mark.benchmark(group="parameters of one shape")
class TestParameters:
    def test_cpp(self, benchmark) -> None:
        assert benchmark(lambda: GPT2.n_nonembedding) == reference.n_nonembedding(GPT2)

    def test_python_reference(self, benchmark) -> None:
        assert benchmark(reference.n_nonembedding, GPT2) == GPT2.n_nonembedding
