"""The training of K models of one shape, a step at a time, by any backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from isoflop.errors import KernelError, nearest
from isoflop.kernels.parameter_sizes import refuse_shape
from isoflop.shape import Shape
from isoflop.train.domains import OPTIMIZERS
from isoflop.train.engine.backends import BACKENDS
from isoflop.train.engine.regime import DEFAULTS, Regime, by_model
from isoflop.train.engine.state import refuse_form, refuse_sizes
from isoflop.train.parametrisation import STANDARD, Parametrisation


class Backend(Protocol):
    """What computes the updates of K models.

    ``named`` are ``params``, the moments that the optimizer keeps, and the ``average`` where one is kept, which is then
    what is evaluated, (K, ...) float32 by name; ``steps`` (K,) int64 updates made; ``hyper`` (K,) float64 by name. Of
    the last update of each model: ``losses``, ``grad_norm`` (K,) float32, ``squares`` (K, 2) float64. ``ran`` says what
    computes, ``memory`` bytes by kind. ``update`` and ``evaluate`` are of the models that are ``active``: others stay
    as they are, and have losses that mean nothing.
    """

    ran: str

    @property
    def named(self) -> Mapping[str, Mapping[str, Tensor]]: ...
    @property
    def steps(self) -> Tensor: ...
    @property
    def hyper(self) -> Mapping[str, Tensor]: ...
    @property
    def losses(self) -> Tensor: ...
    @property
    def grad_norm(self) -> Tensor: ...
    @property
    def squares(self) -> Tensor: ...
    @property
    def memory(self) -> Mapping[str, int]: ...
    def update(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> None: ...
    def evaluate(self, tokens: Tensor, targets: Tensor, active: Sequence[int]) -> Tensor: ...
    def changed(self) -> None:
        """Told after something else has written to ``named``."""


class Step:
    """The training of ``models`` decoders of ``shape``, one update of each a step.

    Args:
        shape: a decoder; windows, every n-th layer without, and mixtures of experts are allowed.
        models: K; each has its own parameters, data and hyper-parameters.
        batch: sequences, of ``shape.n_ctx`` tokens, of a model and step.
        backend: one of ``BACKENDS``; by default "triton" where there is a GPU, else "native".
        micro_batches: equal parts of the batch whose gradients ``noise`` measures; None: the backend's usual ones.
        seeds: one a model, for its first parameters: those of ``isoflop.train.model.Transformer``; 0 to K - 1 if None.
            What it drops follows from it too.
        parametrisations: one a model; the standard one if None.
        optimizer: "adamw", "muon" or "adafactor"; betas and eps are AdamW's.
        averaged: whether averages of the weights are kept, and evaluated in their place; ``newest`` makes them.
        settings: the backend's own (``products`` "float32" or "bfloat16", ``threads`` and ``instruction_set`` of the
            native one, and ``accumulate``, of how many parts of a batch it has no more than one in work at once;
            ``dtype`` and ``device`` of Triton's), and hyper-parameters, those of ``regime.DEFAULTS``, each a number or
            one a model. Gains and biases do not decay; ``clip`` may be infinite.

    Attributes:
        active: (K,) bool; a model that is not is left as it is.
        ran: what computes, in words.
        micro_batches: how many parts of the batch ``noise`` is of.

    Raises:
        KernelError: a shape, a number, a backend or a setting that does not go.
    """

    def __init__(
        self, shape: Shape, *, models: int, batch: int, backend: str | None = None, micro_batches: int | None = None,
        seeds: Sequence[int] | None = None, parametrisations: Sequence[Parametrisation] | None = None,
        optimizer: str = "adamw", averaged: bool = False, **settings: Any,
    ) -> None:  # fmt: skip
        name = backend or ("triton" if torch.cuda.is_available() else "native")
        if name not in BACKENDS:
            raise KernelError(f"there is no backend {name!r}", hint=nearest(name, BACKENDS))
        refuse_shape(shape)
        refuse_sizes(models=models, batch=batch)
        seeds = range(models) if seeds is None else seeds
        given = [STANDARD] * models if parametrisations is None else parametrisations
        for what, count in (("seeds", len(seeds)), ("parametrisations", len(given))):
            if count != models:
                raise KernelError(f"{count} {what} for {models} models")
        made = BACKENDS[name]
        self.shape, self.models, self.batch, self.backend = shape, models, batch, name
        own = {**made.settings, **{key: settings.pop(key) for key in made.settings if key in settings}}
        usual = made.usual_micro_batches(shape, batch, own.get("accumulate", 1))
        self.micro_batches = usual if micro_batches is None else micro_batches
        refuse_sizes(micro_batches=self.micro_batches)
        if batch % self.micro_batches:
            raise KernelError(f"a batch of {batch} sequences does not divide into {self.micro_batches} micro-batches")
        if optimizer not in OPTIMIZERS:
            raise KernelError(f"there is no optimizer {optimizer!r}", hint=nearest(optimizer, OPTIMIZERS))
        regime = Regime(seeds, by_model(settings, models, DEFAULTS), given, optimizer, averaged)
        self._backend: Backend = made.load()(shape, regime, batch=batch, micro_batches=self.micro_batches, **own)
        self.active = torch.ones(models, dtype=torch.bool)
        self.ran = self._backend.ran

    @property
    def params(self) -> Mapping[str, Tensor]:
        """(K, ...) float32 by name, as in ``Transformer.state_dict()``."""
        return self._backend.named["params"]

    @property
    def judged(self) -> Mapping[str, Tensor]:
        """The parameters that are evaluated, (K, ...) by name: the averages, where such are kept."""
        named = self._backend.named
        return named.get("average", named["params"])

    @property
    def hyper(self) -> Mapping[str, Tensor]:
        """(K,) float64 by name: write there, between steps."""
        return self._backend.hyper

    @property
    def steps(self) -> Tensor:
        """(K,) int64, updates made so far."""
        return self._backend.steps

    @property
    def losses(self) -> Tensor:
        """(K,) float32, the mean cross-entropy in nats before each model's last update; not finite if it diverged."""
        return self._backend.losses

    @property
    def grad_norm(self) -> Tensor:
        """(K,) float32, before clipping."""
        return self._backend.grad_norm

    @property
    def noise(self) -> Tensor:
        """(K, 2) float64: the sum of |g|^2 of the micro-batches, each g a part of the sum, and |sum of g|^2."""
        return self._backend.squares

    @property
    def memory(self) -> dict[str, int]:
        """Bytes, by kind: parameters, optimizer, gradients, activations."""
        return dict(self._backend.memory)

    def step(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """One update of every active model on ``tokens`` and ``targets``, (K, batch, n_ctx) int64.

        Returns ``losses``, which the next step overwrites. A target of -100 is ignored; a token out of range makes the
        loss NaN. Raises KernelError for tensors of another shape or dtype.
        """
        for name, given in (("tokens", tokens), ("targets", targets)):
            refuse_form(name, given, (self.models, self.batch, self.shape.n_ctx))
        if active := self._active():
            self._backend.update(tokens, targets, active)
        return self.losses

    @torch.no_grad()
    def evaluate(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """The loss of every position, (K, B, n_ctx) float32, of int64 tokens and targets of any number B of sequences.

        NaN for a model that is not active; 0 where the target is -100. Raises KernelError as :meth:`step` does.
        """
        form = self.models, *tokens.shape[1:2], self.shape.n_ctx
        for name, given in (("tokens", tokens), ("targets", targets)):
            refuse_form(name, given, form)
        active = self._active()
        found = self._backend.evaluate(tokens, targets, active) if active else torch.empty(targets.shape)
        found[~self.active] = torch.nan
        return found

    def state(self, models: Sequence[int] | None = None) -> dict[str, Any]:
        """Copies, on the host, of all that a step depends on: parameters, moments, averages by name, updates made.

        Of ``models``, each (len(models), ...); all K of them by default.
        """
        chosen, named = self._chosen(models), self._backend.named
        kept = {kind: {name: each[chosen].cpu() for name, each in held.items()} for kind, held in named.items()}
        return {**kept, "steps": self.steps[chosen].cpu()}

    def load_state(self, state: Mapping[str, Any], models: Sequence[int] | None = None) -> None:
        """Let ``models``, all by default, go on from what :meth:`state` gave of as many.

        Raises:
            KernelError: a name that is missing or unknown, or a tensor of another shape.
        """
        chosen, named = self._chosen(models), self._backend.named
        for kind, held in named.items():
            given = state[kind]
            for name in given.keys() ^ held.keys():
                raise KernelError(f"no parameter {name!r} " + ("given" if name in held else "in this shape"))
            for name, tensor in held.items():
                needed = len(chosen), *tensor.shape[1:]
                if given[name].shape != needed:
                    raise KernelError(f"{name} is {tuple(given[name].shape)}; needed: {needed}")
                tensor[chosen] = given[name].to(tensor)
        self.steps[chosen] = state["steps"].to(self.steps)
        self._backend.changed()

    def _active(self) -> list[int]:
        return [model for model, active in enumerate(self.active.tolist()) if active]

    def _chosen(self, models: Sequence[int] | None) -> list[int]:
        return list(range(self.models) if models is None else models)
