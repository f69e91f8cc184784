"""Hold-outs, rollouts and leave-one-run-out."""

from __future__ import annotations

import numpy as np
import pytest

from fitting.public_runs import besiroglu
from fitting.synthetic import TRUTHS, runs
from isoflop.errors import FitError
from isoflop.fitting import (
    Fit,
    Huber,
    fit,
)
from isoflop.laws import LAWS


def test_holdout_of_the_top_decade_leaves_the_rest(noisy: Fit) -> None:
    held = noisy.holdout("N", top=1.0)
    assert held.rows["N"].min() >= 1e8
    assert held.fit.data.columns["N"].max() < 1e8
    assert held.decades == pytest.approx(np.log10(1e9 / held.fit.data.columns["N"].max()))


def test_shares_within_thresholds_count_the_held_out_runs(noisy: Fit) -> None:
    held = noisy.holdout("D")
    errors = np.abs(held.rows["relative_error"])
    assert held.within[0.01] == np.mean(errors <= 0.01)
    assert list(held.within.values()) == sorted(held.within.values())
    assert held.within[0.05] == 1.0


def test_holding_out_the_only_value_is_refused() -> None:
    with pytest.raises(FitError, match="leaves no run"):
        fit("power-d", {**runs("power-d", 0.01), "N": np.full(30, 1e8)}).holdout("N")


def test_rollout_steps_equal_their_own_fits(noisy: Fit) -> None:
    rolled = noisy.rollout("N")
    data = noisy.data
    sizes = np.unique(data.columns["N"])
    assert [step.up_to for step in rolled.steps] == pytest.approx(sizes[2:-1])
    assert len(rolled.skipped) == 2
    by_hand = fit("chinchilla", data.select(data.columns["N"] <= sizes[3]))
    following = data.select(data.columns["N"] == sizes[4]).columns
    errors = by_hand.predict(N=following["N"], D=following["D"]) / following["L"] - 1
    assert rolled.steps[1].error == pytest.approx(np.abs(errors).mean())
    assert rolled.steps[1].decades == pytest.approx(np.log10(sizes[4] / sizes[3]))
    assert rolled.steps[-1].error == rolled.steps[-1].error_on_largest


def test_rollout_over_scattered_sizes_makes_levels() -> None:
    rolled = fit("chinchilla", besiroglu(), objective=Huber(1e-3)).rollout("N")
    assert len(rolled.steps) == 7
    assert rolled.steps[-1].error < 0.02
    assert "largest: decades" in str(rolled)
    assert "<table>" in rolled._repr_html_()


def test_rollout_without_a_determined_scale_is_refused() -> None:
    with pytest.raises(FitError, match="no scale of D below the largest determines"):
        fit("chinchilla", runs("chinchilla", 0.01, n_sizes=8, n_tokens=3)).rollout("D")


def test_leaving_a_run_out_equals_the_fit_without_it(noisy: Fit) -> None:
    left = noisy.leave_one_out()
    rows = np.arange(30) != 17
    without = fit("chinchilla", noisy.data.select(rows))
    assert dict(zip(left.names, left.params[17], strict=True)) == pytest.approx(without.params, rel=1e-5)
    point = {name: noisy.data.columns[name][17] for name in "ND"}
    expected = without.predict(**point) / noisy.data.columns["L"][17] - 1
    assert left.relative_error[17] == pytest.approx(float(expected), rel=1e-5)


def test_leaving_a_run_of_many_rows_out_leaves_them_all_out(noisy: Fit) -> None:
    label = np.arange(30) // 5
    left = noisy.leave_one_out(label)
    without = fit("chinchilla", noisy.data.select(label != 2))
    assert len(left.runs) == 6
    assert dict(zip(left.names, left.params[2], strict=True)) == pytest.approx(without.params, rel=1e-5)


def test_an_outlier_is_the_run_that_moves_the_law_most() -> None:
    columns = runs("chinchilla", 0.002)
    columns["L"][0] *= 1.2
    left = fit("chinchilla", columns).leave_one_out()
    assert left.most_moved("E") == left.most_moved("alpha") == "0"
    assert np.argmax(np.abs(left.relative_error)) == 0
    assert "in row 0" in str(left)


@pytest.fixture(scope="module")
def curves() -> Fit:
    """Twelve curves of four points each, at sizes and lengths that do not line up."""
    rng = np.random.default_rng(5)
    run = np.repeat(np.arange(12), 4)
    n = np.repeat(10 ** rng.uniform(6, 9, 12), 4)
    d = np.repeat(10 ** rng.uniform(9, 11, 12), 4) * np.tile([0.1, 0.2, 0.5, 1.0], 12)
    noise = np.exp(0.002 * (rng.standard_normal(12)[run] + rng.standard_normal(48)))
    loss = LAWS["chinchilla"].predict(TRUTHS["chinchilla"], N=n, D=d) * noise
    return fit("chinchilla", {"N": n, "D": d, "L": loss, "run": run}, cluster="run")


@pytest.mark.parametrize(("by", "top"), [("N", 0.0), ("D", 0.0), ("D", 0.5), ("C", 0.0), ("C", 0.7)])
def test_points_of_one_run_never_straddle_the_cut(curves: Fit, by: str, top: float) -> None:
    data = curves.data
    scale = data.columns[by] if by != "C" else 6 * data.columns["N"] * data.columns["D"]
    at_the_top = scale >= scale.max() * (1 - 1e-9) / 10**top
    assert data.cluster is not None
    reaching = np.isin(data.cluster, data.cluster[at_the_top])
    held = curves.holdout(by, top)
    assert held.fit.data.fingerprint() == data.select(~reaching).fingerprint()
    np.testing.assert_array_equal(held.rows["L"], data.columns["L"][at_the_top])
    assert held.decades == pytest.approx(np.log10(scale.max() / scale[~reaching].max()))
    alone = fit("chinchilla", data.select(~reaching))
    expected = alone.predict(N=held.rows["N"], D=held.rows["D"]) / held.rows["L"] - 1
    np.testing.assert_allclose(held.rows["relative_error"], expected)


def test_rollout_fits_no_part_of_a_run_that_it_predicts(curves: Fit) -> None:
    data = curves.data
    d, cluster = data.columns["D"], data.cluster
    assert cluster is not None
    longest = np.array([d[cluster == each].max() for each in cluster])
    rolled = curves.rollout("D")
    assert rolled.steps
    for step in rolled.steps:
        below = longest <= step.up_to
        assert step.n_fitted == below.sum()
        assert not set(cluster[below]) & set(cluster[d > step.up_to])


def test_leaving_one_out_leaves_a_whole_cluster_out(curves: Fit) -> None:
    left = curves.leave_one_out()
    assert left.runs == tuple(str(each) for each in range(12))
    assert curves.data.cluster is not None
    without = fit("chinchilla", curves.data.select(curves.data.cluster != 7))
    assert dict(zip(left.names, left.params[7], strict=True)) == pytest.approx(without.params, rel=1e-5)
    assert len(curves.leave_one_out(np.arange(48)).runs) == 48


def test_holding_out_every_cluster_is_refused() -> None:
    columns = runs("chinchilla", 0.01)
    of_one_size = np.unique(columns["D"], return_inverse=True)[1]
    with pytest.raises(FitError, match="leaves no cluster of runs to fit"):
        fit("chinchilla", columns, cluster=of_one_size).holdout("N")


@pytest.mark.parametrize(
    ("label", "text"), [(np.zeros(30), "all rows are of one run"), (np.zeros(3), "one label a row")]
)
def test_labels_that_cannot_be_are_refused(noisy: Fit, label: np.ndarray, text: str) -> None:
    with pytest.raises(FitError, match=text):
        noisy.leave_one_out(label)
