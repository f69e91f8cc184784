"""The engine over the definitions: what every other backend is compared with. Slow, and any gradient is autograd's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isoflop.kernels.parameter_kinds import kind_of
from isoflop.shape import Shape
from isoflop.train.engine.backward import backward
from isoflop.train.engine.flat import KINDS
from isoflop.train.engine.forward import forward
from isoflop.train.engine.network import Dropout
from isoflop.train.engine.reference_launchers import launchers
from isoflop.train.engine.reference_updates import UPDATES, Parameter
from isoflop.train.engine.regime import ADAMW, Regime
from isoflop.train.engine.state import State


class ReferenceBackend(State):
    """One model after the other; see ``step.Backend``."""

    ran = "reference"

    def __init__(self, shape: Shape, regime: Regime, *, batch: int, micro_batches: int) -> None:
        super().__init__(shape, regime)
        self.micro_batches, models = micro_batches, len(regime.seeds)
        self.losses, self.grad_norm = torch.zeros(models), torch.zeros(models)
        self.squares = torch.zeros(models, 2, dtype=torch.float64)

    def update(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> None:
        for k in active:
            self._update(k, tokens[k : k + 1], targets[k : k + 1])

    def evaluate(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> Tensor:
        found = torch.empty(targets.shape)
        for k in active:
            only = slice(k, k + 1)
            net = self.network(only, launchers(), self.judged[only])
            loss, _ = forward(net, tokens[only], targets[only], gradient=False)
            found[only] = loss.losses.view_as(targets[only])
        return found

    def _update(self, k: int, tokens: Tensor, targets: Tensor) -> None:
        only, counted = slice(k, k + 1), (targets != -100).sum()
        parts: list[dict[str, Tensor]] = []
        self.losses[k] = 0
        chunks = zip(tokens.chunk(self.micro_batches, 1), targets.chunk(self.micro_batches, 1), strict=True)
        for part, (rows, labels) in enumerate(chunks):
            dropout = self._dropout(only, part * rows.shape[1])
            share = (labels != -100).sum() / counted
            balance = (self.column("balance_loss")[only] / (self.micro_batches * share)).float()
            net = self.network(only, launchers(self.column("z_loss")[only]), self.params[only], dropout, balance)
            loss, inputs = forward(net, rows, labels, gradient=True)
            backward(net, rows, labels, loss, inputs)
            self.losses[k] += share * loss.entropy[0]
            parts.append({name: share * net.grads[name][0] for name in net.weights})
        grads = {name: torch.stack([part[name] for part in parts]).sum(0) for name in parts[0]}
        self.squares[k, 0] = sum(_square(part) for part in parts)
        self.squares[k, 1] = _square(grads)
        self.grad_norm[k] = self.squares[k, 1].sqrt()
        clipped = (self.column("clip")[k] / self.squares[k, 1].sqrt()).clamp(max=1.0).float()
        self._move(k, {name: clipped * each for name, each in grads.items()})
        if self.regime.averaged:
            self.judged[k].lerp_(self.params[k], float(self.column("newest")[k]))

    def _dropout(self, models: slice, sequences: int) -> Dropout | None:
        """Of a part that begins after so many sequences."""
        if not self.drops:
            return None
        numbers = [torch.tensor([sequences * each]) for each in self.sequence_numbers]
        return Dropout(self.column("dropout")[models], self.seeds[models], self.steps[models], *numbers)

    def _move(self, k: int, grads: dict[str, Tensor]) -> None:
        """One step of the optimizer, of clipped gradients."""
        held = {kind: {name: each[k] for name, each in named.items()} for kind, named in self.named.items()}
        moments, hyper = held.keys() & self.moments.keys(), {name: float(self.column(name)[k]) for name in ADAMW}
        factors = dict(zip(KINDS, self.factors[k].tolist(), strict=True))
        for name, grad in grads.items():
            rate, decay = factors[kind_of(name)]
            own = hyper | {"lr": hyper["lr"] * rate, "weight_decay": hyper["weight_decay"] * decay}
            kept = {kind: held[kind][name] for kind in moments if name in held[kind]}
            UPDATES[self.regime.optimizer](Parameter(name, held["params"][name], grad, kept, own, int(self.steps[k])))
        self.steps[k] += 1


def _square(grads: dict[str, Tensor]) -> float:
    return sum(float(each.double().square().sum()) for each in grads.values())
