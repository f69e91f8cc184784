"""Models of one shape trained beside each other by the kernels, and taken apart again. Needs Triton."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from isoflop.errors import KernelError
from isoflop.train.engine.triton import TrainStep
from isoflop.train.model import Transformer


def train_step(models: Sequence[Transformer], *, batch: int, **settings: Any) -> TrainStep:
    """The training step of ``models``, of one shape, from their parameters; ``settings`` are those of ``TrainStep``.

    Raises:
        KernelError: no models, models of several shapes, models with another than the standard parametrisation, which
            no kernel in Triton has, or what ``TrainStep`` refuses.
    """
    shapes = {model.shape for model in models}
    if len(shapes) != 1:
        raise KernelError(f"{len(models)} models of {len(shapes)} shapes; a stack has models of one shape")
    if any(model.parametrisation.name != "standard" for model in models):
        raise KernelError(
            "no kernels in Triton train models with another than the standard parametrisation",
            hint="leave it out, or train with isoflop.train.train",
        )
    made = TrainStep(shapes.pop(), models=len(models), batch=batch, **settings)
    states = [model.state_dict() for model in models]
    made.load({name: torch.stack([state[name] for state in states]) for name in states[0]})
    return made


def unstack(step: TrainStep, models: Sequence[Transformer]) -> None:
    """Give each of ``models`` the parameters that ``step`` has trained, of the float32 ones where there are any."""
    for index, model in enumerate(models):
        model.load_state_dict({name: stacked[index] for name, stacked in step.master.items()})
