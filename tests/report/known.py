"""Runs of known laws, recorded without training, by the purpose that they serve."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from isoflop.runs import Recorder, RunStore
from isoflop.runs.studies import GroupRuns, write_study

B_STAR, ALPHA_B = 8000.0, 0.5
N_C, ALPHA_N, S_C, ALPHA_S = 1e6, 0.1, 30.0, 0.6
CURVES = (1e3, 4e3, 1.6e4, 6.4e4, 2.56e5, 1e6)
"""N of the group of curves."""
PENALTIES = {(1, 64): 0.03, (2, 48): 0.0, (8, 24): 0.01}


def critical(loss: float) -> float:
    return B_STAR / loss ** (1 / ALPHA_B)


def curve(store: RunStore, n: float, batch: int) -> str:
    """L = (N_c/N)**alpha_N + (S_c/S_min)**alpha_S at one batch size, evaluated 40 times."""
    spec = {"shape": {"n": n}, "batch_tokens": batch}
    with Recorder(store, spec, counts={"N": n, "D": 1e6, "C": 6e6 * n}) as recorder:
        for floor in np.geomspace(100, 3000, 40):
            loss = (N_C / n) ** ALPHA_N + (S_C / floor) ** ALPHA_S
            recorder.log(floor * (1 + critical(loss) / batch), tokens=1.0, loss=9.0, val_loss=loss)
        recorder.finish(loss=loss)
    return recorder.id


def point(store: RunStore, loss: float, n: float, d: float, **spec: Any) -> str:
    with Recorder(store, {"n": n, "d": d, **spec}, counts={"N": n, "D": d, "C": 6 * n * d}) as recorder:
        recorder.log(1, tokens=d, loss=loss)
        recorder.finish(loss=loss, tokens=d)
    return recorder.id


def profiles(store: RunStore) -> Iterable[str]:
    """L = 1 + A/N**.4 + B/D**.4 over budgets: N* and D* go as the root of C."""
    for budget in (1e12, 1e13, 1e14):
        for away in np.geomspace(0.3, 3, 7):
            n = away * np.sqrt(budget / 6 / 20)
            d = budget / 6 / n
            yield point(store, 1 + 40 / n**0.4 + 40 * 20**0.4 / d**0.4, n, d)


def shapes(store: RunStore) -> Iterable[str]:
    noise = np.random.default_rng(0)
    for (n_layer, d_model), penalty in PENALTIES.items():
        for seed in range(4):
            loss = 2 * (1 + penalty) * float(noise.normal(1, 0.001))
            shape = {"n_layer": n_layer, "d_model": d_model}
            yield point(store, loss, 12.0 * 2 * 48**2 + n_layer, 1e6, shape=shape, seed=seed)


def add_purposes(store: RunStore) -> RunStore:
    """Groups for the batch, steps, isoflop and shape purposes in a store of an N x D grid."""
    groups = {
        "batch": [curve(store, 1e5, batch) for batch in (64, 256, 1024, 4096, 16384)],
        "steps": [curve(store, n, 2048) for n in CURVES],
        "isoflop": list(profiles(store)),
        "shape": list(shapes(store)),
    }
    write_study(store, "all", [GroupRuns(name=name, purpose=name, runs=tuple(runs)) for name, runs in groups.items()])
    return store
