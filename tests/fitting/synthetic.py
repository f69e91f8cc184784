"""Synthetic runs of known laws."""

from __future__ import annotations

import numpy as np

from isoflop.laws import LAWS

TRUTHS = {
    "power-n": {"A": 8.0, "alpha": 0.076},
    "power-d": {"B": 20.0, "beta": 0.095},
    "power-c": {"K": 12.0, "gamma": 0.05},
    "power-n-floor": {"E": 1.7, "A": 400.0, "alpha": 0.34},
    "power-d-floor": {"E": 1.7, "B": 410.0, "beta": 0.28},
    "power-c-floor": {"E": 1.7, "K": 2000.0, "gamma": 0.17},
    "chinchilla": {"E": 1.8172, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3658},
    "kaplan": {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13},
}


def grid(n_sizes: int = 6, n_tokens: int = 5) -> dict[str, np.ndarray]:
    """Runs on a grid of N and D, C = 6 N D."""
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e9, n_sizes), np.geomspace(3e8, 3e10, n_tokens)))
    return {"N": n, "D": d, "C": 6 * n * d}


def runs(law: str, noise: float = 0.0, seed: int = 0, **design: int) -> dict[str, np.ndarray]:
    """Runs on a grid that follow the truth of a law, times lognormal noise."""
    columns = grid(**design)
    loss = LAWS[law].predict(TRUTHS[law], **{name: columns[name] for name in LAWS[law].inputs})
    return {**columns, "L": loss * np.exp(noise * np.random.default_rng(seed).standard_normal(loss.size))}
