from __future__ import annotations

import numpy as np
import pytest

from isoflop.errors import PlanError
from isoflop.laws import LAWS, PRESETS, Preset
from isoflop.planning import iso_flop, iso_loss, overhead, plan, settle, tolerance

LAW = "chinchilla-besiroglu"


@pytest.mark.parametrize("name", [LAW, "kaplan-table2"])
def test_every_point_of_a_curve_of_one_loss_has_that_loss(name: str) -> None:
    preset = PRESETS[name]
    assert isinstance(preset, Preset)
    losses, sizes = (2.0, 2.2, 2.6), np.geomspace(1e9, 1e12, 7)
    curves = iso_loss(name, losses, sizes)
    assert all(column.shape == (3, 7) for column in curves.values())
    at = np.isfinite(curves["D"])
    assert at.any(axis=1).all()
    found = LAWS[preset.law].predict(preset.values, N=curves["N"][at], D=curves["D"][at])
    np.testing.assert_allclose(found, curves["L"][at], rtol=1e-9)
    np.testing.assert_allclose(curves["C"][at], 6 * (curves["N"] * curves["D"])[at])


def test_a_size_that_never_gives_the_loss_has_no_tokens_for_it() -> None:
    assert np.isinf(iso_loss(LAW, [1.9], [1e6, 1e8])["D"]).all()


def test_the_lowest_compute_of_a_curve_of_one_loss_is_that_of_the_plan() -> None:
    least = settle(LAW, loss=2.1)
    curve = iso_loss(LAW, [2.1], least.n_params * np.geomspace(0.5, 2, 201))
    assert curve["C"].min() == pytest.approx(least.compute, rel=1e-9)
    assert curve["C"].argmin() == 100


def test_curves_of_one_budget_are_lowest_at_the_plan() -> None:
    curves = iso_flop(LAW, [1e20, "1e22 FLOP"], np.geomspace(0.1, 10, 41))
    np.testing.assert_allclose(6 * curves["N"] * curves["D"], curves["C"])
    assert (curves["L"].argmin(axis=1) == 20).all()
    for row, compute in enumerate((1e20, 1e22)):
        assert curves["L"][row].min() == pytest.approx(plan(compute, LAW).loss, rel=1e-12)


@pytest.mark.parametrize("name", [LAW, "kaplan-table2", "sardana-all"])
@pytest.mark.parametrize("more", [0.05, 0.2, 1.0])
def test_sizes_at_the_edge_of_the_tolerance_cost_just_that(name: str, more: float) -> None:
    low, high = tolerance(name, 1e22, more)
    assert low < 1 < high
    ends = [end for end in (low, high) if 0 < end < np.inf]
    assert ends
    np.testing.assert_allclose(overhead(name, 1e22, ends)["overhead"], more, rtol=1e-6)


def test_wrong_curves_are_refused() -> None:
    with pytest.raises(PlanError, match="loss of a curve"):
        iso_loss(LAW, [2.0, -1], [1e9])
    with pytest.raises(PlanError, match="ratio of a curve"):
        iso_flop(LAW, [1e22], [0.0])
    with pytest.raises(PlanError, match="overhead = 0"):
        tolerance(LAW, 1e22, 0)
