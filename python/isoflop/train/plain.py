"""Models trained by torch's autograd and optimizers, one after the other: what faster engines are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from isoflop.train.learner import Learner
from isoflop.train.spec import TrainSpec

_EVAL_BATCH = 64


class PlainStep:
    """A :class:`~isoflop.train.step.Step` of one :class:`Learner` a spec; they gain nothing from being together.

    Deterministic: equal specs on one machine with one thread count give equal losses, bit for bit.
    """

    def __init__(self, specs: Sequence[TrainSpec]) -> None:
        [self.batch] = {spec.batch_windows for spec in specs}
        self.eval_batch = max(_EVAL_BATCH, self.batch)
        self.parts = 2 if any("noise" in spec.measurements for spec in specs) else 1
        self.ran = f"torch {torch.__version__}, products in float32"
        self.learners = [Learner(spec) for spec in specs]
        self.hyper = {"lr": torch.tensor([spec.learning_rate for spec in specs], dtype=torch.float64)}
        self.active = torch.ones(len(specs), dtype=torch.bool)
        self.squares = torch.zeros(len(specs), 2, dtype=torch.float64)

    def step(self, tokens: Tensor, targets: Tensor) -> Tensor:
        losses = torch.full((len(self.learners),), torch.nan)
        update = self._update if self.parts == 1 else self._update_by_parts
        for k in self._live():
            losses[k] = update(k, tokens[k], targets[k])
        return losses

    def _update(self, k: int, tokens: Tensor, targets: Tensor) -> float:
        return self.learners[k].update(tokens, targets, float(self.hyper["lr"][k]))

    def _update_by_parts(self, k: int, tokens: Tensor, targets: Tensor) -> float:
        learner = self.learners[k]
        parts = zip(tokens.chunk(self.parts), targets.chunk(self.parts), strict=True)
        size = self.batch // self.parts
        made = [learner.losses(*part, first=index * size) for index, part in enumerate(parts)]
        lowered, entropies = zip(*made, strict=True)
        self.squares[k, 0] = sum(_square(learner, each) for each in lowered) / self.parts
        torch.autograd.backward(torch.stack(lowered).mean())
        self.squares[k, 1] = learner.move(float(self.hyper["lr"][k])).double() ** 2
        return float(torch.stack(entropies).mean())

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


def _square(learner: Learner, loss: Tensor) -> float:
    found = torch.autograd.grad(loss, list(learner.model.parameters()), retain_graph=True)
    return sum(float(each.double().square().sum()) for each in found)
