"""The updates of the definitions, by optimizer: one parameter after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from isoflop.kernels import reference
from isoflop.kernels.parameter_kinds import kind_of
from isoflop.train.adafactor import adafactor
from isoflop.train.optimizers import MUON_MOMENTUM, MUON_RMS


@dataclass(frozen=True)
class Parameter:
    """A parameter with its clipped gradient, its moments by kind, its own hyper-parameters, updates made before."""

    name: str
    value: Tensor
    grad: Tensor
    moments: Mapping[str, Tensor]
    hyper: Mapping[str, float]
    step: int


def _by_adamw(of: Parameter) -> None:
    held = [of.value, of.moments["first"], of.moments["second"]]
    made = reference.adamw(
        held[:1], [of.grad], held[1:2], held[2:], decayed=[True], step=of.step + 1, **{**of.hyper, "clip": torch.inf}
    )
    for into, [value] in zip(held, made[:3], strict=True):
        into.copy_(value)


def _by_muon(of: Parameter) -> None:
    if kind_of(of.name) != "hidden":
        _by_adamw(of)
        return
    size = MUON_RMS * math.sqrt(max(of.value.shape[-2:]))
    of_matrices = ([each.view(-1, *each.shape[-2:])] for each in (of.value, of.grad, of.moments["first"]))
    [value], [momentum] = reference.on_models(reference.muon)(
        *of_matrices, lr=of.hyper["lr"] * size, momentum=MUON_MOMENTUM,
        weight_decay=of.hyper["weight_decay"] / size, scaled=False,
    )  # fmt: skip
    of.value.copy_(value.view_as(of.value))
    of.moments["first"].copy_(momentum.view_as(of.value))


def _by_adafactor(of: Parameter) -> None:
    row = of.moments["row"]
    old = (row[..., None], of.moments["column"][..., None, :]) if of.value.ndim > 1 else (row,)
    [value], [made] = adafactor(
        [of.value], [of.grad], [old], decayed=[True], step=of.step + 1, lr=of.hyper["lr"],
        weight_decay=of.hyper["weight_decay"],
    )  # fmt: skip
    of.value.copy_(value)
    for into, moment in zip(old, made, strict=True):
        into.copy_(moment)


UPDATES: Mapping[str, Callable[[Parameter], None]] = {"adamw": _by_adamw, "muon": _by_muon, "adafactor": _by_adafactor}
"""In place, by the name of the optimizer."""
