"""A run store of a known law, recorded without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isoflop.runs import Recorder, RunStore
from report.known import add_purposes

SIZES = (1e3, 4e3, 1.6e4, 6.4e4, 2.56e5)
TOKENS = (1e5, 4e5, 1.6e6)
TRUTH = {"alpha_N": 0.11, "alpha_D": 0.16, "N_c": 2e6, "D_c": 2e7}


def true_loss(n: float, d: float) -> float:
    """Kaplan et al. 2020, eq. 1.5."""
    ratio = TRUTH["alpha_N"] / TRUTH["alpha_D"]
    return float(((TRUTH["N_c"] / n) ** ratio + TRUTH["D_c"] / d) ** TRUTH["alpha_D"])


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Fifteen finished runs whose losses follow ``true_loss`` within 0.2 %, and one that diverged."""
    return make_grid(tmp_path / "study")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """The same, kept from test to test."""
    return make_grid(tmp_path_factory.mktemp("figures") / "study")


def make_grid(folder: Path) -> RunStore:
    """Fifteen finished runs and one that diverged, in a new store."""
    made = RunStore(folder)
    noise = np.random.default_rng(0)
    for n in SIZES:
        for d in TOKENS:
            loss = true_loss(n, d) * float(noise.normal(1, 0.002))
            with Recorder(made, {"n": n, "d": d}, counts={"N": n, "D": d, "C": 6 * n * d}) as rec:
                for step in (1, 10, 100):
                    rec.log(step, tokens=d * step / 100, loss=loss * (100 / step) ** 0.1)
                rec.finish(loss=loss, loss_se=0.01, tokens=d)
    with Recorder(made, {"n": 0}, counts={"N": 1e3, "D": 1e5, "C": 6e8}) as rec:
        rec.log(7, tokens=1e3, loss=float("nan"))
    return made


@pytest.fixture
def study(store: RunStore) -> RunStore:
    """The fifteen runs of a known L(N, D), and groups for everything else."""
    return add_purposes(store)
