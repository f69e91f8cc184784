"""The training step in Triton as a backend of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from isoflop.shape import Shape
from isoflop.train.engine.forward import forward
from isoflop.train.engine.regime import Regime
from isoflop.train.engine.triton import TrainStep


class TritonBackend:
    """A ``TrainStep``, on a GPU one CUDA graph; see ``step.Backend``.

    All models are in each launch: those that are not active are computed too, and put back as they were.
    """

    def __init__(
        self, shape: Shape, regime: Regime, *, batch: int, micro_batches: int, dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:  # fmt: skip
        self._step = TrainStep(
            shape, models=len(regime.seeds), batch=batch, dtype=dtype, device=device, micro_batches=micro_batches,
            seeds=regime.seeds, parametrisations=regime.parametrisations, optimizer=regime.optimizer,
            averaged=regime.averaged, **regime.hyper,
        )  # fmt: skip
        if self._step.device.type == "cuda":
            self._step.capture()
        self.ran = f"triton on {self._step.device}, {str(dtype).removeprefix('torch.')}"

    @property
    def named(self) -> Mapping[str, Mapping[str, Tensor]]:
        held = self._step.updates
        averages = {} if held.average is None else {"average": held.average}
        return {"params": held.master, **held.moments, **averages}

    @property
    def steps(self) -> Tensor:
        return self._step.steps

    @property
    def hyper(self) -> Mapping[str, Tensor]:
        return self._step.hyper

    @property
    def losses(self) -> Tensor:
        return self._step.losses

    @property
    def grad_norm(self) -> Tensor:
        return self._step.grad_norm

    @property
    def squares(self) -> Tensor:
        whole = self.grad_norm.double().square()
        return torch.stack([whole, whole], 1) if self._step.noise is None else self._step.noise.squares

    @property
    def memory(self) -> Mapping[str, int]:
        step, named = self._step, self.named
        of = {kind: sum(each.nbytes for each in tensors.values()) for kind, tensors in named.items()}
        copies = 0 if step.master is step.params else sum(each.nbytes for each in step.params.values())
        grads = {each.data_ptr(): each.nbytes for each in (*step.grads.values(), *step.summed.values())}
        return {
            "parameters": of["params"] + copies + of.get("average", 0),
            "optimizer": sum(of[kind] for kind in step.updates.moments),
            "gradients": sum(grads.values()),
            "activations": step.activations - sum(each.nbytes for each in step.grads.values()),
        }

    def update(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> None:
        frozen = sorted(set(range(self._step.models)) - set(active))
        held = [*(each for kind in self.named.values() for each in kind.values()), self.steps]
        held += [self.losses, self.grad_norm, *self._step.params.values()] if frozen else []
        before = [each[frozen] for each in held] if frozen else []
        self._step.step(tokens, targets)
        for each, value in zip(held, before, strict=bool(frozen)):
            each[frozen] = value

    def evaluate(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> Tensor:
        device = self._step.device
        loss, _ = forward(self._step.judging(), tokens.to(device), targets.to(device), gradient=False)
        losses: Tensor = loss.losses.view(targets.shape)
        return losses

    def changed(self) -> None:
        for name, rounded in self._step.params.items():
            rounded.copy_(self._step.master[name])
