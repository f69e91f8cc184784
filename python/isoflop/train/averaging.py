"""Averages of the weights over training, which are evaluated in the place of the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from isoflop.train.newest import newest_share


class Average:
    """The average of a model's weights over its training; nothing is kept where it is "none".

    Args:
        model: whose weights.
        name: of :data:`isoflop.train.newest.AVERAGES`.
        n_steps: steps of the run.
        share: of the run, that the average reaches over.

    Attributes:
        kept: the average, by the names of the parameters.

    Raises:
        SpecError: no average has that name.
    """

    def __init__(self, model: nn.Module, name: str = "none", *, n_steps: int, share: float = 0.1) -> None:
        self.model, self._newest = model, newest_share(name, n_steps=n_steps, share=share)
        own = {} if name == "none" else dict(model.named_parameters())
        self.kept = {key: value.detach().clone() for key, value in own.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step``, counted from 1."""
        if self.kept:
            torch._foreach_lerp_(list(self.kept.values()), list(self.model.parameters()), self._newest(step))

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
