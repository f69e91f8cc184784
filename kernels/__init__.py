"""Kernels of the training ops: one file an op, and the plain definition of each in ``reference``.

For trainers of others: :class:`FusedBlock`, :func:`patch`, and ``isoflop.kernels.operators``, which ask for torch; what
ran is told by :func:`last_dispatch`. Names are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from isoflop.errors import require
from isoflop.kernels.dispatch import last_dispatch

if TYPE_CHECKING:
    from isoflop.kernels.fused_block import FusedBlock
    from isoflop.kernels.patching import Patched, patch

_HOME = {"FusedBlock": "fused_block", "Patched": "patching", "patch": "patching"}

__all__ = ["FusedBlock", "Patched", "last_dispatch", "patch"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("torch", extra="train")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
