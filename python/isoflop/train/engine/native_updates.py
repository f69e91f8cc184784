"""The updates of the native engine, by optimizer: stages of its program, from gradients and their squares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isoflop.kernels.native import adafactor, adamw, average, muon
from isoflop.kernels.native.program import Stage
from isoflop.kernels.parameter_kinds import kind_of
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

    def by_chunk(self, flat: Flat) -> Stage:
        """A stage whose units are the chunks of ``flat``: all parameters, or the first of them."""
        held, bytes_of_chunk = self.state, 4 * flat.chunk
        stage = Stage(flat.chunks)
        for tensor in (held.params, held.judged):
            stage.place(tensor, model=row(tensor), unit=bytes_of_chunk)
        stage.place(self.grads, unit=bytes_of_chunk, owner=row(self.grads))
        return stage

    def place_numbers(self, stage: Stage) -> None:
        """What an update of any unit reads of a model."""
        for tensor in (self.squares, self.state.rows, self.state.steps):
            stage.place(tensor, model=row(tensor))

    def by_adamw(self) -> Stage:
        """AdamW, chunk by chunk, on the parameters that have a second moment."""
        held = self.state
        (_, first), (flat, second) = held.moments.values()
        pieces = torch.tensor([flat.pieces_of_chunk(chunk) for chunk in range(flat.chunks)])
        stage = self.by_chunk(flat)
        self.place_numbers(stage)
        stage.place(pieces, unit=row(pieces))
        stage.place(held.factors, model=row(held.factors))
        for tensor in (first, second):
            stage.place(tensor, model=row(tensor), unit=4 * flat.chunk)
        with stage.recorded():
            adamw.update(
                of_chunk(held.params, flat), of_chunk(self.grads, flat), of_chunk(first, flat), of_chunk(second, flat),
                self.squares[:1], self._hyper, held.steps[:1], pieces[:1], held.factors[:1],
            )  # fmt: skip
        return stage

    def by_tensor(self, names: Sequence[str], move: Callable[[_Parameter], None], *, blocks: int) -> Stage:
        """``move`` on each matrix or vector of these names: those of a block stand for ``blocks`` from it on."""
        held, stage = self.state, Stage(blocks)
        self.place_numbers(stage)
        stage.place(held.factors, model=row(held.factors))
        stage.place(self.grads, unit=4 * held.flat.apart(names[0]), owner=row(self.grads))
        for flat, numbers in ((held.flat, held.params), *held.moments.values()):
            stage.place(numbers, model=row(numbers), unit=4 * flat.apart(names[0]))
        with stage.recorded():
            for name in names:
                for of in _parameters(self, name):
                    move(of)
        return stage

    def _averaging(self) -> Stage:
        held, stage = self.state, self.by_chunk(self.state.flat)
        stage.place(held.rows, model=row(held.rows))
        with stage.recorded():
            judged, params = (of_chunk(each, held.flat) for each in (held.judged, held.params))
            average.update(judged, params, held.column("newest")[:1])
        return stage

    @property
    def _hyper(self) -> Tensor:
        return self.state.rows[:1, : len(ADAMW)]


@dataclass(frozen=True)
class _Parameter:
    """One matrix or vector of the first model, with all that its update takes."""

    params: Tensor
    grads: Tensor
    moments: Mapping[str, Tensor]
    factors: Tensor
    squares: Tensor
    hyper: Tensor
    steps: Tensor


def _parameters(updates: Updates, name: str) -> Iterator[_Parameter]:
    """The parameter of that name; where it is a stack of matrices, each of them."""
    held = updates.state
    begin, _ = held.flat.place(name)
    value = held.flat.views(held.params[:1])[name]
    moments = {
        kind: flat.views(numbers[:1])[name] for kind, (flat, numbers) in held.moments.items() if name in flat.names
    }
    own = held.factors[:1, KINDS.index(kind_of(name))]
    stacked = value.ndim > 3
    for index in range(value.shape[1] if stacked else 1):
        params, *rest = (each[:, index] if stacked else each for each in (value, *moments.values()))
        first = begin + index * params.numel()
        yield _Parameter(
            params, updates.grads[:1, :, first : first + params.numel()], dict(zip(moments, rest, strict=True)), own,
            updates.squares[:1], held.rows[:1, : len(ADAMW)], held.steps[:1],
        )  # fmt: skip


def _by_adamw(updates: Updates) -> list[Stage]:
    return [updates.by_adamw()]


def _by_muon(updates: Updates) -> list[Stage]:
    """On matrices between widths; AdamW on the rest."""
    return [updates.by_adamw(), *_on_hidden(updates, _move_by_muon)]


def _by_adafactor(updates: Updates) -> list[Stage]:
    rest = [name for name in updates.state.flat.names if kind_of(name) != "hidden"]
    return [*_on_hidden(updates, _move_by_adafactor), updates.by_tensor(rest, _move_by_adafactor, blocks=1)]


def _on_hidden(updates: Updates, move: Callable[[_Parameter], None]) -> list[Stage]:
    """``move`` on the matrices of blocks: dense ones, and mixtures, each lie behind each other in the same order."""
    shape, names = updates.state.shape, updates.state.flat.names
    dense = shape.n_layer if shape.n_expert is None else shape.n_dense_layer
    stages = []
    for first, blocks in ((0, dense), (dense, shape.n_layer - dense)):
        own = [name for name in names if kind_of(name) == "hidden" and name.startswith(f"blocks.{first}.")]
        if blocks:
            stages.append(updates.by_tensor(own, move, blocks=blocks))
    return stages


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


def of_chunk(tensor: Tensor, flat: Flat) -> Tensor:
    """The first chunk of ``flat`` of the first model of ``tensor`` (K, ..., numbers)."""
    return tensor[:1, ..., : flat.chunk]


def row(tensor: Tensor) -> int:
    """Bytes from a model, or a thread, to the next."""
    return tensor.stride(0) * tensor.itemsize
