"""The updates of the native engine, by optimizer: stages of its program, from gradients and their squares."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isoflop.kernels.native import adafactor, adamw, average, muon
from isoflop.kernels.native.program import Stage
from isoflop.kernels.parameter_kinds import Kind, kind_of
from isoflop.train.engine.flat import KINDS, Flat
from isoflop.train.engine.regime import ADAMW
from isoflop.train.engine.state import State
from isoflop.train.optimizers import MUON_MOMENTUM, MUON_RMS


@dataclass(frozen=True)
class Updates:
    """What updates read and write: the state; gradients (threads, slots, numbers); squares (K, chunks, 1 + slots)."""

    state: State
    grads: Tensor
    squares: Tensor

    def stages(self) -> list[Stage]:
        """Those of the optimizer, then that of averages."""
        made = _OPTIMIZERS[self.state.regime.optimizer](self)
        return [*made, self._averaging()] if self.state.regime.averaged else made

    def by_chunk(self) -> Stage:
        """A stage whose units are chunks of the parameters."""
        held, bytes_of_chunk = self.state, 4 * self.state.flat.chunk
        stage = Stage(held.flat.chunks)
        for tensor in (held.params, held.judged):
            stage.place(tensor, model=row(tensor), unit=bytes_of_chunk)
        stage.place(self.grads, unit=bytes_of_chunk, owner=row(self.grads))
        return stage

    def of_chunk(self, flat: Tensor) -> Tensor:
        """The first chunk of the first model of ``flat`` (K, ..., numbers)."""
        return flat[:1, ..., : self.state.flat.chunk]

    def place_numbers(self, stage: Stage) -> None:
        """What an update of any unit reads of a model."""
        for tensor in (self.squares, self.state.rows, self.state.steps):
            stage.place(tensor, model=row(tensor))

    def by_adamw(self, kinds: Collection[Kind]) -> Stage:
        """AdamW on parameters of these kinds, chunk by chunk."""
        held, chosen = self.state, [index for index, kind in enumerate(KINDS) if kind in kinds]
        pieces = torch.tensor([held.flat.pieces_of_chunk(chunk) for chunk in range(held.flat.chunks)])[:, chosen]
        factors = held.factors[:, chosen]
        first, second = (numbers for _, numbers in held.moments.values())
        stage = self.by_chunk()
        self.place_numbers(stage)
        stage.place(pieces, unit=row(pieces))
        stage.place(factors, model=row(factors))
        for tensor in (first, second):
            stage.place(tensor, model=row(tensor), unit=4 * held.flat.chunk)
        with stage.recorded():
            adamw.update(
                self.of_chunk(held.params), self.of_chunk(self.grads), self.of_chunk(first), self.of_chunk(second),
                self.squares[:1], self._hyper, held.steps[:1], pieces[:1], factors[:1],
            )  # fmt: skip
        return stage

    def by_tensor(self, names: Sequence[str], move: Callable[[_Parameter], None], *, blocks: int) -> Stage:
        """``move`` on each parameter of these names; those of the first block stand for those of all ``blocks``."""
        held, stage = self.state, Stage(blocks)
        self.place_numbers(stage)
        stage.place(held.factors, model=row(held.factors))
        stage.place(self.grads, unit=4 * held.flat.apart(names[0]), owner=row(self.grads))
        for flat, numbers in ((held.flat, held.params), *held.moments.values()):
            stage.place(numbers, model=row(numbers), unit=4 * flat.apart(names[0]))
        with stage.recorded():
            for name in names:
                move(_Parameter(self, name))
        return stage

    def _averaging(self) -> Stage:
        held, stage = self.state, self.by_chunk()
        stage.place(held.rows, model=row(held.rows))
        with stage.recorded():
            average.update(self.of_chunk(held.judged), self.of_chunk(held.params), held.column("newest")[:1])
        return stage

    @property
    def _hyper(self) -> Tensor:
        return self.state.rows[:1, : len(ADAMW)]


class _Parameter:
    """One parameter of the first model, with all that its update takes."""

    def __init__(self, updates: Updates, name: str) -> None:
        held = updates.state
        begin, end = held.flat.place(name)
        self.params = held.flat.views(held.params[:1])[name]
        self.grads = updates.grads[:1, :, begin:end]
        self.squares, self.hyper, self.steps = updates.squares[:1], held.rows[:1, : len(ADAMW)], held.steps[:1]
        self.factors = held.factors[:1, KINDS.index(kind_of(name))]
        self.moments = {
            kind: flat.views(numbers[:1])[name] for kind, (flat, numbers) in held.moments.items() if name in flat.names
        }


def _by_adamw(updates: Updates) -> list[Stage]:
    return [updates.by_adamw(KINDS)]


def _by_muon(updates: Updates) -> list[Stage]:
    """On matrices between widths; AdamW on the rest."""
    rest, held = updates.by_adamw([kind for kind in KINDS if kind != "hidden"]), updates.state
    return [rest, updates.by_tensor(_of_first_block(held.flat), _move_by_muon, blocks=held.shape.n_layer)]


def _by_adafactor(updates: Updates) -> list[Stage]:
    held = updates.state
    rest = [name for name in held.flat.names if kind_of(name) != "hidden"]
    return [
        updates.by_tensor(_of_first_block(held.flat), _move_by_adafactor, blocks=held.shape.n_layer),
        updates.by_tensor(rest, _move_by_adafactor, blocks=1),
    ]


def _of_first_block(flat: Flat) -> list[str]:
    """Its matrices: those of the next block lie behind them in the same order."""
    return [name for name in flat.names if kind_of(name) == "hidden" and name.startswith("blocks.0.")]


def _move_by_muon(of: _Parameter) -> None:
    size = MUON_RMS * math.sqrt(max(of.params.shape[1:]))
    muon.update(
        of.params, of.grads, of.moments["first"], of.squares, of.hyper, of.factors, momentum=MUON_MOMENTUM, size=size
    )


def _move_by_adafactor(of: _Parameter) -> None:
    moments = of.moments["row"], of.moments.get("column")
    adafactor.update(of.params, of.grads, *moments, of.squares, of.hyper, of.factors, of.steps)


_OPTIMIZERS: Mapping[str, Callable[[Updates], list[Stage]]] = {
    "adamw": _by_adamw,
    "muon": _by_muon,
    "adafactor": _by_adafactor,
}


def row(tensor: Tensor) -> int:
    """Bytes from a model, or a thread, to the next."""
    return tensor.stride(0) * tensor.itemsize
