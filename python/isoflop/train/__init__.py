"""Training: the model a shape describes and the plain loop that trains it. Needs ``pip install 'isoflop[train]'``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from isoflop.errors import require
from isoflop.exports import export
from isoflop.train.spec import TrainSpec

if TYPE_CHECKING:
    from isoflop.train.checkpoint import Checkpoints
    from isoflop.train.course import Outcome
    from isoflop.train.evaluate import evaluate
    from isoflop.train.loop import train_stack
    from isoflop.train.model import Transformer
    from isoflop.train.trainer import steps_on_noise, train

__all__ = [
    "Checkpoints",
    "Outcome",
    "TrainSpec",
    "Transformer",
    "evaluate",
    "steps_on_noise",
    "train",
    "train_stack",
]

# A spec is described and counted without torch.
export(
    __name__,
    {
        "checkpoint": ("Checkpoints",),
        "course": ("Outcome",),
        "evaluate": ("evaluate",),
        "loop": ("train_stack",),
        "model": ("Transformer",),
        "trainer": ("steps_on_noise", "train"),
    },
    before=partial(require, "torch", extra="train"),
)
