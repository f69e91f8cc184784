"""Averages of the weights over training, which are evaluated in the place of the last ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from isoflop.errors import SpecError, nearest

Weigh = Callable[[int, int, int], float]


def _ema(step: int, n_steps: int, span: int) -> float:
    keep = 1 - 1 / span
    return (1 - keep) / (1 - keep**step)


def _tail(step: int, n_steps: int, span: int) -> float:
    return 1 / max(1, step - (n_steps - span))


AVERAGES: Mapping[str, Weigh] = {"none": lambda step, n_steps, span: 1.0, "ema": _ema, "tail": _tail}
"""The share of the newest weights in the average after ``step`` of ``n_steps``, counted from 1.

``ema`` forgets over ``span`` steps, without a bias to the first weights; ``tail`` is the plain mean of the last
``span`` steps of the run (Izmailov et al. 2018; Kaddour 2022), the weights themselves until those begin."""


class Average:
    """The average of a model's weights over its training; nothing is kept where it is "none".

    Args:
        model: whose weights.
        name: of :data:`AVERAGES`.
        n_steps: steps of the run.
        share: of the run, that the average reaches over; at least one step.

    Attributes:
        kept: the average, by the names of the parameters.

    Raises:
        SpecError: no average has that name.
    """

    def __init__(self, model: nn.Module, name: str = "none", *, n_steps: int, share: float = 0.1) -> None:
        if name not in AVERAGES:
            raise SpecError(f"unknown averaging {name!r}", hint=nearest(str(name), AVERAGES))
        self.model, self.weigh, self.n_steps = model, AVERAGES[name], n_steps
        self.span = max(1, round(share * n_steps))
        own = {} if name == "none" else dict(model.named_parameters())
        self.kept = {key: value.detach().clone() for key, value in own.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step``, counted from 1."""
        if self.kept:
            share = self.weigh(step, self.n_steps, self.span)
            torch._foreach_lerp_(list(self.kept.values()), list(self.model.parameters()), share)

    @contextmanager
    @torch.no_grad()
    def applied(self) -> Iterator[None]:
        """The model has its average weights inside, and its own again after."""
        if not self.kept:
            yield
            return
        parameters: list[torch.Tensor] = list(self.model.parameters())
        own = [value.detach().clone() for value in parameters]
        _copy(parameters, self.kept.values())
        try:
            yield
        finally:
            _copy(parameters, own)


def _copy(into: Iterable[torch.Tensor], values: Iterable[torch.Tensor]) -> None:
    for held, value in zip(into, values, strict=True):  # one by one: tensors in parts have no copy of many at once
        held.copy_(value)
