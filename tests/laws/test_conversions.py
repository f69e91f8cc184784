from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.laws import Preset, get_law, get_preset
from isoflop.laws import conversions as c

TABLE3 = get_preset("kaplan-table3")
assert isinstance(TABLE3, Preset)
STEPS = TABLE3.values
ALPHA_N, ALPHA_S, ALPHA_B, B_STAR = 0.077, 0.76, 0.21, 2.1e8


def test_exponent_of_optimal_compute_is_that_of_b7() -> None:
    assert c.alpha_c_min(0.076, 0.76, 0.21) == pytest.approx(0.0520, abs=5e-5)
    assert c.alpha_c_min(ALPHA_N, ALPHA_S, ALPHA_B) == pytest.approx(0.0525, abs=5e-5)


def test_frontier_scale_recomputes_from_table_3() -> None:
    assert c.c_c_min(STEPS, B_STAR) / 8.64e19 == pytest.approx(1.6e8, rel=0.03)
    assert c.c_c_min(STEPS, 2e8) / 8.64e19 == pytest.approx(1.5e8, rel=0.03)


def test_sizes_off_the_optimum_cost_what_kaplan_says() -> None:
    assert c.compute_off_optimum(0.6, ALPHA_N, ALPHA_S) == pytest.approx(1.16, abs=0.02)
    assert c.compute_off_optimum(2.2, ALPHA_N, ALPHA_S) == pytest.approx(1.20, abs=0.01)
    assert c.steps_off_optimum(2.2, ALPHA_N, ALPHA_S) == pytest.approx(0.55, abs=0.01)
    assert c.compute_off_optimum(1.0, ALPHA_N, ALPHA_S) == 1.0
    assert c.steps_off_optimum(1e-3, ALPHA_N, ALPHA_S) == np.inf


@given(st.floats(1e16, 1e24))
def test_the_frontier_is_self_consistent(compute: float) -> None:
    n = c.n_at_c_min(compute, STEPS, B_STAR, ALPHA_B)
    steps = c.s_at_c_min(compute, STEPS, B_STAR, ALPHA_B)
    loss = get_law("kaplan-steps").predict(STEPS, N=n, S_min=steps)
    converged = (STEPS["N_c"] / n) ** ALPHA_N
    assert loss == pytest.approx(float(c.stopping_loss(converged, ALPHA_N, ALPHA_S)), rel=1e-9)
    assert c.c_min_to_reach(loss, n, STEPS, B_STAR, ALPHA_B) == pytest.approx(compute, rel=1e-6)
    for ratio in (0.5, 2.0):
        dearer = c.c_min_to_reach(loss, n * ratio, STEPS, B_STAR, ALPHA_B)
        assert dearer / compute == pytest.approx(float(c.compute_off_optimum(ratio, ALPHA_N, ALPHA_S)), rel=1e-6)


def test_a_loss_out_of_reach_takes_infinite_compute() -> None:
    assert c.c_min_to_reach(1.0, 1e6, STEPS, B_STAR, ALPHA_B) == np.inf


@given(st.floats(1e3, 1e9), st.floats(1e3, 1e9), st.floats(1, 1e6))
def test_batch_adjustments_are_points_of_the_trade_off(batch: float, b_crit: float, steps: float) -> None:
    tokens = batch * steps
    fewest, least = c.s_min(steps, batch, b_crit), c.e_min(tokens, batch, b_crit)
    assert least / fewest == pytest.approx(b_crit, rel=1e-9)
    assert (steps / fewest - 1) * (tokens / least - 1) == pytest.approx(1.0, rel=1e-6)
    assert c.steps_of(tokens, fewest, least) == pytest.approx(steps, rel=1e-6)
    assert c.c_min(6e6 * tokens, batch, b_crit) == pytest.approx(6e6 * float(least), rel=1e-9)


def test_at_the_critical_batch_both_double() -> None:
    assert c.s_min(200.0, 1e5, 1e5) == 100.0
    assert c.e_min(200.0, 1e5, 1e5) == 100.0
    assert c.learning_rate_at(1e5, 3e-4, 1e5) == pytest.approx(1.5e-4)


def test_early_stopping_is_the_bound_of_eq_5_7() -> None:
    assert c.earliest_stop(3.0, 2.0, 2.1e3, 0.76) == pytest.approx(2.1e3)


@given(st.floats(0, 15))
def test_total_and_nonembedding_parameters_are_inverse(exponent: float) -> None:
    n = 10**exponent
    assert c.n_nonembedding(c.n_total(n)) == pytest.approx(n, rel=1e-9)
    assert c.n_total(n) == pytest.approx(float(get_law("pearce-song").predict({"k": c.PEARCE_SONG}, N=n)))


def test_kl_of_the_best_of_n() -> None:
    np.testing.assert_allclose(c.best_of_n_kl([1, 2]), [0.0, np.log(2) - 0.5])


def test_weight_decay_keeps_the_timescale() -> None:
    decay = c.weight_decay(1e6, 1e-3, 2e10, 0.1)
    assert 1e6 / (1e-3 * decay * 2e10) == pytest.approx(0.1)


@given(st.floats(0.1, 2.0), st.floats(0.05, 0.5))
def test_reward_falls_on_both_sides_of_the_best_divergence(alpha: float, beta: float) -> None:
    for law, best in (("gao-bon", c.best_kl_of_n), ("gao-rl", c.best_kl_of_rl)):
        d = np.sqrt(best(alpha, beta)) * np.array([0.9, 1.0, 1.1])
        below, top, above = get_law(law).predict({"alpha": alpha, "beta": beta}, d=d)
        assert max(below, above) < top
