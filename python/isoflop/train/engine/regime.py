"""How the models of a stack are trained: what each has of its own, and what all of them do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isoflop.errors import KernelError, nearest
from isoflop.train.parametrisation import Parametrisation

Values = float | Sequence[float] | Tensor
"""One for all models, or one a model."""

ADAMW = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0}
DEFAULTS = ADAMW | {"z_loss": 0.0, "dropout": 0.0, "newest": 1.0, "balance_loss": 0.01}
"""``z_loss`` weighs the square of the log-sum-exp, ``balance_loss`` the load-balancing loss of each layer of experts;
``newest`` is the share of the newest weights in their average."""
_BELOW_ONE = ("beta1", "beta2", "dropout")


@dataclass(frozen=True)
class Regime:
    """The training of K models.

    Attributes:
        seeds: one a model, of its first parameters and of what it drops.
        hyper: (K,) float64 of each of ``DEFAULTS``.
        parametrisations: one a model.
        optimizer: of :data:`isoflop.train.domains.OPTIMIZERS`; betas and eps are AdamW's alone.
        averaged: whether averages of the weights are kept, and evaluated in their place.
    """

    seeds: Sequence[int]
    hyper: Mapping[str, Tensor]
    parametrisations: Sequence[Parametrisation]
    optimizer: str = "adamw"
    averaged: bool = False


def by_model(hyper: Mapping[str, Values], models: int, defaults: Mapping[str, float]) -> dict[str, Tensor]:
    """(K,) float64 of each of ``defaults``.

    Raises KernelError for a name that is not there, as many values as no model, and a value that is no number, below 0
    or, of ``_BELOW_ONE``, 1 or more.
    """
    for name in hyper.keys() - defaults.keys():
        raise KernelError(f"there is no hyper-parameter {name!r}", hint=nearest(name, defaults))
    values = {name: torch.as_tensor(hyper.get(name, usual), dtype=torch.float64) for name, usual in defaults.items()}
    for name, value in values.items():
        if value.ndim and tuple(value.shape) != (models,):
            raise KernelError(f"{name} has {tuple(value.shape)} values; one, or one for each of {models} models")
        share = name in _BELOW_ONE
        if not (value >= 0).all() or (share and (value >= 1).any()):
            allowed = "in [0, 1)" if share else "a number, zero or more"
            raise KernelError(f"{name} is {value.tolist()}; it must be {allowed}")
    return {name: value.expand(models).contiguous() for name, value in values.items()}
