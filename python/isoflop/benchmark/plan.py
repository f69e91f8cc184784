"""What is run where: sizes of ops, rungs of the ladder of steps, seconds for each."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from isoflop.benchmark.correctness import SIZES
from isoflop.benchmark.sizes import Size
from isoflop.benchmark.steps import LADDER, MODELS, Rung


@dataclass(frozen=True)
class Plan:
    """Of one benchmark.

    Attributes:
        checks, sizes: of correctness, and of times.
        ladder, models: of training steps: every rung with every K.
        dtype: of times and steps.
        compiled: whether ``torch.compile`` is among the ways.
        seconds: for the timing of one op or step, all its ways together.
    """

    checks: tuple[Size, ...]
    sizes: tuple[Size, ...]
    ladder: tuple[Rung, ...]
    models: tuple[int, ...]
    dtype: torch.dtype
    compiled: bool
    seconds: float


_SMALL, _MIDDLE, _WIDE = Size(16, 16, 128, 64, 256), Size(4, 16, 512, 256, 4096), Size(1, 8, 1024, 1024, 8192)

PLANS = {
    ("cuda", False): Plan(SIZES, (_SMALL, _MIDDLE, _WIDE), LADDER, MODELS, torch.bfloat16, True, 0.5),
    ("cuda", True): Plan(SIZES[:2], (_SMALL, _WIDE), LADDER[::3], MODELS[::2], torch.bfloat16, False, 0.2),
    ("cpu", False): Plan(SIZES, (Size(2, 4, 64, 64, 256),), LADDER[:3], MODELS[:2], torch.float32, True, 0.3),
    ("cpu", True): Plan(SIZES[:1], (Size(2, 2, 16, 32, 64),), LADDER[:1], (1,), torch.float32, False, 0.02),
}
"""By device, and whether it is to be quick."""
