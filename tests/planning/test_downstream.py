"""From losses to scores: identities of the metrics, the published links, and the test of emergence by simulation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import isoflop as iso
from isoflop.errors import PlanError
from isoflop.planning import downstream, edit_distance, emergence, exact_match, score_answers, score_choices


def test_metrics_are_what_independent_tokens_give() -> None:
    """Against answers drawn token by token."""
    rng = np.random.default_rng(0)
    losses = rng.exponential(0.3, (40, 5))
    right = rng.random((4000, 40, 5)) < np.exp(-losses)
    found = score_answers(losses)
    assert found.exact_match == pytest.approx(right.all(axis=2).mean(), abs=0.01)
    assert found.token_accuracy == pytest.approx(right.mean(), abs=0.01)
    assert found.edit_distance == pytest.approx((~right).sum(axis=2).mean(), abs=0.02)
    assert found.loss == pytest.approx(losses.mean())
    assert found.at_mean_loss < found.exact_match  # exp is convex


def test_answers_of_equal_tokens_have_closed_forms() -> None:
    found = score_answers(np.full((3, 4), 0.25))
    assert found.exact_match == pytest.approx(float(exact_match(0.25, 4))) == pytest.approx(math.exp(-1))
    assert found.edit_distance == pytest.approx(float(edit_distance(0.25, 4)))
    assert found.at_mean_loss == pytest.approx(found.exact_match)
    ragged = score_answers([[0.5, np.nan], [0.5, 0.5]])
    assert ragged.exact_match == pytest.approx((math.exp(-0.5) + math.exp(-1)) / 2)


def test_exact_match_jumps_where_edit_distance_moves_evenly() -> None:
    """Schaeffer 2023, figure 2: the same losses, N over five decades."""
    n = np.geomspace(1e6, 1e11, 40)
    loss = (n / 1e8) ** -0.3
    exact, distance = exact_match(loss, 10), edit_distance(loss, 10)
    steepest = [np.abs(np.diff(values)).max() / np.ptp(values) for values in (exact, distance)]
    assert steepest[0] > 1.5 * steepest[1]
    assert exact[n < 1e8].max() < 1e-4
    assert np.ptp(distance[n < 1e8]) > 1.0


def test_multiple_choice_jumps_where_its_probability_moves_smoothly() -> None:
    below = score_choices([[1.01, 1.0, 3.0]], [0])
    above = score_choices([[0.99, 1.0, 3.0]], [0])
    assert (below.accuracy, above.accuracy) == (0.0, 1.0)
    assert above.probability - below.probability < 0.02
    assert below.chance == pytest.approx(1 / 3)
    assert score_choices([[0.0, 50.0]], [0]).brier == pytest.approx(0, abs=1e-12)


def runs(seed: int, kind: str = "") -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Fourteen runs whose loss falls smoothly, scored by exact match over five tokens; and with a step in either."""
    rng = np.random.default_rng(seed)
    scale = np.geomspace(1e7, 1e11, 14)
    beyond = scale > 1e9
    loss = 1.2 * (scale / 1e8) ** -0.18 * np.exp(0.005 * rng.standard_normal(14))
    loss *= np.where(beyond & (kind == "loss"), 0.93, 1.0)
    answers = 5 * loss * np.where(beyond & (kind == "score"), 0.6, 1.0)
    return scale, loss, rng.binomial(1000, np.exp(-answers)), 1000


def test_a_jump_of_the_metric_alone_is_called_emergent_no_more_often_than_alpha() -> None:
    found = [emergence(*runs(seed), seed=seed) for seed in range(100)]
    assert sum(not each.explained for each in found) <= 11  # of 100 binomial draws at 0.05 more come once in 230
    assert np.median([each.tokens for each in found]) == pytest.approx(5, rel=0.05)
    assert np.median([each.power for each in found]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", ["loss", "score"])
def test_a_true_step_is_found_four_times_in_five_and_where_it_is(kind: str) -> None:
    found = [emergence(*runs(seed, kind), seed=seed) for seed in range(40)]
    assert sum(not each.explained for each in found) >= 32
    jumps = [getattr(each, kind) for each in found]
    assert np.median([jump.at for jump in jumps]) == pytest.approx(1.4e9, rel=0.6)
    assert kind in str(found[0])


def test_the_answer_says_both_tests_and_is_json() -> None:
    found = emergence(*runs(1))
    record = json.loads(json.dumps(found.to_dict()))
    assert record["explained"] is found.explained
    assert "2304.15004" in str(found)
    assert found.sharpness_score > 0


def test_gadre_leads_from_sizes_to_an_error_by_its_two_sets() -> None:
    n, d = 1.4e9, 2.8e10
    found = downstream(n, d)
    c, m = 6 * n * d, d / n
    values = iso.laws.get_preset("gadre-c4").values  # type: ignore[union-attr]
    loss = values["E"] + (values["a"] * m ** values["eta"] + values["b"] * m ** -values["eta"]) * c ** -values["eta"]
    assert found.loss == pytest.approx(loss)
    assert found.score == pytest.approx(0.8497 - 2.0789 * math.exp(-0.7561 * loss))
    assert (found.output, found.score_interval) == ("error", None)
    assert "2403.08540" in str(found)
    assert downstream(10 * n, 10 * d).score < found.score


def fits(seed: int) -> tuple[iso.Fit, iso.Fit]:
    """Of a loss and of an accuracy to 25 runs."""
    rng = np.random.default_rng(seed)
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 1e11, 5)))
    loss = (1.7 + 400 / n**0.34 + 1500 / d**0.37) * np.exp(0.003 * rng.standard_normal(25))
    accuracy = 0.25 + 0.6 / (1 + np.exp(4 * (loss - 2.6))) + 0.005 * rng.standard_normal(25)
    first = iso.fit("chinchilla", {"N": n, "D": d, "L": loss})
    second = iso.fit("sigmoid", {"L": loss, "accuracy": accuracy}, objective=iso.LeastSquares(log=False))
    return first, second


def test_fits_of_both_steps_carry_their_intervals_to_the_score() -> None:
    truth = 0.25 + 0.6 / (1 + math.exp(4 * (1.7 + 400 / 3e8**0.34 + 1500 / 3e10**0.37 - 2.6)))
    intervals = []
    for seed in range(10):
        first, second = fits(seed)
        found = downstream(3e8, 3e10, loss_law=first, link=second)
        assert found.score_interval is not None
        assert not found.warnings
        intervals.append(found.score_interval)
    assert sum(low < truth < high for low, high in intervals) >= 8
    assert max(high - low for low, high in intervals) < 0.05
    first, second = fits(0)
    assert any("extrapolation" in said for said in downstream(1e11, 1e13, loss_law=first, link=second).warnings)


def test_what_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(PlanError, match="gives no score of a loss"):
        downstream(1e9, 1e10, link="chinchilla-besiroglu")
    with pytest.raises(PlanError, match="gives no loss of N and D"):
        downstream(1e9, 1e10, loss_law="gadre-error-c4")
    with pytest.raises(PlanError, match="did you mean 'gadre-c4'"):
        downstream(1e9, 1e10, loss_law="gadre-c5")
    with pytest.raises(PlanError, match=r"a loss of -1 nats"):
        exact_match(-1.0, 3)
    with pytest.raises(PlanError, match="3 scales"):
        emergence([1, 2, 3], [1, 1, 1], [0, 1, 2], 5)
    with pytest.raises(PlanError, match="hits, run 0: 7 cannot be"):
        emergence(np.arange(1, 10), np.ones(9), np.full(9, 7), 5)
    with pytest.raises(PlanError, match="in all runs but one"):
        emergence(np.arange(1, 10), np.ones(9), np.where(np.arange(9) > 4, 5, 0), 5)
