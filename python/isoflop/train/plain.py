"""Models trained by torch's autograd and optimizers, one after the other: what faster engines are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

import torch
from torch import Tensor

from isoflop.train.footprint import eval_batch
from isoflop.train.learner import LayOut, Learner
from isoflop.train.spec import TrainSpec


class PlainStep:
    """A :class:`~isoflop.train.step.Step` of one :class:`Learner` a spec; they gain nothing from being together.

    Deterministic: equal specs on one machine with one thread count give equal losses, bit for bit. ``lay_out`` is that
    of each learner.
    """

    def __init__(self, specs: Sequence[TrainSpec], lay_out: LayOut = attrgetter("objective")) -> None:
        spec = specs[0]
        self.batch, self.eval_batch = spec.batch_windows, eval_batch(spec)
        self.parts = spec.micro_batches if "noise" in spec.measurements else 1
        self.ran = f"torch {torch.__version__}, products in float32"
        self.learners = [Learner(each, lay_out) for each in specs]
        self.hyper = {"lr": torch.tensor([each.learning_rate for each in specs], dtype=torch.float64)}
        self.active = torch.ones(len(specs), dtype=torch.bool)
        self.squares = torch.zeros(len(specs), 2, dtype=torch.float64)

    def step(self, tokens: Tensor, targets: Tensor) -> Tensor:
        losses = torch.full((len(self.learners),), torch.nan)
        for k in self._live():
            learner = self.learners[k]
            losses[k] = learner.gradients(tokens[k], targets[k])
            self.squares[k, 0] = learner.square
            self.squares[k, 1] = learner.move(float(self.hyper["lr"][k])).double() ** 2
        return losses

    @torch.no_grad()
    def evaluate(self, tokens: Tensor, targets: Tensor) -> Tensor:
        losses = torch.full(tokens.shape, torch.nan)
        for k in self._live():
            with self.learners[k].judged():
                losses[k] = self.learners[k].model(tokens[k], targets[k], reduction="none")
        return losses

    @torch.no_grad()
    def hits(self, tokens: Tensor, targets: Tensor) -> Tensor:
        found = torch.zeros(tokens.shape, dtype=torch.bool)
        for k in self._live():
            with self.learners[k].judged():
                found[k] = self.learners[k].model.hits(tokens[k], targets[k])
        return found

    def state(self, model: int) -> dict[str, Tensor]:
        return self.learners[model].state()

    def load_state(self, model: int, state: Mapping[str, Tensor]) -> None:
        self.learners[model].load_state(state)

    def _live(self) -> list[int]:
        return [k for k, live in enumerate(self.active.tolist()) if live]
