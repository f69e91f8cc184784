"""Planning: a frontier of a million budgets with 4000 draws, a shape out of ten million and more, and a cold start.

Printed side by side with the bare start of Python and with the import of the package.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from isoflop.fitting import Fit, fit
from isoflop.laws import LAWS
from isoflop.planning import Space, frontier, plan

LAW = "chinchilla-besiroglu"
WIDE = Space(aspect=(16.0, 256.0), d_head=(64, 128), kv_group=(1, 8), ff_ratio=(1.0, 8.0))
STARTS = {
    "python": [sys.executable, "-c", "pass"],
    "import isoflop": [sys.executable, "-c", "import isoflop"],
    "isoflop plan": [sys.executable, "-m", "isoflop", "plan", "--compute", "1e24", "--law", LAW],
}


@pytest.fixture(scope="module")
def fitted() -> Fit:
    truth = {"E": 1.8172, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3658}
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(3e8, 3e10, 5)))
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(30))
    made = fit("chinchilla", {"N": n, "D": d, "L": LAWS["chinchilla"].predict(truth, N=n, D=d) * noise})
    made.bootstrap(4000)
    return made


def test_frontier_of_a_million_budgets_with_4000_draws(benchmark: Any, fitted: Fit) -> None:
    budgets = np.geomspace(1e18, 1e26, 1_000_000)
    curve = benchmark.pedantic(lambda: frontier(fitted, budgets, n_draws=4000), rounds=3, warmup_rounds=1)
    assert (curve["N_low"] < curve["N_high"]).all()


@pytest.mark.parametrize("compute", [1e21, 3.8e25])
def test_shape_out_of_more_than_ten_million(benchmark: Any, compute: float) -> None:
    found = benchmark(lambda: plan(compute, LAW, shape=WIDE)).shape
    benchmark.extra_info["candidates"] = found.considered
    assert found.considered > 1e7


@pytest.mark.parametrize("what", STARTS)
def test_cold_start(benchmark: Any, what: str) -> None:
    done = benchmark.pedantic(lambda: subprocess.run(STARTS[what], capture_output=True, check=True), rounds=7)
    assert done.returncode == 0
