"""A training step recorded once and run in C++ from then on: calls of ops, and where each of their tensors is.

Launchers are called under :meth:`Stage.recorded` with the tensors of one model, one unit and one part. Tensors that
outlive a part are in memory that was placed before, with the bytes to the next model, unit and part; gradients are
moved there once the calls are recorded; all others are laid out by their lives in an arena, of which each thread has
its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from isoflop import _core
from isoflop.errors import KernelError
from isoflop.kernels.native.arena import Life, aligned, lay_out
from isoflop.kernels.native.call import bfloat16_products, instruction_set, recorded


@dataclass(frozen=True)
class Strides:
    """Bytes to the next model, unit of a stage, part of a unit, thread, and thread that begins a model."""

    model: int = 0
    unit: int = 0
    part: int = 0
    thread: int = 0
    owner: int = 0


class _Call(NamedTuple):
    op: str
    tensors: tuple[Tensor | None, ...]
    sizes: tuple[int, ...]
    settings: tuple[float, ...]
    kept: int


class Stage:
    """What is done for each model in ``units`` that any thread may take, each of ``parts`` that follow each other."""

    def __init__(self, units: int, parts: int = 1) -> None:
        self.units, self.parts = units, parts
        self.calls: list[_Call] = []
        self.placed: dict[int, tuple[Tensor, Strides]] = {}
        self.moved: dict[int, tuple[int, int]] = {}  # storage -> storage that it is in, and where

    def place(self, tensor: Tensor, **strides: int) -> None:
        """The memory of ``tensor`` is as far from that of other models, units, parts as the ``strides`` say."""
        self.placed[_storage(tensor)] = tensor, Strides(**strides)

    def move(self, made: Tensor, into: Tensor) -> None:
        """What calls have written to ``made`` belongs in ``into``, which is in memory that is placed."""
        if made.shape != into.shape or _storage(into) not in self.placed:
            raise KernelError(f"a result of shape {tuple(made.shape)} is moved to {tuple(into.shape)}, placed before")
        self.moved[_storage(made)] = _storage(into), _offset(into) - _offset(made)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Launchers called within are recorded, not run."""
        with recorded(self):
            yield

    def add(
        self, op: str, tensors: Sequence[Tensor | None], sizes: Sequence[int], settings: Sequence[float], kept: int
    ) -> None:
        given = [float(value) for value in settings]
        self.calls.append(_Call(op, tuple(tensors), tuple(sizes), tuple(given), kept))

    def hold(self, constant: Tensor) -> None:
        self.place(constant)

    def lives(self) -> dict[int, Life]:
        """The storages that are in no placed memory, by address."""
        found: dict[int, Life] = {}
        for index, call in enumerate(self.calls):
            for tensor in call.tensors:
                if tensor is None or _storage(tensor) in self.placed or _storage(tensor) in self.moved:
                    continue
                first = found.get(_storage(tensor), Life(0, index, index)).first
                found[_storage(tensor)] = Life(tensor.untyped_storage().nbytes(), first, index)
        return found


class Program:
    """``stages`` for each model, run on as many as ``threads`` threads.

    ``bytes``: of the arenas and of what ops keep between parts, all threads together. The instruction set and the
    products are those of ``use`` where the program is made.
    """

    def __init__(self, stages: Sequence[Stage], *, threads: int) -> None:
        self.threads, self.instruction_set, self.bfloat16 = threads, instruction_set(), bfloat16_products()
        self._core = _core.Program(self.bfloat16)
        self._stages, self._regions = stages, dict[int, int]()
        lives = [stage.lives() for stage in stages]
        laid = [lay_out(list(each.values())) for each in lives]
        self._arena = _of_threads(threads, max(total for _, total in laid))
        self._kept = _of_threads(threads, max(sum(aligned(call.kept) for call in stage.calls) for stage in stages))
        arena, kept = (self._add(each, Strides(thread=each.stride(0))) for each in (self._arena, self._kept))
        for stage, found, (offsets, _) in zip(stages, lives, laid, strict=True):
            at = {storage: (arena, offset) for storage, offset in zip(found, offsets, strict=True)}
            self._add_stage(stage, at, kept)

    @property
    def bytes(self) -> int:
        return self._arena.nbytes + self._kept.nbytes

    @property
    def calls(self) -> int:
        """Of a part, all stages together."""
        return self._core.calls

    def run(self, models: Sequence[int]) -> None:
        """Every stage of each of ``models``, by their numbers."""
        self._core.run(models, self.threads)

    def replace(self, placed: Tensor, other: Tensor, **strides: int) -> None:
        """Read and write ``other``, from the next run on, where the memory of ``placed`` was; the caller keeps it."""
        self._core.move_region(self._regions[_storage(placed)], _place(other, Strides(**strides)))

    def _add(self, tensor: Tensor, strides: Strides) -> int:
        return self._core.add_region(_place(tensor, strides))

    def _add_stage(self, stage: Stage, at: dict[int, tuple[int, int]], kept: int) -> None:
        for storage, (tensor, strides) in stage.placed.items():
            region = self._add(tensor, strides)
            self._regions.setdefault(storage, region)
            at[storage] = region, -_offset(tensor)
        for storage, (into, offset) in stage.moved.items():
            region, start = at[into]
            at[storage] = region, start + offset
        self._core.add_stage(stage.units, stage.parts)
        used = 0
        for call in stage.calls:
            operands = [_operand(tensor, at) for tensor in call.tensors]
            if call.kept:
                operands.append((kept, used))
                used += aligned(call.kept)
            self._core.add_call(call.op, self.instruction_set, operands, call.sizes, call.settings)


def _of_threads(threads: int, count: int) -> Tensor:
    return torch.empty(threads, max(count, 64), dtype=torch.uint8)


def _operand(tensor: Tensor | None, at: dict[int, tuple[int, int]]) -> tuple[int, int]:
    if tensor is None:
        return -1, 0
    region, start = at[_storage(tensor)]
    return region, start + _offset(tensor)


def _place(tensor: Tensor, strides: Strides) -> tuple[int, int, int, int, int, int]:
    return tensor.data_ptr(), strides.model, strides.unit, strides.part, strides.thread, strides.owner


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _offset(tensor: Tensor) -> int:
    return tensor.data_ptr() - _storage(tensor)
