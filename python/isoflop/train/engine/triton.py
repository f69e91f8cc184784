"""A whole training step of K decoders of one shape on a GPU: forward, backward and update over kernels in Triton.

No autograd. Every activation, gradient and workspace is a tensor that the step holds: it is rehearsed when it is made,
which compiles its kernels, and from then on nothing is allocated (but the workspace of torch's sort of the tokens, on a
GPU, which its allocator or the graph's own pool gives again) and the host never waits for the device. So the whole of
it can be one CUDA graph. Micro-batches, where asked for, are added up in float32 with the
squares of their gradients, from which the noise scale follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.launch import refuse_host
from isoflop.kernels.noise import GradientNoise
from isoflop.kernels.parameter_sizes import refuse_shape
from isoflop.kernels.rotary import turns
from isoflop.kernels.signatures import DTYPES
from isoflop.shape import Shape
from isoflop.train.engine.backward import backward
from isoflop.train.engine.forward import forward
from isoflop.train.engine.network import Dropout, Network
from isoflop.train.engine.regime import DEFAULTS, Regime, Values, by_model
from isoflop.train.engine.room import Room
from isoflop.train.engine.state import (
    begin,
    refuse_form,
    refuse_sizes,
    scales_of,
    seeds_of,
    sequence_numbers,
    used_scales,
)
from isoflop.train.engine.triton_launchers import OWN, holds_mlp, launchers
from isoflop.train.engine.triton_updates import Updates
from isoflop.train.parametrisation import STANDARD, Parametrisation


class TrainStep:
    """The training of ``models`` decoders of ``shape``, a step at a time.

    Args:
        shape: a decoder; windows, every n-th layer without, and mixtures of experts are allowed.
        models: K; each has its own parameters, data and hyper-parameters.
        batch: sequences, of ``shape.n_ctx`` tokens, of a model and step.
        dtype: of parameters, activations and gradients; 16-bit parameters are copies of float32 ones (``master``),
            and no loss is scaled for float16.
        device: where; a GPU, but where Triton interprets its kernels.
        micro_batches: equal parts of the batch that go through the model one after the other; ``noise`` then measures.
        seeds: one a model, for its first parameters: those of ``isoflop.train.model.Transformer``; 0 to K - 1 if None.
        parametrisations: one a model; the standard one if None.
        optimizer: "adamw", "muon" or "adafactor"; ``averaged``: whether averages of the weights are kept.
        hyper: those of ``regime.DEFAULTS``, a number or one a model. Gains and biases do not decay; ``clip`` may be
            infinite.

    Attributes:
        params: (K, ...) by name, as in ``Transformer.state_dict()``; ``grads`` and ``summed`` likewise.
        hyper: (K,) float64 by name: write there, between steps, also of a captured graph. ``dropout`` is among them
            where a model began with some: without, it is no part of the step.
        losses: (K,) float32, the mean cross-entropy in nats before the last update; ``grad_norm`` (K,) before clipping.
        updates: what moves the parameters, with all that it keeps of them.

    Raises:
        KernelError: a shape, dtype, device, number of models, batch, hyper-parameter or seeds that do not go.
    """

    def __init__(
        self, shape: Shape, *, models: int, batch: int, dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cuda", micro_batches: int = 1, seeds: Sequence[int] | None = None,
        parametrisations: Sequence[Parametrisation] | None = None, optimizer: str = "adamw", averaged: bool = False,
        **hyper: Values,
    ) -> None:  # fmt: skip
        refuse_shape(shape)
        _refuse_sizes(models, batch, micro_batches, dtype)
        seeds = range(models) if seeds is None else seeds
        if len(seeds) != models:
            raise KernelError(f"{len(seeds)} seeds for {models} models")
        regime = Regime(
            seeds, by_model(hyper, models, DEFAULTS), parametrisations or [STANDARD] * models, optimizer, averaged
        )
        _refuse_device(torch.device(device))
        self.shape, self.models, self.batch, self.micro_batches = shape, models, batch, micro_batches
        parts = micro_batches, models, batch // micro_batches, shape.n_ctx
        self._tokens, self._targets = (torch.zeros(parts, dtype=torch.int64, device=device) for _ in range(2))
        self.device = self._tokens.device
        alone = list(begin(shape, regime))
        begun = {name: torch.cat([each[name] for each in alone]) for name in alone[0]}
        weights = {name: value.to(self.device, dtype, copy=True) for name, value in begun.items()}
        self._net, self._steps = self._network(weights, regime), torch.zeros(models, dtype=torch.int64, device=device)
        self._drops = self._chances(regime)
        # A graph keeps the address of the angles, so their cache must not be the only one to hold them.
        self._angles = turns(shape.n_ctx, shape.d_head, self._net.base, self.device)
        self.losses = torch.zeros(models, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._pass(0)
        self.updates = Updates(shape, regime, weights, self._net.grads, self._steps, apart=micro_batches > 1)
        self.hyper = self.updates.hyper | {"z_loss": self._z_loss, "balance_loss": self._balance_loss}
        if self._drops:
            self.hyper["dropout"] = self._drops[0].rate
        self._compute()
        self.load(begun)

    @property
    def params(self) -> dict[str, Tensor]:
        return self._net.weights

    @property
    def grads(self) -> dict[str, Tensor]:
        """Those of the last micro-batch: of its mean loss over the number of micro-batches."""
        return self._net.grads

    @property
    def summed(self) -> Mapping[str, Tensor]:
        """The gradients that the last update read: of the batch, over its micro-batches."""
        return self.updates.summed

    @property
    def master(self) -> Mapping[str, Tensor]:
        """The parameters that are updated, float32: ``params`` themselves in that dtype."""
        return self.updates.master

    @property
    def steps(self) -> Tensor:
        """(K,) int64, updates made so far."""
        return self.updates.steps

    @property
    def activations(self) -> int:
        """Bytes of what launchers write to, gradients of the last micro-batch among it."""
        return self._net.room.bytes

    @property
    def grad_norm(self) -> Tensor:
        return self.updates.norm

    @property
    def noise(self) -> GradientNoise | None:
        """Of micro-batches, None where there is but one."""
        return self.updates.noise

    def step(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """One update of every model on ``tokens`` and ``targets``, (K, batch, n_ctx) int64, on any device.

        Returns ``losses``, which the next step overwrites; reading them waits for the device. A token out of range
        makes the loss NaN; a target of -100 is ignored. Raises KernelError for tensors of another shape or dtype.
        """
        form = self.models, self.batch, self.shape.n_ctx
        for name, given, held in (("tokens", tokens, self._tokens), ("targets", targets, self._targets)):
            refuse_form(name, given, form)
            parts = given.view(self.models, self.micro_batches, -1, self.shape.n_ctx)
            held.copy_(parts.transpose(0, 1), non_blocking=True)
        if self._graph is None:
            self._compute()
        else:
            self._graph.replay()
        return self.losses

    def capture(self) -> None:
        """Make every later step the replay of one CUDA graph; raises KernelError where there is no GPU."""
        if self.device.type != "cuda":
            raise KernelError(f"a CUDA graph is captured on a GPU, not on {self.device}", hint="step() goes without")
        if self._graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._compute()
            self._graph = graph

    def load(self, params: Mapping[str, Tensor]) -> None:
        """Begin anew from ``params`` (K, ...), of any dtype, by name: no updates made, moments nought.

        Raises:
            KernelError: a name that is missing or unknown, or a tensor of another shape.
        """
        for name in params.keys() ^ self.params.keys():
            raise KernelError(f"no parameter {name!r} " + ("given" if name in self.params else "in this shape"))
        for name, held in self.params.items():
            if params[name].shape != held.shape:
                raise KernelError(f"{name} is {tuple(params[name].shape)}; needed: {tuple(held.shape)}")
        self.updates.begin(params)

    def _compute(self) -> None:
        torch.div(self._balance_loss, self.micro_batches, out=self._net.balance)
        for part in range(self.micro_batches):
            self._pass(part)
            if self.updates.noise is not None:
                self.updates.noise.add(first=part == 0)
        self.updates.update()

    def _pass(self, part: int) -> None:
        batch = self._tokens[part], self._targets[part]
        net = replace(self._net, dropout=self._drops[part]) if self._drops else self._net
        loss, inputs = forward(net, *batch, gradient=self.micro_batches == 1)
        backward(net, *batch, loss, inputs)
        if part == 0:
            self.losses.zero_()
        self.losses.add_(loss.entropy, alpha=1 / self.micro_batches)

    def _network(self, weights: dict[str, Tensor], regime: Regime) -> Network:
        self._share = torch.full((self.models,), 1 / self.micro_batches, device=self.device)
        self._z_loss, self._balance_loss = (regime.hyper[name].to(self.device) for name in ("z_loss", "balance_loss"))
        given = regime.parametrisations
        of_logits, of_scores = used_scales(self.shape, given, scales_of(self.shape, given).to(self.device))
        return Network(
            self.shape,
            weights,
            launchers(self._share, self._z_loss),
            fused=holds_mlp(self.shape.d_model, next(iter(weights.values())).dtype, self.device),
            room=Room(OWN, held=True),
            logit_scale=None if of_logits is None else of_logits.contiguous(),
            score_scale=None if of_scores is None else of_scores.contiguous(),
            balance=torch.zeros(self.models, device=self.device),
        )

    def _chances(self, regime: Regime) -> list[Dropout]:
        """By which each micro-batch is dropped; none where no model drops anything."""
        rate, seeds = (each.to(self.device) for each in (regime.hyper["dropout"], seeds_of(regime)))
        numbers = [each * self.batch // self.micro_batches for each in sequence_numbers(self.shape)]
        begun = [[torch.full_like(seeds, part * each) for each in numbers] for part in range(self.micro_batches)]
        return [Dropout(rate, seeds, self._steps, *each) for each in begun] if bool((rate > 0).any()) else []

    def judging(self) -> Network:
        """The models as they are judged: the averages, where such are kept, without chance, results of their own."""
        average = self.updates.average
        weights = self.params if average is None else {k: each.to(self.params[k].dtype) for k, each in average.items()}
        ops = launchers(torch.ones(self.models, device=self.device))
        return replace(self._net, weights=weights, ops=ops, grads={}, room=Room())


def _refuse_sizes(models: int, batch: int, micro_batches: int, dtype: torch.dtype) -> None:
    refuse_sizes(models=models, batch=batch, micro_batches=micro_batches)
    if batch % micro_batches:
        raise KernelError(f"a batch of {batch} sequences does not divide into {micro_batches} micro-batches")
    if dtype not in DTYPES:
        names = ", ".join(str(each).removeprefix("torch.") for each in DTYPES)
        raise KernelError(f"dtype is {str(dtype).removeprefix('torch.')}; allowed: {names}")


def _refuse_device(device: torch.device) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        raise KernelError("TrainStep: torch sees no GPU", hint='engine = "native" trains on the CPU')
    refuse_host("TrainStep", "the model", torch.empty(0, device=device))
