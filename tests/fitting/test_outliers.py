"""Runs far off the law: the walk of a profile may leave what floats hold, and nothing is computed of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import isoflop as iso
from isoflop.laws import LAWS

TRUTH = {"alpha_N": 0.076, "alpha_D": 0.095, "N_c": 8.8e13, "D_c": 5.4e13}


@pytest.mark.parametrize("seed", [0, 2, 3, 7, 10, 11])
def test_a_fit_with_an_outlier_overflows_nowhere(seed: int) -> None:
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e3, 1e6, 6), np.geomspace(1e5, 1e7, 5)))
    draw = np.random.default_rng(seed)
    losses = LAWS["kaplan"].predict(TRUTH, N=n, D=d) * np.exp(0.005 * draw.standard_normal(n.size))
    losses[seed] *= draw.choice([3, 6, 0.3, 0.1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = iso.fit("kaplan", {"N": n, "D": d, "L": losses})
    assert all(np.isfinite(value) and value > 0 for value in found.params.values())
