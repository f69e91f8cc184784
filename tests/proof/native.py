"""The native ops against their definitions: every instruction set of this machine, both kinds of products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from isoflop import _core
from isoflop.kernels.native.call import PRODUCTS, use
from proof.accuracy import assert_accurate

Tensors = dict[str, Tensor | None]
by_instruction_set = pytest.mark.parametrize("instruction_set", _core.usable_isas())


def gradients(definition: Callable[..., Any], given: Tensors, dtype: torch.dtype) -> dict[str, Tensor]:
    """The results of ``definition`` of leaves ``given``, in ``dtype``, by name, and gradients by those named "d...".

    ``definition`` takes the leaves by name and returns results by name; gradients are summed against ``given``'s own
    of the name "d" and the result.
    """
    leaves = {name: None if each is None else each.detach().to(dtype).requires_grad_() for name, each in given.items()}
    upstream = {name: leaves.pop(name) for name in list(leaves) if name.startswith("grad_")}
    results: dict[str, Tensor] = definition(**leaves)
    torch.autograd.backward(list(results.values()), [upstream[f"grad_{name}"] for name in results])
    made = {name: value.detach() for name, value in results.items()}
    return made | {f"d{name}": each.grad for name, each in leaves.items() if each is not None and each.grad is not None}


def runs(native: Callable[[], dict[str, Tensor]], instruction_set: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """What ``native`` makes with an instruction set, by the kind of products."""
    for products in PRODUCTS:
        with use(instruction_set=instruction_set, products=products):
            yield products, native()


def assert_native(
    native: Callable[..., dict[str, Tensor]], definition: Callable[..., Any], given: Tensors, instruction_set: str
) -> None:
    """Results and gradients of ``native`` are those of ``definition`` in float64, no less right than torch's.

    Products of bfloat16 are held against torch in bfloat16 throughout.
    """
    exact = gradients(definition, given, torch.float64)
    for products, actual in runs(lambda: native(**given), instruction_set):
        dtype = torch.bfloat16 if products == "bfloat16" else torch.float32
        plain = gradients(definition, given, dtype)
        assert actual.keys() == exact.keys()
        for name, value in actual.items():
            assert value.isfinite().all(), f"{name}: an element was never written"
            assert_accurate(f"{name}, {products}", value.to(dtype), plain[name], exact[name])
