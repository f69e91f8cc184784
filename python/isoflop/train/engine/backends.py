"""The backends of the engine: what each is called, the settings of its own, and where it is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from isoflop.errors import require
from isoflop.hardware import cores
from isoflop.shape import Shape
from isoflop.train.engine.parts import slots_of


def _one(shape: Shape, batch: int, accumulate: int) -> int:
    return 1


@dataclass(frozen=True)
class Choice:
    """A backend that may be asked for; ``settings`` with their defaults, ``needs`` an extra of this package."""

    home: str
    name: str
    settings: Mapping[str, Any]
    usual_micro_batches: Callable[[Shape, int, int], int] = _one
    needs: tuple[str, str] | None = None

    def load(self) -> Callable[..., Any]:
        """The class; raises MissingExtra where what it needs is not installed."""
        if self.needs is not None:
            require(self.needs[0], extra=self.needs[1])
        found: Callable[..., Any] = getattr(import_module(f"isoflop.train.engine.{self.home}"), self.name)
        return found


CORES = max(1, int(cores()))
BACKENDS = {
    "reference": Choice("reference", "ReferenceBackend", {}),
    "native": Choice(
        "native",
        "NativeBackend",
        {"products": "float32", "threads": CORES, "instruction_set": None, "accumulate": 1},
        slots_of,
    ),
    "triton": Choice(
        "triton_backend", "TritonBackend", {"dtype": torch.float32, "device": "cuda"}, needs=("triton", "gpu")
    ),
}
