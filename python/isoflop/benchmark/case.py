"""One op as the benchmark runs it: its kernels, its definition, and the work that it states of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isoflop.benchmark.sizes import Size, Tensors, draw
from isoflop.kernels import reference
from isoflop.kernels.configurations import chip_of, folder, table


class Work(NamedTuple):
    """FLOPs, and the least bytes read and written, of one pass."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Case:
    """One op.

    Attributes:
        op: its row of the table of signatures, and its definition in ``isoflop.kernels.reference``.
        forward: (tensors, results of an earlier call to be filled again or None) to the results.
        results: of what ``forward`` gives, those that the definition gives too.
        work: (size, bytes an element) to the work of the forward pass and, where there is one, of the backward pass.
        backward: (tensors, what ``forward`` gave, gradients of ``results``, those of an earlier call or None) to
            gradients, the first of which are of the tensors named ``gradients``.
        matrix: products of matrices decide its FLOPs, vector units do otherwise.
        settings: what kernels and definition take besides tensors.
        axes: that are not those of ``Size.axes``, of a size.
        without: optional tensors that the call leaves out.
        many: axes beside that of models of each tensor, for an argument that is many.
        drawn: (tensors as drawn, dtype) to the tensors that the call takes.
        dtypes: that it is checked in.
        table: of tiles, which may end at some width: wider rows are others' to compute.
        longest: positions of a sequence that it takes, by the bits of an element; absent: any.
        definition: of one model, in place of the one of that name.
        at_once: the backward pass computes all that the forward pass does: both are one call.
    """

    op: str
    forward: Callable[[Tensors, Any], Any]
    results: Callable[[Any], tuple[Tensor, ...]]
    work: Callable[[Size, int], tuple[Work, ...]]
    backward: Callable[[Tensors, Any, tuple[Tensor, ...], Any], Any] | None = None
    gradients: tuple[str, ...] = ()
    matrix: bool = True
    settings: Callable[[Size], Mapping[str, Any]] = lambda size: {}
    axes: Callable[[Size], Mapping[str, int]] = lambda size: {}
    without: tuple[str, ...] = ()
    many: tuple[int, ...] = (2, 1)
    drawn: Callable[[Tensors, torch.dtype], Tensors] = lambda tensors, dtype: tensors
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float16, torch.bfloat16)
    definition: Callable[..., Any] | None = None
    table: str | None = None
    longest: Mapping[int, int] = field(default_factory=dict)
    at_once: bool = False

    def serves(self, size: Size, dtype: torch.dtype, device: torch.device) -> bool:
        """Whether its kernels take rows so wide and sequences so long."""
        if size.seq > self.longest.get(8 * dtype.itemsize, size.seq):
            return False
        rows = () if self.table is None else table(self.table, chip_of(device), user=folder())
        return not rows or any(row.serves(chip_of(device), 8 * dtype.itemsize, size.width) for row in rows)

    def draw(self, size: Size, dtype: torch.dtype, device: torch.device) -> Tensors:
        """Its tensors at that size."""
        tensors = draw(self.op, size, dtype, device, axes=self.axes(size), without=self.without, many=self.many)
        return self.drawn(tensors, dtype)

    def define(self, size: Size) -> Callable[[Tensors], tuple[Tensor, ...]]:
        """The op of K models in plain torch, one model after another: tensors to the results, one flat tuple."""
        op, settings = reference.on_models(self._definition), self.settings(size)
        return lambda tensors: flat(op(*tensors.values(), **settings))

    def define_one(self, size: Size) -> Callable[[Tensors], tuple[Tensor, ...]]:
        """The op of one model in plain torch, on tensors without a model axis."""
        op, settings = self._definition, self.settings(size)
        return lambda tensors: flat(op(*tensors.values(), **settings))

    @property
    def _definition(self) -> Callable[..., Any]:
        return self.definition or getattr(reference, self.op)


def flat(value: Any) -> tuple[Tensor, ...]:
    """Every tensor of nested tuples and lists, in order."""
    return (value,) if isinstance(value, Tensor) else tuple(each for part in value for each in flat(part))


def both(flops: tuple[float, ...], moved: tuple[float, ...], models: int = 1) -> tuple[Work, ...]:
    """The work of each pass of so many models, from FLOPs and bytes of one, by pass."""
    return tuple(Work(models * f, models * b) for f, b in zip(flops, moved, strict=True))
