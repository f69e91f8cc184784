"""What K models are between steps, in flat float32 memory on the host, and the checks that all backends make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from isoflop.errors import KernelError, nearest
from isoflop.kernels.gpt_parameters import first_values
from isoflop.shape import Shape
from isoflop.train.engine.flat import Flat

Values = float | Sequence[float] | Tensor
"""One for all models, or one a model."""

DEFAULTS = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0}


class State:
    """Parameters, moments (K, numbers) float32, updates made (K,) int64, and ``rows`` of hyper-parameters (K, 6)."""

    def __init__(self, shape: Shape, seeds: Sequence[int], hyper: Mapping[str, Tensor]) -> None:
        self.shape, self.flat, models = shape, Flat(shape), len(seeds)
        self.params, self.first, self.second = (torch.zeros(models, self.flat.numbers) for _ in range(3))
        self.steps = torch.zeros(models, dtype=torch.int64)
        self.rows = torch.stack([hyper[name] for name in DEFAULTS], dim=1)
        named = self.named["params"]
        for k, seed in enumerate(seeds):  # one by one: no second copy of the stack
            for name, value in first_values(shape, [seed]).items():
                named[name][k] = value[0]

    @property
    def named(self) -> dict[str, dict[str, Tensor]]:
        """Parameters and moments (K, ...) by kind and name."""
        return {kind: self.flat.views(getattr(self, kind)) for kind in ("params", "first", "second")}

    @property
    def hyper(self) -> dict[str, Tensor]:
        """(K,) float64 by name; write there."""
        return {name: self.rows[:, index] for index, name in enumerate(DEFAULTS)}

    @property
    def memory(self) -> dict[str, int]:
        """Bytes by kind."""
        return {"parameters": self.params.nbytes, "optimizer": self.first.nbytes + self.second.nbytes}

    def changed(self) -> None:
        """Nothing is derived from parameters between steps."""


def by_model(hyper: Mapping[str, Values], models: int) -> dict[str, Tensor]:
    """(K,) float64 of each of ``DEFAULTS``; KernelError for a name that is not there, or as many values as no model."""
    for name in hyper.keys() - DEFAULTS.keys():
        raise KernelError(f"there is no hyper-parameter {name!r}", hint=nearest(name, DEFAULTS))
    values = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in (DEFAULTS | dict(hyper)).items()}
    for name, value in values.items():
        if value.ndim and tuple(value.shape) != (models,):
            raise KernelError(f"{name} has {tuple(value.shape)} values; one, or one for each of {models} models")
    return {name: value.expand(models).contiguous() for name, value in values.items()}


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
