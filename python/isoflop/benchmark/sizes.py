"""Sizes that ops are run at, and the tensors of an op at one of them, drawn from the table of signatures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isoflop.kernels.signatures import OPS, Argument

Tensors = dict[str, Any]
"""By name: a tensor, a list of tensors for an argument that is many, None for one left out."""

_HYPER = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0, "momentum": 0.95}
_MATRIX = re.compile("weight$|w_|router$|.*_table$")


class Size(NamedTuple):
    """Of a call: ``models`` models of ``batch`` sequences of ``seq`` rows of ``width``, labels below ``vocabulary``."""

    models: int
    batch: int
    seq: int
    width: int
    vocabulary: int

    @property
    def rows(self) -> int:
        """Of one model."""
        return self.batch * self.seq

    @property
    def d_head(self) -> int:
        """The widest of at most 64 that divides the width."""
        return next(d for d in range(min(64, self.width), 0, -1) if self.width % d == 0)

    @property
    def axes(self) -> dict[str, int]:
        """Every axis of the table of signatures: inner widths are the width, of an MLP four times it."""
        heads, wide = self.width // self.d_head, self.width
        axes = {"K": self.models, "B": self.batch, "T": self.seq, "M": self.rows, "D": wide, "I": wide, "O": wide}
        return axes | {
            "H": heads, "G": heads, "C": self.d_head, "R": 3 * wide, "S": wide,
            "V": self.vocabulary, "P": self.seq, "F": 4 * wide,
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.models} x {self.batch} x {self.seq} x {self.width}"


def draw(
    op: str, size: Size, dtype: torch.dtype, device: torch.device, *,
    axes: Mapping[str, int], without: tuple[str, ...] = (), many: tuple[int, ...] = (),
) -> Tensors:  # fmt: skip
    """The tensors of ``op``, in the order of its signature, the same on every device and at every call.

    ``axes`` go before those of ``size``; optional tensors named ``without`` are None; an argument
    that is many has one tensor for each of ``many``, with so many axes of the width. Matrices are scaled by
    1/sqrt(fan in), gains are near 1, the rest is standard normal, labels and tokens uniform.
    """
    generator, sizes = torch.Generator().manual_seed(sum(size)), size.axes | dict(axes)

    def one(argument: Argument, shape: list[int]) -> Tensor:
        if argument.dtype == "int64":
            high = sizes["V"] if argument.name in ("tokens", "targets") else 1
            return torch.randint(high, shape, generator=generator)
        if argument.name in _HYPER:
            return torch.full(shape, _HYPER[argument.name], dtype=torch.float64)
        exact = getattr(torch, argument.dtype, None)
        if exact is torch.float32:
            return torch.rand(shape, generator=generator)
        drawn = torch.randn(shape, generator=generator)
        if _MATRIX.match(argument.name):
            drawn *= shape[-1] ** -0.5
        return (1 + 0.1 * drawn if argument.name.startswith("gain") else drawn).to(dtype)

    given: Tensors = {}
    for argument in OPS[op].arguments:
        if argument.name in without:
            given[argument.name] = None
        elif argument.many:
            shapes = [[sizes["K"], *[size.width] * rank] for rank in many]
            given[argument.name] = [one(argument, shape).to(device) for shape in shapes]
        else:
            given[argument.name] = one(argument, [sizes[axis] for axis in argument.axes.split()]).to(device)
    return given


def of_model(tensors: Tensors, k: int) -> Tensors:
    """The tensors of model ``k``, views without the model axis."""

    def one(value: Any) -> Any:
        if isinstance(value, list):
            return [one(each) for each in value]
        return None if value is None else value[k]

    return {name: one(value) for name, value in tensors.items()}
