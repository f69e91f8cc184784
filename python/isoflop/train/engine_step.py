"""Models trained beside each other by the engine, as the training loop asks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from isoflop.train.engine.step import Step
from isoflop.train.footprint import eval_batch, hits_batch
from isoflop.train.model import Transformer
from isoflop.train.newest import newest_share
from isoflop.train.parametrisation import Parametrisation
from isoflop.train.spec import TrainSpec


class EngineStep:
    """A :class:`~isoflop.train.step.Step` over :class:`isoflop.train.engine.step.Step`: a model a spec.

    Args:
        specs: of one stack.
        threads: of the native engine; its results are the same for any number of them.
    """

    def __init__(self, specs: Sequence[TrainSpec], *, threads: int = 1) -> None:
        spec, noise = specs[0], "noise" in specs[0].measurements
        # The native engine takes a batch in small parts anyway, each added to a slot of gradients: but for experts.
        dense = spec.shape.n_expert is None
        parts = (2 if noise and dense else None) if spec.engine == "native" else spec.micro_batches
        accumulate = spec.accumulate if dense else spec.micro_batches
        settings = {
            "native": {"products": spec.precision, "threads": threads, "accumulate": accumulate},
            "triton": {"dtype": getattr(torch, spec.precision)},
        }
        self._averages = [each.averaging != "none" for each in specs]
        self._newest = [
            newest_share(each.averaging, n_steps=each.n_steps, share=each.averaging_share) for each in specs
        ]
        self._step = Step(
            spec.shape,
            models=len(specs),
            batch=spec.batch_windows,
            backend=spec.engine,
            micro_batches=parts,
            seeds=[each.seed for each in specs],
            beta1=[each.beta1 for each in specs],
            beta2=[each.beta2 for each in specs],
            weight_decay=[each.weight_decay for each in specs],
            clip=[each.grad_clip for each in specs],
            z_loss=[each.z_loss for each in specs],
            dropout=[each.dropout for each in specs],
            balance_loss=[each.balance_loss for each in specs],
            parametrisations=[each.parametrised for each in specs],
            optimizer=spec.optimizer,
            averaged=any(self._averages),
            **settings.get(spec.engine, {}),
        )
        self.batch, self.eval_batch = self._step.batch, eval_batch(spec)
        self.parts = self._step.micro_batches if noise else 1
        self.active, self.hyper = self._step.active, self._step.hyper
        self.ran = self._step.ran
        self._parametrised = [each.parametrised for each in specs]
        self._shape, self._models = spec.shape, dict[Parametrisation, Transformer]()

    @property
    def squares(self) -> Tensor:
        """The engine counts each part's gradient as a share of the whole one: its mean has ``parts`` times less."""
        of_parts, whole = self._step.noise.unbind(1)
        return torch.stack([self.parts * of_parts, whole], dim=1)

    def step(self, tokens: Tensor, targets: Tensor) -> Tensor:
        if any(self._averages):
            made = (self._step.steps + 1).tolist()
            shares = [newest(step) for newest, step in zip(self._newest, made, strict=True)]
            self.hyper["newest"].copy_(torch.tensor(shares, dtype=torch.float64))
        return self._step.step(tokens, targets)

    def evaluate(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return self._step.evaluate(tokens, targets)

    @torch.no_grad()
    def hits(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """By the plain model with the engine's parameters, some sequences at a time."""
        found, rows = torch.zeros(tokens.shape, dtype=torch.bool), hits_batch(self._shape, self.eval_batch)
        for k in self.active.nonzero().flatten().tolist():
            model = self._model(self._parametrised[k])
            model.load_state_dict({name: value[k] for name, value in self._step.judged.items()})
            for start in range(0, self.eval_batch, rows):
                part = k, slice(start, start + rows)
                found[part] = model.hits(tokens[part], targets[part])
        return found

    def _model(self, of: Parametrisation) -> Transformer:
        """Made when it is first asked for: few runs count hits."""
        if of not in self._models:
            self._models[of] = Transformer(self._shape, parametrisation=of)
        return self._models[of]

    def state(self, model: int) -> dict[str, Tensor]:
        """Parameters, moments and, where it keeps one, average as ``KIND.NAME``, and the updates made."""
        held = self._step.state([model])
        steps = held.pop("steps")
        if not self._averages[model]:
            held.pop("average", None)
        return {f"{kind}.{name}": value[0] for kind in held for name, value in held[kind].items()} | {"steps": steps[0]}

    def load_state(self, model: int, state: Mapping[str, Tensor]) -> None:
        held: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, value in state.items():
            kind, _, name = key.partition(".")
            if name:
                held[kind][name] = value[None]
        if not self._averages[model]:
            held["average"] = held["params"]
        self._step.load_state({**held, "steps": state["steps"][None]}, [model])
