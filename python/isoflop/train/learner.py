"""One model in training, as its spec says: what happens to it depends on its spec and its data alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from isoflop.train.architectures import build_model
from isoflop.train.averaging import Average
from isoflop.train.drops import Drops
from isoflop.train.optimizers import optimizer_of, set_rate
from isoflop.train.spec import TrainSpec


class Learner:
    """A plain model with its optimizer and its average; what it drops follows from its seed and its updates.

    Attributes:
        model: the :class:`~isoflop.train.language_model.LanguageModel`.
        steps: updates made.
    """

    def __init__(self, spec: TrainSpec) -> None:
        self.spec = spec
        generator = torch.Generator().manual_seed(spec.seed)
        self.model = build_model(spec.shape, generator, parametrisation=spec.parametrised)
        self._optimizer = optimizer_of(
            self.model,
            spec.optimizer,
            lr=spec.learning_rate,
            betas=(spec.beta1, spec.beta2),
            weight_decay=spec.weight_decay,
        )
        self._average = Average(self.model, spec.averaging, n_steps=spec.n_steps, share=spec.averaging_share)
        self.steps = 0

    def losses(self, tokens: Tensor, targets: Tensor, *, first: int = 0) -> tuple[Tensor, Tensor]:
        """What training lowers, and the cross-entropy in it, nats/token, of (batch, n_ctx) int64.

        ``first``: sequences of the step's batch that are before these.
        """
        spec = self.spec
        drops = Drops(spec.dropout, seed=spec.seed, step=self.steps, first=first) if spec.dropout else None
        return self.model.objective(tokens, targets, z_loss=spec.z_loss, balance_loss=spec.balance_loss, drops=drops)

    def move(self, rate: float) -> Tensor:
        """One update by the gradients that were left by ``backward``; their norm before clipping."""
        set_rate(self._optimizer, rate)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.grad_clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        self._average.update(self.steps)
        return norm

    def update(self, tokens: Tensor, targets: Tensor, rate: float) -> float:
        """One update on (batch, n_ctx) int64; the cross-entropy before it."""
        lowered, entropy = self.losses(tokens, targets)
        torch.autograd.backward(lowered)
        self.move(rate)
        return float(entropy)

    def judged(self) -> AbstractContextManager[None]:
        """The model as it is evaluated: with its average weights, where the spec wants them."""
        return self._average.applied()

    def state(self) -> dict[str, Tensor]:
        """Everything that further training depends on but data and rates: tensors by name."""
        moments = self._optimizer.state_dict()["state"]
        return {
            **self.model.state_dict(),
            **{f"optimizer.{i}.{name}": value for i, each in moments.items() for name, value in each.items()},
            **{f"average.{name}": value for name, value in self._average.kept.items()},
            "steps": torch.tensor(self.steps),
        }

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("optimizer."):
                _, index, kind = name.split(".")
                moments.setdefault(int(index), {})[kind] = value.clone()
        self.model.load_state_dict({name: state[name] for name in self.model.state_dict()})
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        for name, kept in self._average.kept.items():
            kept.copy_(state[f"average.{name}"])
        self.steps = int(state["steps"])
