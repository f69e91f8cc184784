"""When to stop: Kaplan's rules by hand, slopes by calculus, and real curves whose end is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import PlanError
from isoflop.fitting import Curve, fit, read_file
from isoflop.laws import get_law, get_preset
from isoflop.planning import continuing, overfitting, plan

CURVES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "multipowerlaw2025" / "loss_curve_repo"
PF_DAY = 8.64e19


def test_enough_tokens_are_those_of_kaplan_eq_4_4() -> None:
    found = overfitting(1e9, 2.3e10)
    assert found.enough_tokens == pytest.approx(5e3 * 1e9**0.74)
    assert not found.overfits
    assert overfitting(1e9, 2e10).overfits
    assert found.increase == pytest.approx(0.02, abs=0.005)  # the rule is where overfitting equals seeds' noise


def test_the_earliest_stop_is_that_of_kaplan_eq_5_7() -> None:
    n, d, batch = 3e8, 2.1e8, 2.0**19
    loss = ((6.4e13 / n) ** (0.076 / 0.103) + 1.8e13 / d) ** 0.103
    converged = (6.4e13 / n) ** 0.076
    found = overfitting(n, d, batch_tokens=batch)
    assert (found.loss, found.converged) == (pytest.approx(loss), pytest.approx(converged))
    assert found.earliest_step == pytest.approx(2.1e3 / (loss - converged) ** (1 / 0.76))
    critical = 2.1e8 / loss ** (1 / 0.21)
    assert found.earliest_step_at_batch == pytest.approx(found.earliest_step * (1 + critical / batch))
    assert found.earliest_tokens == pytest.approx(found.earliest_step * (batch + critical))
    fewer = overfitting(n, d / 10)
    assert fewer.earliest_step < found.earliest_step


def test_a_measured_loss_takes_the_place_of_the_laws() -> None:
    found = overfitting(3e8, 2.1e8, loss=4.0)
    assert found.loss == 4.0
    assert found.earliest_step == pytest.approx(2.1e3 / (4.0 - found.converged) ** (1 / 0.76))
    with pytest.raises(PlanError, match=r"2 lies at or below 2\.5"):
        overfitting(3e8, 2.1e8, loss=2.0)


def test_what_lies_outside_the_evidence_is_warned_of() -> None:
    assert any("N = 7e+10 lies outside what Kaplan 2020 trained" in said for said in overfitting(7e10, 1e12).warnings)
    assert not overfitting(1e8, 1e10).warnings


@pytest.mark.parametrize("law", ["chinchilla-besiroglu", "chinchilla-hoffmann"])
def test_slopes_are_the_derivatives_of_the_law(law: str) -> None:
    preset = get_preset(law)
    n, d = 1e9, 2e11
    p = dict(preset.values)  # type: ignore[union-attr]
    by_hand = p["beta"] * p["B"] / d ** p["beta"] / (6 * n * d) * PF_DAY
    found = continuing(n, d, law=law)
    assert found.slope == pytest.approx(by_hand, rel=1e-5)
    best = plan(found.compute, law)
    reducible = best.loss - p["E"]
    shared = p["alpha"] * p["beta"] / (p["alpha"] + p["beta"])
    assert found.optimal_slope == pytest.approx(shared * reducible / found.compute * PF_DAY, rel=1e-5)
    assert found.optimal_params == pytest.approx(best.n_params)


def test_at_the_optimum_both_slopes_are_one_and_past_it_the_runs_own_falls_behind() -> None:
    """Along C = 6 N D the optimum's slope is what either N or D alone gives there: the envelope theorem."""
    best = plan(1e21, "chinchilla-besiroglu")
    assert continuing(best.n_params, best.n_tokens).ratio == pytest.approx(1.0, rel=1e-4)
    ratios = [continuing(best.n_params, best.n_tokens * times).ratio for times in (0.1, 1, 10, 100)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 0.5


def test_a_model_begun_anew_overtakes_exactly_where_it_says() -> None:
    n, d = 1e9, 2e12  # a hundred times past its optimum
    found = continuing(n, d)
    assert found.overtaken is not None
    p = get_preset("chinchilla-besiroglu").values  # type: ignore[union-attr]
    law = get_law("chinchilla")

    def gap(more: float) -> float:
        return plan(more, "chinchilla-besiroglu").loss - float(law.predict(p, N=n, D=d + more / (6 * n)))

    assert gap(found.overtaken) <= 0
    assert gap(found.overtaken * 0.97) > 0
    worse = continuing(n, d, loss=found.loss + 0.05).overtaken
    assert worse is not None
    assert worse < found.overtaken


def test_a_fit_carries_its_intervals_to_what_more_compute_buys() -> None:
    truth = {"E": 1.8172, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3658}
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(3e8, 3e10, 5)))
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(25))
    fitted = fit("chinchilla", {"N": n, "D": d, "L": get_law("chinchilla").predict(truth, N=n, D=d) * noise})
    found, true = continuing(1e9, 2e12, law=fitted), continuing(1e9, 2e12)
    assert found.intervals is not None
    for name in ("slope", "optimal_slope", "ratio", "optimal_params", "overtaken"):
        low, high = found.intervals[name]
        assert low < getattr(true, name) < high
        assert low < getattr(found, name) < high
    assert true.intervals is None
    assert json.loads(json.dumps(found.to_dict()))["intervals"]["ratio"] == list(found.intervals["ratio"])
    assert str(found).count("[") == 5
    never = continuing(*(plan(1e21, fitted).n_params, plan(1e21, fitted).n_tokens), law=fitted)
    assert never.intervals is not None
    assert (never.overtaken is None) == (never.intervals["overtaken"][1] == np.inf)


def test_the_answer_is_json_and_names_its_law() -> None:
    record = json.loads(json.dumps(continuing(1e9, 2e11).to_dict()))
    assert record["law"] == "chinchilla-besiroglu"
    assert "2404.10102" in record["source"]
    assert json.loads(json.dumps(overfitting(1e9, 1e9).to_dict()))["overfits"] is True
    assert "2001.08361" in str(overfitting(1e9, 1e9))


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_sizes_that_cannot_be_are_refused(wrong: float) -> None:
    with pytest.raises(PlanError, match="D must be positive"):
        continuing(1e9, wrong)
    with pytest.raises(PlanError, match="N must be positive"):
        overfitting(wrong, 1e9)


def test_a_set_of_another_law_is_refused_with_those_that_serve() -> None:
    with pytest.raises(PlanError, match="no set of the law kaplan") as caught:
        overfitting(1e9, 1e9, joint="chinchilla-besiroglu")
    assert "kaplan-table2" in str(caught.value)


@pytest.mark.skipif(not CURVES.exists(), reason="needs the public curves of shared/data/multipowerlaw2025")
def test_a_real_run_seen_for_its_first_part_is_foreseen_to_its_end() -> None:
    """The cosine run of the 25M model over 24000 steps, from three quarters of it."""

    def curve(name: str, share: float) -> Curve:
        columns = read_file(CURVES / "csv_25" / f"{name}.csv").columns
        steps = np.asarray(columns["step"]).astype(int)
        lr = np.interp(np.arange(1, steps.max() + 1), steps, columns["lr"])
        seen = (steps >= 1) & (steps <= share * steps.max())
        return Curve(steps[seen], np.asarray(columns["loss"])[seen], lr, warmup=2160)

    found = continuing(2.5e7, 18000 * 2.0**19, curve=curve("cosine_24000", 3 / 4))
    end = curve("cosine_24000", 1.0)
    assert found.final is not None
    assert found.measured_slope is not None
    low, high = found.final.interval
    assert low < float(np.asarray(end.loss)[-1]) < high
    slope, (least, most) = found.measured_slope
    assert 0 < least < slope < most
