"""Figures show the runs they are given."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.fitting import Fit, fit
from isoflop.planning import plan
from isoflop.report.figures import allocation, compute_frontier, loss_against, loss_curves
from isoflop.report.style import new_figure
from isoflop.runs import RunStore


@pytest.fixture
def fitted(store: RunStore) -> Fit:
    return fit("kaplan", store)


def test_loss_curves_draw_a_line_and_a_dot_for_every_finished_run(store: RunStore) -> None:
    ax = new_figure(1)[1][0]
    assert loss_curves(store, ax) is ax
    lines = [line for line in ax.lines if len(line.get_xdata()) == 3]  # type: ignore[arg-type]
    dots = [line for line in ax.lines if len(line.get_xdata()) == 1]  # type: ignore[arg-type]
    assert len(lines) == len(dots) == 15


@pytest.mark.parametrize(("x", "series"), [("N", 3), ("D", 5)])
def test_loss_against_shows_every_run_in_its_series(fitted: Fit, x: str, series: int) -> None:
    ax = loss_against(x, fitted)
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert len(dots) == series
    assert sum(len(line.get_xdata()) for line in dots) == 15  # type: ignore[arg-type]


def test_the_fitted_range_ends_where_the_runs_end(fitted: Fit) -> None:
    ax = loss_against("N", fitted)
    (shade,) = ax.patches
    assert shade.get_x() == pytest.approx(2.56e5, rel=0.2)  # type: ignore[attr-defined]


def test_the_plan_is_a_star_at_its_compute_and_loss(fitted: Fit) -> None:
    planned = plan("1e13 FLOP", fitted)
    for ax in (compute_frontier(fitted, planned), allocation(fitted, planned)):
        stars = [line for line in ax.lines if line.get_marker() == "*"]
        assert stars
        assert all(float(np.asarray(star.get_xdata())[0]) == 1e13 for star in stars)
