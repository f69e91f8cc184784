"""Shapes of one size against each other: known penalties come back, with the scatter of seeds."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting.shape_scan import shape_scan


def test_known_penalties_of_two_sizes_come_back() -> None:
    rng = np.random.default_rng(0)
    noise, rows = 0.004, []
    for n, level in ((1e4, 2.0), (1e6, 1.5)):
        for aspect, penalty in ((8, 0.02), (32, 0.0), (128, 0.05)):
            for error in rng.normal(size=40):
                rows.append((n * (1 + aspect / 1e4), aspect, level * (1 + penalty) * np.exp(noise * error)))
    scan = shape_scan(*np.array(rows).T)
    assert scan.noise == pytest.approx(noise, rel=0.15)
    assert [shape.aspect for shape in scan.shapes] == [8, 32, 128] * 2
    for shape, true in zip(scan.shapes, [0.02, 0.0, 0.05] * 2, strict=True):
        assert abs(shape.penalty - true) <= 4 * noise * np.sqrt(2 / 40)
        assert shape.sigma == pytest.approx(0 if true == 0 else noise * np.sqrt(2 / 40), rel=0.2)
        assert shape.n_runs == 40
    assert scan.worst.aspect == 128
    assert scan.widest(within=0.03) == (8, 32)


def test_one_seed_a_shape_says_that_the_noise_is_unknown() -> None:
    scan = shape_scan([1e4, 1.1e4, 1e6], [8, 16, 8], [2.0, 2.1, 1.0])
    assert len(scan.shapes) == 2, "a size of one shape is compared with nothing"
    assert np.isnan(scan.noise)
    assert np.isnan(scan.worst.sigma)


def test_runs_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(NotIdentifiable, match="no two shapes of one size"):
        shape_scan([1e4, 1e6], [8, 16], [2.0, 1.0])
    with pytest.raises(FitError, match="L"):
        shape_scan([1e4, 1e4], [8, 16], [2.0, 0.0])
    with pytest.raises(FitError, match="no runs"):
        shape_scan([], [], [])
