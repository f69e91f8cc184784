"""The training step in Triton as a backend of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.parameter_sizes import parameter_sizes
from isoflop.shape import Shape
from isoflop.train.engine.forward import forward
from isoflop.train.engine.network import Network
from isoflop.train.engine.regime import ADAMW, DEFAULTS, Regime
from isoflop.train.engine.triton import TrainStep
from isoflop.train.engine.triton_launchers import holds_mlp, launchers


class TritonBackend:
    """A ``TrainStep``, on a GPU one CUDA graph; see ``step.Backend``.

    All models are in each launch: those that are not active are computed too, and put back as they were.
    """

    def __init__(
        self, shape: Shape, regime: Regime, *, batch: int, micro_batches: int, dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:  # fmt: skip
        _refuse(regime)
        seeds, hyper = regime.seeds, {name: regime.hyper[name] for name in ADAMW}
        self._step = TrainStep(
            shape, models=len(seeds), batch=batch, dtype=dtype, device=device, micro_batches=micro_batches, seeds=seeds,
            **hyper,
        )  # fmt: skip
        if self._step.device.type == "cuda":
            self._step.capture()
        self.ran = f"triton on {self._step.device}, {str(dtype).removeprefix('torch.')}"

    @property
    def named(self) -> Mapping[str, Mapping[str, Tensor]]:
        kept, names = self._step.optimizer.kept, list(parameter_sizes(self._step.shape))
        moments = {kind: dict(zip(names, kept[kind] or (), strict=True)) for kind in ("first", "second")}
        return {"params": self._step.master, **moments}

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
            "parameters": of["params"] + copies,
            "optimizer": of["first"] + of["second"],
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
        step = self._step
        fused = holds_mlp(step.shape.d_model, next(iter(step.params.values())).dtype, step.device)
        net = Network(step.shape, step.params, launchers(torch.ones(step.models, device=step.device)), fused)
        loss, _ = forward(net, tokens.to(step.device), targets.to(step.device), gradient=False)
        losses: Tensor = loss.losses.view(targets.shape)
        return losses

    def changed(self) -> None:
        for name, rounded in self._step.params.items():
            rounded.copy_(self._step.master[name])


def _refuse(regime: Regime) -> None:
    """Raise KernelError for what the kernels in Triton are without; experts are refused by their shape."""
    beyond = DEFAULTS.keys() - ADAMW.keys() - {"balance_loss"}
    used = [name for name in beyond if bool((regime.hyper[name] != DEFAULTS[name]).any())]
    used += ["optimizer"] * (regime.optimizer != "adamw")
    used += ["averaged"] * regime.averaged
    used += ["parametrisations"] * any(each.name != "standard" for each in regime.parametrisations)
    if used:
        raise KernelError(f"the Triton engine is without {', '.join(sorted(used))}", hint="backend='native' has them")
