"""One model in training, as its spec says: what happens to it depends on its spec and its data alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from operator import attrgetter

import torch
from torch import Tensor

from isoflop.train.architectures import build_model
from isoflop.train.averaging import Average
from isoflop.train.language_model import LanguageModel
from isoflop.train.optimizers import optimizer_of, set_rate
from isoflop.train.sharded import parted_as, whole
from isoflop.train.spec import TrainSpec

Objective = Callable[..., tuple[Tensor, Tensor]]
LayOut = Callable[[LanguageModel], Objective]


class Learner:
    """A plain model with its optimizer, its average and its own stream of random numbers for dropout.

    Args:
        spec: of the run.
        lay_out: puts the new model where it is trained, and gives what is called in the place of its ``objective``.

    Attributes:
        model: the :class:`~isoflop.train.language_model.LanguageModel`.
        steps: updates made.
        square: of the last gradients: the mean of |g|^2 over the micro-batches, g being the gradient of the mean loss
            of one; 0 where noise is not measured.
    """

    def __init__(self, spec: TrainSpec, lay_out: LayOut = attrgetter("objective")) -> None:
        self.spec = spec
        generator = torch.Generator().manual_seed(spec.seed)
        self.model = build_model(spec.shape, generator, parametrisation=spec.parametrised, dropout=spec.dropout)
        self._objective = lay_out(self.model)
        self._optimizer = optimizer_of(
            self.model,
            spec.optimizer,
            lr=spec.learning_rate,
            betas=(spec.beta1, spec.beta2),
            weight_decay=spec.weight_decay,
        )
        self._average = Average(self.model, spec.averaging, n_steps=spec.n_steps, share=spec.averaging_share)
        self._random = generator.get_state()
        self.steps = 0
        self.square = 0.0

    def losses(self, tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What training lowers, and the cross-entropy in it, of (batch, n_ctx) int64; nats/token."""
        with self._own_random_numbers() if self.spec.dropout else nullcontext():
            return self._objective(tokens, targets, z_loss=self.spec.z_loss, balance_loss=self.spec.balance_loss)

    def gradients(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Leave the gradients of (batch, n_ctx) int64, its micro-batches added up; the cross-entropy before them."""
        count, measured = self.spec.micro_batches, "noise" in self.spec.measurements
        rows, squares = len(tokens) // count, []
        entropies: list[Tensor] = []
        summed: list[Tensor] = []
        for part in zip(torch.split(tokens, rows), torch.split(targets, rows), strict=True):
            lowered, entropy = self.losses(*part)
            torch.autograd.backward(lowered / count)
            entropies.append(entropy)
            if measured:  # each by itself first
                own = self._take_gradients()
                squares.append(sum(float(whole(each.double().square().sum())) for each in own))
                summed = [held.add_(each) for held, each in zip(summed, own, strict=True)] if summed else own
        if measured:
            for parameter, held in zip(self.model.parameters(), summed, strict=True):
                parameter.grad = held
        self.square = count * sum(squares)
        return torch.stack(entropies).mean()

    def move(self, rate: float) -> Tensor:
        """One update by the gradients that were left; their norm before clipping."""
        set_rate(self._optimizer, rate)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.grad_clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        self._average.update(self.steps)
        return whole(norm)

    def update(self, tokens: Tensor, targets: Tensor, rate: float) -> float:
        """One update on (batch, n_ctx) int64; the cross-entropy before it."""
        entropy = self.gradients(tokens, targets)
        self.move(rate)
        return float(entropy)

    @contextmanager
    def judged(self) -> Iterator[None]:
        """The model as it is evaluated: with its average weights, where the spec wants them, and without dropout."""
        self.model.eval()
        try:
            with self._average.applied():
                yield
        finally:
            self.model.train()

    def state(self) -> dict[str, Tensor]:
        """Everything that further training depends on but data and rates: tensors by name."""
        moments = self._optimizer.state_dict()["state"]
        held = {
            **self.model.state_dict(),
            **{f"optimizer.{i}.{name}": value for i, each in moments.items() for name, value in each.items()},
            **{f"average.{name}": value for name, value in self._average.kept.items()},
        }
        named = {name: whole(value) for name, value in held.items()}
        return {**named, "random": self._random, "steps": torch.tensor(self.steps)}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        parameters = [each for group in self._optimizer.param_groups for each in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("optimizer."):
                _, index, kind = key.split(".")
                moved = parameters[int(index)]
                own = parted_as(value, moved) if value.shape == moved.shape else value.clone()
                moments.setdefault(int(index), {})[kind] = own
        for name, held in self.model.state_dict().items():
            held.copy_(parted_as(state[name], held))
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        for name, kept in self._average.kept.items():
            kept.copy_(parted_as(state[f"average.{name}"], kept))
        self._random, self.steps = state["random"].clone(), int(state["steps"])

    def _take_gradients(self) -> list[Tensor]:
        taken = [each.grad for each in self.model.parameters() if each.grad is not None]
        self._optimizer.zero_grad(set_to_none=True)
        return taken

    @contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random)
            yield
            self._random = torch.get_rng_state()
