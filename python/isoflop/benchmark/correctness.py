"""Every op against its definition in float64, on the device that is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isoflop.benchmark.case import Case
from isoflop.benchmark.cases import CASES
from isoflop.benchmark.native import in_cpp
from isoflop.benchmark.sizes import Size, Tensors

SIZES = (Size(2, 3, 5, 24, 37), Size(3, 2, 67, 40, 131), Size(2, 2, 129, 128, 1000), Size(1, 1, 65, 520, 257))
"""Off the edges of tiles: rows, widths and vocabularies that no power of two divides, and some that it does."""

TIMES = 2.0
"""How much larger than that of plain torch, in the same dtype, an error may be; one rounding is forgiven besides."""


@dataclass(frozen=True)
class Verdict:
    """Of one op in one dtype over all sizes: the worst of its results by error over what is allowed.

    Attributes:
        op, dtype, implementation: what was run, "kernels", "native" or "reference".
        what: result or gradient, and size, of the worst.
        error, torch_error: largest absolute difference from float64, of the op and of plain torch.
        allowed: 2 ``torch_error`` and one rounding of the largest exact value.
        passed: all errors were allowed, and all values finite.
    """

    op: str
    dtype: str
    implementation: str
    what: str
    error: float
    torch_error: float
    allowed: float
    passed: bool


def check(
    op: str, dtype: torch.dtype, device: torch.device, *, kernels: bool, sizes: Sequence[Size] = SIZES
) -> Verdict:  # fmt: skip
    """Results and gradients of ``op`` against the definition in float64.

    They are its kernels'; without ``kernels`` those of its C++, where it has some for a CPU, else the definition's.
    """
    native = None if kernels else in_cpp(op, dtype, device)
    case, ran = native or CASES[op], implementation(op, dtype, device, kernels=kernels)
    served = [size for size in sizes if case.serves(size, dtype, device)]
    found = [verdict for size in served for verdict in _at(case, size, dtype, device, ran)]
    return max(found, key=lambda verdict: (not verdict.passed, verdict.error / max(verdict.allowed, 1e-300)))


def failed(op: str, dtype: torch.dtype, why: str, ran: str) -> Verdict:
    """Of an op that raised an error."""
    of, unknown = str(dtype).removeprefix("torch."), float("inf")
    return Verdict(op, of, ran, f"failed: {why}", unknown, unknown, 0.0, False)


def implementation(op: str, dtype: torch.dtype, device: torch.device, *, kernels: bool) -> str:
    """What :func:`check` runs: "kernels", "native" or "reference"."""
    if kernels:
        return "kernels"
    return "reference" if in_cpp(op, dtype, device) is None else "native"


def _at(case: Case, size: Size, dtype: torch.dtype, device: torch.device, ran: str) -> Iterator[Verdict]:
    tensors = case.draw(size, dtype, device)
    plain = _by_definition(case, size, tensors)
    exact = _by_definition(case, size, _exactly(tensors), cotangents(plain[: len(plain) - len(case.gradients)]))
    made = plain if ran == "reference" else by_kernels(case, tensors)
    for name, actual, own, right in zip(_names(case, len(exact)), made, plain, exact, strict=True):
        error, torch_error = (float((each.double() - right).abs().max()) for each in (actual, own))
        allowed = TIMES * torch_error + torch.finfo(own.dtype).eps * float(right.abs().max())
        where, of = f"{name} at {size}", str(dtype).removeprefix("torch.")
        yield Verdict(case.op, of, ran, where, error, torch_error, allowed, error <= allowed)


def by_kernels(case: Case, tensors: Tensors) -> list[Tensor]:
    """Results, then gradients, of the kernels, or of C++; an op that writes to its tensors does so."""
    state = case.forward(tensors, None)
    results = case.results(state)
    if case.backward is None:
        return [*results]
    made = case.backward(tensors, state, cotangents(results), None)
    return [*results, *made[: len(case.gradients)]]


def cotangents(results: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What gradients of ``results`` begin from: standard normal, always the same, of their dtypes."""
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(each.shape, generator=generator).to(each) for each in results)


def _by_definition(
    case: Case, size: Size, tensors: Tensors, grads: tuple[Tensor, ...] | None = None
) -> tuple[Tensor, ...]:
    """Results, then gradients, of plain torch."""
    leaves = {name: tensors[name].detach().requires_grad_() for name in case.gradients}
    results = case.define(size)(tensors | leaves)
    if not leaves:
        return results
    begun = cotangents(results) if grads is None else tuple(grad.to(r) for grad, r in zip(grads, results, strict=True))
    gradients = torch.autograd.grad(results, list(leaves.values()), begun)
    return (*(each.detach() for each in results), *gradients)


def _names(case: Case, count: int) -> list[str]:
    results = [f"result {index}" for index in range(count - len(case.gradients))]
    return results + [f"gradient of {name}" for name in case.gradients]


def _exactly(tensors: Tensors) -> Tensors:
    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(each) for each in value]
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    return {name: one(value) for name, value in tensors.items()}
