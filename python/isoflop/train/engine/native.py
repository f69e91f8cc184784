"""The engine over ops in C++: forward, backward and update recorded once, and from then on run without Python.

A thread takes a model's batch in parts so small that their activations stay in its cache, and adds the gradients up in
as many slots as there are micro-batches, whatever the number of threads: equal bits on one core and on many. Experts
balance their load among all rows of a micro-batch: with them a part is a whole one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from isoflop.kernels.native import adamw
from isoflop.kernels.native.call import instruction_set as choose
from isoflop.kernels.native.call import use
from isoflop.kernels.native.program import Program, Stage
from isoflop.shape import Shape
from isoflop.train.engine.backward import backward
from isoflop.train.engine.forward import forward
from isoflop.train.engine.native_launchers import launchers
from isoflop.train.engine.native_updates import Updates, of_chunk, row
from isoflop.train.engine.network import Dropout
from isoflop.train.engine.parts import part_of, saved_by_mlp
from isoflop.train.engine.regime import Regime
from isoflop.train.engine.state import State, refuse_sizes


class NativeBackend(State):
    """Models beside each other on ``threads``; see ``step.Backend``."""

    def __init__(
        self, shape: Shape, regime: Regime, *, batch: int, micro_batches: int, products: str, threads: int,
        instruction_set: str | None, accumulate: int,
    ) -> None:  # fmt: skip
        super().__init__(shape, regime)
        refuse_sizes(threads=threads, accumulate=accumulate)
        self.threads, self._part = threads, part_of(shape, batch, micro_batches, accumulate)
        self._use = partial(use, products=products, instruction_set=instruction_set or choose())
        models, flat, parts = len(regime.seeds), self.flat, batch // micro_batches // self._part
        self._batch = [torch.zeros(models, batch, shape.n_ctx, dtype=torch.int64) for _ in range(2)]
        self._share, self._balance = torch.ones(models), torch.zeros(models)
        self._losses = torch.zeros(models, micro_batches, parts)
        self._squares = torch.zeros(models, flat.chunks, 1 + micro_batches, dtype=torch.float64)
        self._grads = torch.zeros(threads, micro_batches, flat.numbers)
        begun = torch.arange(micro_batches * parts).view(micro_batches, parts) * self._part
        self._begun = torch.stack([begun * each for each in self.sequence_numbers])
        self.losses = torch.zeros(models)
        self._programs: dict[bool, Program] = {}
        self._evaluations: dict[tuple[int, int], tuple[Program, list[Tensor]]] = {}
        self.ran = f"native {self._program.instruction_set}, products in {products}"

    @property
    def grad_norm(self) -> Tensor:
        return self._squares[:, :, 0].sum(1).sqrt().float()

    @property
    def squares(self) -> Tensor:
        found = self._squares.sum(1)
        return torch.stack([found[:, 1:].sum(1), found[:, 0]], dim=1)

    @property
    def memory(self) -> dict[str, int]:
        programs = [*self._programs.values(), *(program for program, _ in self._evaluations.values())]
        return super().memory | {
            "gradients": self._grads.nbytes,
            "activations": sum(program.bytes for program in programs),
        }

    def update(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> None:
        for held, given in zip(self._batch, (tokens, targets), strict=True):
            held.copy_(given)
        torch.reciprocal((self._batch[1] != -100).sum((1, 2)), out=self._share)
        self._balance.copy_(self.column("balance_loss") * (self._part / tokens.shape[1]))
        self._program.run(active)
        if len(active) == len(self.losses):  # nothing is picked out, which takes as long as the smallest ops
            self.steps += 1
            torch.sum(self._losses, (1, 2), out=self.losses)
        else:
            self.steps[active] += 1
            self.losses[active] = self._losses[active].sum((1, 2))

    def evaluate(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> Tensor:
        models, batch, seq = tokens.shape
        # Which rows find an expert full depends on all that are judged with them.
        part = self._part if self.shape.capacity_factor is None else batch
        units = -(-batch // part)
        spare = torch.zeros(models, units * part - batch, seq, dtype=torch.int64)
        given = [torch.cat([each, spare], 1) for each in (tokens, targets)]
        losses = torch.empty(given[0].shape)
        if (units, part) not in self._evaluations:
            self._evaluations[units, part] = self._evaluation(units, part)
        program, places = self._evaluations[units, part]
        for place, each in zip(places, [*given, losses], strict=True):
            program.replace(place, each, model=row(each), unit=part * seq * each.itemsize)
        program.run(active)
        return losses[:, :batch]

    @property
    def _program(self) -> Program:
        """That of a step as the rates of dropout stand."""
        drops = self.drops
        if drops not in self._programs:
            with self._use():
                updates = Updates(self, self._grads, self._squares)
                stages = [self._pass(), self._measure(updates), *updates.stages()]
                self._programs[drops] = Program(stages, threads=self.threads)
        return self._programs[drops]

    def _pass(self) -> Stage:
        _, micro_batches, parts = self._losses.shape
        stage, rows = Stage(micro_batches, parts), self._part * self.shape.n_ctx * 8
        for tensor in self._batch:
            stage.place(tensor, model=row(tensor), unit=parts * rows, part=rows)
        for tensor in (self.params, self._share, self._balance, self.rows, self.scales, self.seeds, self.steps):
            stage.place(tensor, model=row(tensor))
        stage.place(self._begun, unit=8 * parts, part=8)
        stage.place(self._losses, model=row(self._losses), unit=4 * parts, part=4)
        stage.place(self._grads, unit=4 * self.flat.numbers, owner=row(self._grads))
        saves = saved_by_mlp(self.shape, self._part * self.shape.n_ctx) > 0
        ops = launchers(self._share[:1], self.column("z_loss")[:1], saves=saves)
        net = self.network(slice(1), ops, self.params[:1], self._dropout(), self._balance[:1])
        tokens, targets = (each[:1, : self._part] for each in self._batch)
        with stage.recorded():
            loss, inputs = forward(net, tokens, targets, gradient=True)
            backward(net, tokens, targets, loss, inputs)
        stage.move(loss.entropy, self._losses[:1, 0, 0])
        for name, into in self.flat.views(self._grads[:1, 0]).items():
            stage.move(net.grads[name], into)
        return stage

    def _dropout(self) -> Dropout | None:
        if not self.drops:
            return None
        numbers = [each[0, :1] for each in self._begun]
        return Dropout(self.column("dropout")[:1], self.seeds[:1], self.steps[:1], *numbers)

    def _measure(self, updates: Updates) -> Stage:
        """The squares of the gradients in the slots and of their sum, chunk by chunk."""
        stage = updates.by_chunk(self.flat)
        stage.place(self._squares, model=row(self._squares), unit=8 * self._squares.shape[2])
        with stage.recorded():
            adamw.squares(of_chunk(self._grads, self.flat), out=self._squares[:1, 0])
        return stage

    def _evaluation(self, units: int, part: int) -> tuple[Program, list[Tensor]]:
        """The forward pass alone, and the tensors in whose place those of a call are put."""
        form = 1, part, self.shape.n_ctx
        places = [torch.zeros(form, dtype=torch.int64), torch.zeros(form, dtype=torch.int64), torch.zeros(form)]
        stage = Stage(units)
        for tensor in (self.judged, self.scales):
            stage.place(tensor, model=row(tensor))
        for place in places:
            stage.place(place)
        net = self.network(slice(1), launchers(), self.judged[:1])
        with stage.recorded():
            loss, _ = forward(net, places[0], places[1], gradient=False)
        stage.move(loss.losses, places[2].flatten(1))
        with self._use():
            return Program([stage], threads=self.threads), places
