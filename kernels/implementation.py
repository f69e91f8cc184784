"""Which implementation of the ops a module runs: asked for by name, or picked by the device; never in silence."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch

from isoflop.errors import KernelError, nearest, require
from isoflop.kernels import reference
from isoflop.kernels.dispatch import record

CHOICES = ("auto", "triton", "reference")
Ops = Callable[[str], Callable[..., Any]]
"""The name of an op -> it, on tensors with a leading model axis."""


def check_choice(implementation: str) -> None:
    """Raise KernelError where there is no such choice."""
    if implementation not in CHOICES:
        raise KernelError(f"there is no implementation {implementation!r}", hint=nearest(implementation, CHOICES))


def ops(implementation: str, device: torch.device) -> Ops:
    """The ops for tensors on ``device``: "triton", "reference" (plain torch), or "auto": Triton on a GPU alone.

    Triton's interpreter counts as a GPU. What ran is told by ``last_dispatch()``.

    Raises:
        KernelError: an unknown choice; "triton" away from a GPU.
        MissingExtra: Triton is chosen and not installed.
    """
    if _chosen(implementation, device) == "reference":
        return _definition
    from isoflop.kernels import operators

    def operator(name: str) -> Callable[..., Any]:
        return getattr(operators, name)  # type: ignore[no-any-return]

    return operator


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _chosen(implementation: str, device: torch.device) -> str:
    check_choice(implementation)
    runs = device.type == "cuda" or _interpreted()
    if implementation == "reference" or (implementation == "auto" and not runs):
        return "reference"
    require("triton", extra="gpu")
    if not runs:
        raise KernelError(
            f"Triton kernels run on a GPU, and the tensors are on {device}",
            hint="implementation='auto' runs the plain definition there",
        )
    return "triton"


def _interpreted() -> bool:
    if importlib.util.find_spec("triton") is None:
        return False
    return bool(importlib.import_module("triton").knobs.runtime.interpret)


def _definition(name: str) -> Callable[..., Any]:
    _note(name)
    return reference.on_models(getattr(reference, name))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _note(name: str) -> None:
    record(name, "reference")
