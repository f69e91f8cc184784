"""What K models are between steps, in flat float32 memory on the host, and the checks that all backends make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from isoflop.errors import KernelError
from isoflop.kernels.gpt_parameters import first_values
from isoflop.kernels.parameter_kinds import Kind, kind_of
from isoflop.kernels.parameter_sizes import parameter_sizes
from isoflop.shape import Shape
from isoflop.train.engine.flat import KINDS, Flat
from isoflop.train.engine.moments import MOMENTS
from isoflop.train.engine.network import Dropout, Launchers, Network
from isoflop.train.engine.regime import DEFAULTS, Regime
from isoflop.train.parametrisation import Parametrisation

_COLUMNS = {name: index for index, name in enumerate(DEFAULTS)}


class State:
    """Parameters (K, numbers) float32, updates made (K,) int64, ``rows`` of hyper-parameters (K, 10).

    ``moments`` are what the optimizer keeps, by kind: where each parameter's is in it, and the numbers (K, ...).
    ``factors`` (K, kinds, 2) float64 of learning rate and decay, and ``scales`` (K, 2) of logits and of scores,
    are those of the parametrisations. ``judged`` are the averages where such are kept, else the parameters.
    """

    def __init__(self, shape: Shape, regime: Regime) -> None:
        sizes, models = parameter_sizes(shape), len(regime.seeds)
        self.shape, self.flat, self.regime = shape, Flat(sizes), regime
        self.params = torch.zeros(models, self.flat.numbers)
        kept = {kind: Flat(of(sizes)) for kind, of in MOMENTS[regime.optimizer].items()}
        self.moments = {kind: (flat, torch.zeros(models, flat.numbers)) for kind, flat in kept.items()}
        self.steps, self.seeds = (
            torch.zeros(models, dtype=torch.int64),
            seeds_of(regime),
        )
        self.rows = torch.stack([regime.hyper[name] for name in DEFAULTS], dim=1)
        given = regime.parametrisations
        self.factors = _doubles([[factors_of(shape, regime, of, kind) for kind in KINDS] for of in given])
        self.scales = scales_of(shape, given)
        named = self.flat.views(self.params)
        for k, begun in enumerate(begin(shape, regime)):  # one by one: no copy of the stack
            for name, value in begun.items():
                named[name][k] = value[0]
        self.judged = self.params.clone() if regime.averaged else self.params

    @property
    def named(self) -> dict[str, dict[str, Tensor]]:
        """Parameters, moments and averages (K, ...) by kind and name."""
        moments = {kind: flat.views(numbers) for kind, (flat, numbers) in self.moments.items()}
        averages = {"average": self.flat.views(self.judged)} if self.regime.averaged else {}
        return {"params": self.flat.views(self.params), **moments, **averages}

    @property
    def hyper(self) -> dict[str, Tensor]:
        """(K,) float64 by name; write there."""
        return {name: self.column(name) for name in DEFAULTS}

    @property
    def memory(self) -> dict[str, int]:
        """Bytes by kind."""
        kept = self.judged.nbytes if self.regime.averaged else 0
        moments = sum(numbers.nbytes for _, numbers in self.moments.values())
        return {"parameters": self.params.nbytes + kept, "optimizer": moments}

    def column(self, name: str) -> Tensor:
        """One of the hyper-parameters (K,)."""
        return self.rows[:, _COLUMNS[name]]

    def network(
        self, models: slice, ops: Launchers, weights: Tensor, dropout: Dropout | None = None,
        balance: Tensor | None = None,
    ) -> Network:  # fmt: skip
        """Some of the models with ``weights`` (their number, numbers); nothing is scaled that all multiply by 1."""
        of_logits, of_scores = used_scales(self.shape, self.regime.parametrisations, self.scales[models])
        return Network(
            self.shape,
            self.flat.views(weights),
            ops,
            logit_scale=of_logits,
            score_scale=of_scores,
            dropout=dropout,
            balance=balance,
        )

    @property
    def drops(self) -> bool:
        """Whether any model drops anything as its rate stands: where none does, dropout is no part of a step."""
        return bool((self.column("dropout") > 0).any())

    @property
    def sequence_numbers(self) -> tuple[int, int]:
        """See :func:`sequence_numbers`."""
        return sequence_numbers(self.shape)

    def changed(self) -> None:
        """Nothing is derived from parameters between steps."""


def sequence_numbers(shape: Shape) -> tuple[int, int]:
    """Elements of the residual stream, and weights of attention in one layer, of a sequence."""
    return shape.n_ctx * shape.d_model, shape.n_head * shape.n_ctx**2


def seeds_of(regime: Regime) -> Tensor:
    """(K,) int64, the same 64 bits as the seeds have."""
    return torch.tensor([((seed & (2**64 - 1)) ^ 2**63) - 2**63 for seed in regime.seeds])


def begin(shape: Shape, regime: Regime) -> Iterator[dict[str, Tensor]]:
    """The first parameters (1, ...) of each model, float32 on the host, by name."""
    for seed, of in zip(regime.seeds, regime.parametrisations, strict=True):
        yield first_values(shape, [seed], scale=partial(_spread, of, shape))


def _spread(of: Parametrisation, shape: Shape, name: str) -> float:
    return of.std(kind_of(name), shape)


def scales_of(shape: Shape, given: Sequence[Parametrisation]) -> Tensor:
    """(K, 2) float64, of logits and of attention scores, by the parametrisation of each model."""
    usual = shape.d_head**-0.5
    return _doubles([[of.forward("output", shape), of.attention_scale(shape) or usual] for of in given])


def used_scales(
    shape: Shape, given: Sequence[Parametrisation], scales: Tensor
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """The columns of ``scales``: None where no model of the stack has another one than the usual."""
    of_logits, of_scores = scales.unbind(1)
    return (
        of_logits if any(each.forward("output", shape) != 1 for each in given) else None,
        of_scores if any(each.base_head is not None for each in given) else None,
    )


def refuse_sizes(**sizes: int) -> None:
    """Raise KernelError for a number that is not 1 or more."""
    for name, value in sizes.items():
        if value < 1:
            raise KernelError(f"{name} is {value}; it must be 1 or more")


def refuse_form(name: str, given: Tensor, form: tuple[int, ...]) -> None:
    """Raise KernelError unless ``given`` is an int64 tensor of ``form``."""
    if given.dtype != torch.int64 or tuple(given.shape) != form:
        kind = str(given.dtype).removeprefix("torch.")
        raise KernelError(f"{name} are {tuple(given.shape)} {kind}; needed: {form} int64")


def factors_of(shape: Shape, regime: Regime, of: Parametrisation, kind: Kind) -> tuple[float, float]:
    """What multiplies the learning rate and the decay of parameters of that kind."""
    return of.rate(kind, shape, regime.optimizer), of.decay(kind, shape, regime.optimizer)


def _doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
