"""The engine over the definitions: what every other backend is compared with. Slow, and any gradient is autograd's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from isoflop.kernels import reference
from isoflop.shape import Shape
from isoflop.train.engine.backward import backward
from isoflop.train.engine.forward import forward
from isoflop.train.engine.network import Network
from isoflop.train.engine.reference_launchers import launchers
from isoflop.train.engine.state import DEFAULTS, State


class ReferenceBackend(State):
    """One model after the other; see ``step.Backend``."""

    ran = "reference"

    def __init__(
        self, shape: Shape, seeds: Sequence[int], hyper: Mapping[str, Tensor], *, batch: int, micro_batches: int
    ) -> None:
        super().__init__(shape, seeds, hyper)
        self.micro_batches, models = micro_batches, len(seeds)
        self.losses, self.grad_norm = torch.zeros(models), torch.zeros(models)
        self.squares = torch.zeros(models, 2, dtype=torch.float64)

    def update(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> None:
        for k in active:
            self._update(k, tokens[k : k + 1], targets[k : k + 1])

    def evaluate(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> Tensor:
        weights = {name: held[active] for name, held in self.named["params"].items()}
        loss, _ = forward(Network(self.shape, weights, launchers()), tokens[active], targets[active], gradient=False)
        found = torch.empty(targets.shape)
        found[active] = loss.losses.view(-1, *targets.shape[1:])
        return found

    def _update(self, k: int, tokens: Tensor, targets: Tensor) -> None:
        named = {kind: {n: t[k : k + 1] for n, t in each.items()} for kind, each in self.named.items()}
        counted = (targets != -100).sum()
        parts = []
        self.losses[k] = 0
        for rows, labels in zip(tokens.chunk(self.micro_batches, 1), targets.chunk(self.micro_batches, 1), strict=True):
            net = Network(self.shape, named["params"], launchers())
            loss, inputs = forward(net, rows, labels, gradient=True)
            backward(net, rows, labels, loss, inputs)
            share = (labels != -100).sum() / counted
            self.losses[k] += share * loss.mean[0]
            parts.append([share * net.grads[name][0] for name in named["params"]])
        grads = [torch.stack(each).sum(0) for each in zip(*parts, strict=True)]
        self.squares[k, 0] = sum(float(each.double().square().sum()) for part in parts for each in part)
        self.squares[k, 1] = sum(float(each.double().square().sum()) for each in grads)
        self.steps[k] += 1
        kept = [[each[0] for each in named[kind].values()] for kind in ("params", "first", "second")]
        row = dict(zip(DEFAULTS, self.rows[k].tolist(), strict=True))
        *made, norm = reference.adamw(
            kept[0], grads, *kept[1:], decayed=[each.ndim > 1 for each in grads], step=float(self.steps[k]), **row
        )
        for old, new in zip(kept, made, strict=True):
            for into, value in zip(old, new, strict=True):
                into.copy_(value)
        self.grad_norm[k] = norm
