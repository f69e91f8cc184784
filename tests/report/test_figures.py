"""Figures show the runs they are given and the laws through them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from isoflop.fitting import Fit, fit
from isoflop.planning import plan
from isoflop.report.figures import (
    Study,
    allocation,
    best_size_by_compute,
    compute_frontier,
    contradiction,
    corner,
    critical_sizes,
    exact_answers,
    excess_compute,
    loss_against_d,
    loss_against_n,
    loss_by_least_compute,
    loss_by_size,
    loss_contours,
    loss_curves,
    overfitting,
    overlaid_predictions,
    parameter_intervals,
    power_or_logarithm,
    profiles,
    residual_histogram,
    serving_sizes,
    shape_landscape,
    split_of_compute,
    steps_to_reach,
    tokens_per_parameter,
    trade_off,
    training_envelope,
)
from isoflop.report.figures.curves import adjusted
from isoflop.report.figures.frontier import excess_factor
from isoflop.report.figures.panel import Panel
from isoflop.report.style import new_figure
from isoflop.runs import RunStore
from report.known import ALPHA_N, ALPHA_S, N_C, PENALTIES, S_C, add_purposes, critical

Array = NDArray[np.float64]


@pytest.fixture
def fitted(store: RunStore) -> Fit:
    return fit("kaplan", store)


@pytest.fixture(scope="module")
def known(grid: RunStore) -> Study:
    """A study of known laws with runs for every purpose; what is fitted is kept from test to test."""
    return Study.of(add_purposes(grid))


def lines(ax: Axes, marker: str = "None") -> Iterator[tuple[Array, Array]]:
    """Data of the lines of a marker; "None" is of those without."""
    for line in ax.lines:
        if line.get_marker() == marker and len(xy(line)[0]):
            yield xy(line)


def xy(line: Line2D) -> tuple[Array, Array]:
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def test_loss_curves_draw_a_line_and_a_dot_for_every_finished_run(store: RunStore) -> None:
    ax = new_figure(1)[1][0]
    assert loss_curves(store, ax=ax) is ax
    assert [len(x) for x, _ in lines(ax)] == [3] * 15
    assert [len(x) for x, _ in lines(ax, "o")] == [1] * 15


@pytest.mark.parametrize(("draw", "series"), [(loss_against_n, 3), (loss_against_d, 5)])
def test_a_joint_law_is_drawn_through_every_run_in_its_series(fitted: Fit, draw: Panel[[]], series: int) -> None:
    ax = draw(fitted)
    dots = list(lines(ax, "o"))
    assert len(dots) == series
    assert sum(len(x) for x, _ in dots) == 15
    for (x, y), (at, law) in zip(dots, lines(ax), strict=True):
        assert np.interp(np.log(x), np.log(at), law) == pytest.approx(y, rel=0.01)


def test_the_fitted_range_ends_where_the_runs_end(fitted: Fit) -> None:
    (shade,) = loss_against_n(fitted).patches
    assert shade.get_x() == pytest.approx(2.56e5, rel=0.2)  # type: ignore[attr-defined]


def test_the_plan_is_a_star_at_its_compute_and_loss(fitted: Fit) -> None:
    study = Study.of(fitted)
    study.plan = plan("1e13 FLOP", fitted)
    for draw in (compute_frontier, allocation):
        stars = list(lines(draw(study), "*"))
        assert stars
        assert all(x[0] == 1e13 for x, _ in stars)
    assert not list(lines(compute_frontier(fitted), "*"))


def test_a_law_of_one_variable_is_drawn_with_its_interval_and_its_equation(known: Study) -> None:
    ax = loss_by_size(known)
    (x, y), law = next(lines(ax)), known.law("power-n")
    assert y == pytest.approx(law.predict(N=x))
    assert len(ax.collections) == 1
    assert law.law.formula in ax.get_legend_handles_labels()[1][0]


def test_a_billion_times_the_compute_is_split_into_factors_whose_product_is_a_billion(known: Study) -> None:
    labels = split_of_compute(known).get_legend_handles_labels()[1]
    factors = [float(label.split("x")[1].split(",")[0]) for label in labels]
    assert np.prod(factors) == pytest.approx(1e9, rel=0.02)


def test_sizes_off_the_best_cost_what_kaplan_says(known: Study) -> None:
    steps = Study.of(known).steps
    at = np.array([1.0, 0.6, 2.2])
    published = dict(steps.params) | {"alpha_N": 0.077, "alpha_S": 0.76}
    like = type("Kaplan", (), {"params": published})
    assert excess_factor(like, at, "C") == pytest.approx([1, 1.16, 1.20], abs=0.01)  # type: ignore[arg-type]
    assert excess_factor(like, at, "S")[2] == pytest.approx(0.55, abs=0.01)  # type: ignore[arg-type]
    x, y = next(lines(excess_compute(known)))
    assert x[y.argmin()] == pytest.approx(1, rel=0.02)


def test_the_loss_at_fixed_steps_solves_its_own_equation(known: Study) -> None:
    n, made = np.array([1e3, 1e4, 1e6]), np.array([200.0, 700.0, 3000.0])
    loss = adjusted(known.steps, n, made, 2048)
    least = made / (1 + known.steps.critical(loss) / 2048)
    assert known.steps.predict(n, least) == pytest.approx(loss, rel=1e-6)


def test_steps_to_a_loss_are_those_of_the_law_that_made_the_curves(known: Study) -> None:
    ax = steps_to_reach(known)
    checked = 0
    for n, s_min in lines(ax, "o"):
        excess = (S_C / s_min) ** ALPHA_S
        loss = (N_C / n) ** ALPHA_N + excess
        checked += len(n) > 1
        assert np.ptp(loss) < 0.02 * loss[0]
    assert checked >= 2


def test_the_critical_batch_size_is_the_one_that_made_the_scan(known: Study) -> None:
    x, y = next(lines(critical_sizes(known)))
    assert y == pytest.approx([critical(loss) for loss in x], rel=0.1)


def test_hyperbolas_pass_through_their_rings_and_near_their_runs(known: Study) -> None:
    ax = trade_off(known)
    n_levels = len(known.critical.levels)
    curves, dots = list(lines(ax)), list(lines(ax, "o"))
    assert len(curves) == n_levels
    assert len(dots) == n_levels * (1 + 5)
    for x, y in dots:
        nearest = min(np.abs(np.log(a / x[0]) + 1j * np.log(b / y[0])).min() for a, b in curves)
        assert nearest < 0.15


def test_overfitting_of_all_sizes_lies_on_one_line(known: Study) -> None:
    ax = overfitting(known)
    (x, y), points = next(lines(ax)), np.asarray(ax.collections[0].get_offsets())
    assert np.interp(points[:, 0], x, y) == pytest.approx(points[:, 1], abs=0.02)


def test_the_envelope_is_nowhere_above_a_curve(known: Study) -> None:
    ax = training_envelope(known)
    (compute, loss), *_ = lines(ax, ".")
    for x, y in lines(ax):
        inside = (compute >= x.min()) & (compute <= x.max())
        along = np.exp(np.interp(np.log(compute[inside]), np.log(x), np.log(y)))
        assert (loss[inside] <= along * 1.0001).all()


def test_the_envelopes_over_compute_as_spent_and_adjusted_are_both_drawn(known: Study) -> None:
    labels = loss_by_least_compute(known).get_legend_handles_labels()[1]
    assert [label.split(":")[0] for label in labels] == ["C as spent", "C_min"]
    assert "N* ~ C_min^" in best_size_by_compute(known).get_legend_handles_labels()[1][0]


def test_laws_cross_where_the_star_is(known: Study) -> None:
    ax = contradiction(known)
    (x, frontier), (_, bound) = lines(ax)
    ((at, loss),) = lines(ax, "*")
    assert np.interp(at[0], x, frontier) == pytest.approx(loss[0], rel=1e-3)
    assert np.interp(at[0], x, bound) == pytest.approx(loss[0], rel=1e-2)


def test_power_law_and_logarithm_are_told_apart_by_their_residuals(known: Study) -> None:
    power, logarithm = (label.split(", ") for label in power_or_logarithm(known).get_legend_handles_labels()[1])
    assert [power[0], logarithm[0]] == ["power law", "a + b ln N"]
    assert 0 < float(power[1].split("%")[0]) < 10


def test_approaches_that_the_runs_allow_are_overlaid(known: Study) -> None:
    labels = overlaid_predictions(known).get_legend_handles_labels()[1]
    assert [label.split(",")[0] for label in labels] == ["approach 1", "approach 2", "approach 3", "Kaplan 2020"]


def test_the_contours_are_of_the_law(fitted: Fit) -> None:
    ax = loss_contours(fitted)
    contour = next(each for each in ax.collections if hasattr(each, "levels"))
    level, paths = float(contour.levels[4]), contour.get_paths()[4]
    c, n = paths.vertices.T
    inside = (n > 0) & (c > 0)
    assert fitted.predict(N=n[inside], D=c[inside] / 6 / n[inside]) == pytest.approx(level, rel=0.02)


def test_shapes_are_labelled_with_what_they_lose(known: Study) -> None:
    shown = sorted(float(text.get_text().split()[0]) for text in shape_landscape(known).texts)
    assert shown == pytest.approx(sorted(100 * penalty for penalty in PENALTIES.values()), abs=0.2)


def test_residuals_are_those_of_every_run(fitted: Fit) -> None:
    ax = residual_histogram(fitted)
    assert sum(bar.get_height() for bar in ax.patches) == 15  # type: ignore[attr-defined]


def test_each_parameter_has_an_interval_of_each_kind(fitted: Fit) -> None:
    ax = parameter_intervals(fitted)
    assert len([1 for x, _ in lines(ax) if x[0] < 1 < x[1]]) == 3 * len(fitted.law.names)
    assert [label.get_text().split(" =")[0] for label in ax.get_yticklabels()] == list(fitted.law.names)


def test_profiles_touch_zero_at_the_fit_and_the_interval_is_in_the_legend(fitted: Fit) -> None:
    ax = profiles(fitted)
    drawn = list(lines(ax, "."))
    assert len(drawn) == len(fitted.law.names)
    assert all(ratio.min() == pytest.approx(0, abs=1e-6) for _, ratio in drawn)
    low, high = fitted.profile("alpha_N").interval
    assert any(f"[{low:.3g}, {high:.3g}]" in label for label in ax.get_legend_handles_labels()[1])


def test_the_corner_has_an_axes_for_each_pair_of_parameters(fitted: Fit) -> None:
    p = len(fitted.law.names)
    assert len(corner(fitted).child_axes) == p * (p + 1) // 2


def test_a_model_that_is_served_more_is_smaller(fitted: Fit) -> None:
    drawn = [y for _, y in lines(serving_sizes(fitted))][:5]
    assert all((more < less).all() for less, more in pairwise(drawn))


def test_tokens_a_parameter_are_those_of_the_optimum(fitted: Fit) -> None:
    x, y = next(lines(tokens_per_parameter(fitted)))
    at = plan(float(x[10]), fitted)
    assert y[10] == pytest.approx(at.n_tokens / at.n_params)


def test_exact_match_of_k_tokens_is_the_kth_power(fitted: Fit) -> None:
    drawn = [y for _, y in lines(exact_answers(fitted))]
    assert drawn[3] == pytest.approx(drawn[0] ** 8)
