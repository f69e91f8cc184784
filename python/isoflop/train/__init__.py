"""Training: the model a shape describes and the plain loop that trains it. Needs ``pip install 'isoflop[train]'``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isoflop.errors import require
from isoflop.train.spec import TrainSpec

if TYPE_CHECKING:
    from isoflop.train.evaluate import evaluate
    from isoflop.train.model import Transformer
    from isoflop.train.trainer import Outcome, steps_on_noise, train

_HOME = {
    "Outcome": "trainer",
    "Transformer": "model",
    "evaluate": "evaluate",
    "steps_on_noise": "trainer",
    "train": "trainer",
}

__all__ = ["Outcome", "TrainSpec", "Transformer", "evaluate", "steps_on_noise", "train"]


def __getattr__(name: str) -> Any:
    """What needs torch is loaded on first use; a spec is described and counted without it."""
    if name not in _HOME:
        raise AttributeError(f"module 'isoflop.train' has no attribute {name!r}")
    require("torch", extra="train")
    return getattr(importlib.import_module(f"isoflop.train.{_HOME[name]}"), name)
