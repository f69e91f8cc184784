"""Learning rate over a run."""

from __future__ import annotations

import math


def warmup_cosine(step: int, *, n_steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """Learning rate of ``step`` (0-based): linear warm-up to ``peak``, then half a cosine to ``final`` at the end."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, n_steps - 1 - warmup_steps)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
