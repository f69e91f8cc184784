"""Runs of a known law, recorded without training, and a name that means harm."""

from __future__ import annotations

from typing import Any

import numpy as np

from isoflop.runs import Recorder, RunStore

SIZES = (1e3, 4e3, 1.6e4, 6.4e4, 2.56e5)
TOKENS = (1e5, 4e5, 1.6e6)
HOSTILE = "<script>alert(1)</script><!--<img src=x onerror=alert(2)>"
TRUTH = {"alpha_N": 0.11, "alpha_D": 0.16, "N_c": 2e6, "D_c": 2e7}


def true_loss(n: float, d: float) -> float:
    """Kaplan et al. 2020, eq. 1.5."""
    ratio = TRUTH["alpha_N"] / TRUTH["alpha_D"]
    return float(((TRUTH["N_c"] / n) ** ratio + TRUTH["D_c"] / d) ** TRUTH["alpha_D"])


def record_finished(
    made: RunStore, n: float, d: float, noise: np.random.Generator, points: int = 3, **spec: Any
) -> None:
    """A finished run whose loss follows ``true_loss`` within 0.2 %, with so many points from step 1 to 100."""
    loss = true_loss(n, d) * float(noise.normal(1, 0.002))
    with Recorder(made, {"n": n, "d": d, **spec}, counts={"N": n, "D": d, "C": 6 * n * d}) as rec:
        for step in np.geomspace(1, 100, points).round().astype(int).tolist():
            rec.log(step, tokens=d * step / 100, loss=loss * (100 / step) ** 0.1)
        rec.finish(loss=loss, loss_se=0.01, tokens=d)
