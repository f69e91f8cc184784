"""Training: the model a shape describes and the plain loop that trains it. Needs ``pip install 'isoflop[train]'``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isoflop.errors import require
from isoflop.train.spec import TrainSpec

if TYPE_CHECKING:
    from isoflop.train.checkpoint import Checkpoints
    from isoflop.train.course import Outcome
    from isoflop.train.evaluate import evaluate
    from isoflop.train.loop import train_stack
    from isoflop.train.model import Transformer
    from isoflop.train.trainer import steps_on_noise, train

_HOME = {
    "Checkpoints": "checkpoint",
    "Outcome": "course",
    "Transformer": "model",
    "evaluate": "evaluate",
    "steps_on_noise": "trainer",
    "train": "trainer",
    "train_stack": "loop",
}

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


def __getattr__(name: str) -> Any:
    """What needs torch is loaded on first use; a spec is described and counted without it."""
    if name not in _HOME:
        raise AttributeError(f"module 'isoflop.train' has no attribute {name!r}")
    require("torch", extra="train")
    return getattr(importlib.import_module(f"isoflop.train.{_HOME[name]}"), name)
