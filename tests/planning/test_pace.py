from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from isoflop.errors import LawError, PlanError
from isoflop.fitting import Fit, fit
from isoflop.hardware import device
from isoflop.laws import LAWS, conversions
from isoflop.planning import Fleet, fastest, pace, plan, settle, within

FLEET = Fleet("h100-sxm", mfu=0.4, share=4096)
LAW = "chinchilla-besiroglu"


@pytest.fixture(scope="module")
def fitted() -> Fit:
    truth = {"E": 1.8172, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3658}
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(3e8, 3e10, 5)))
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(25))
    return fit("chinchilla", {"N": n, "D": d, "L": LAWS["chinchilla"].predict(truth, N=n, D=d) * noise})


def test_batch_adjustments_are_kaplans() -> None:
    planned = plan(1e23, LAW)
    paced = pace(planned, FLEET, count=256)
    assert paced.b_crit == pytest.approx(2.1e8 / planned.loss ** (1 / 0.21))
    assert paced.batch == 256 * 4096
    assert paced.steps * paced.batch == pytest.approx(paced.n_tokens)
    assert conversions.s_min(paced.steps, paced.batch, paced.b_crit) == pytest.approx(planned.n_tokens / paced.b_crit)
    assert conversions.c_min(paced.compute, paced.batch, paced.b_crit) == pytest.approx(planned.compute)
    assert paced.overhead == pytest.approx(paced.compute / planned.compute - 1)


def test_days_are_the_compute_over_the_rate_of_all_devices() -> None:
    paced = pace(plan(1e23, LAW), FLEET, count=256)
    rate = 256 * device("h100-sxm").peak("bf16") * 0.4
    assert paced.days == pytest.approx(paced.compute / rate / 86_400)


def test_more_devices_save_time_and_cost_compute_and_never_beat_the_least_time() -> None:
    paces = [pace(plan(1e23, LAW), FLEET, count=2**k) for k in range(0, 24, 3)]
    for fewer, more in itertools.pairwise(paces):
        assert more.days < fewer.days
        assert more.compute > fewer.compute
        assert more.days > more.least_days == pytest.approx(fewer.least_days)
    assert paces[-1].days == pytest.approx(paces[-1].least_days, rel=0.01)


def test_at_the_critical_batch_steps_and_tokens_are_twice_the_least() -> None:
    planned = plan(1e23, LAW)
    b_crit = pace(planned, FLEET, count=1).b_crit
    paced = pace(planned, Fleet("h100-sxm", mfu=0.4, share=b_crit / 64), count=64)
    assert paced.n_tokens == pytest.approx(2 * planned.n_tokens)
    assert paced.steps == pytest.approx(2 * planned.n_tokens / b_crit)


@pytest.mark.parametrize("latency", [0.0, 0.5])
def test_the_fewest_devices_keep_to_the_days_and_one_fewer_does_not(latency: float) -> None:
    fleet = Fleet("h100-sxm", mfu=0.4, share=4096, latency=latency)
    planned = plan(1e23, LAW)
    days = 4 * pace(planned, fleet, count=1).least_days
    paced = pace(planned, fleet, days=days)
    assert paced.days <= days < pace(planned, fleet, count=paced.count - 1).days


def test_with_latency_the_batch_of_least_time_is_taken() -> None:
    planned = plan(1e21, LAW)
    slow = Fleet("h100-sxm", mfu=0.4, share=4096, latency=2.0)
    best = pace(planned, slow, count=64)
    assert best.batch > 64 * 4096
    for factor in (0.8, 1.25):
        other = Fleet("h100-sxm", mfu=0.4, share=factor * best.batch / 64, latency=2.0)
        if factor > 1:
            assert pace(planned, other, count=64).days > best.days
        else:
            assert pace(planned, other, count=64).days == pytest.approx(best.days)


def test_the_soonest_model_of_a_loss_is_the_cheapest_one_unless_steps_are_slow() -> None:
    cheapest = settle(LAW, loss=2.2)
    assert fastest(LAW, 2.2, FLEET, 64).n_params == pytest.approx(cheapest.n_params, rel=1e-3)
    slow = Fleet("h100-sxm", mfu=0.4, share=4096, latency=5.0)
    soonest = fastest(LAW, 2.2, slow, 4096)
    assert soonest.n_params > 1.05 * cheapest.n_params
    assert soonest.days < pace(cheapest, slow, count=4096).days
    for factor in (0.9, 1.1):
        other = settle(LAW, n_params=factor * soonest.n_params, loss=2.2)
        assert pace(other, slow, count=4096).days > soonest.days


def test_a_deadline_buys_the_optimum_of_what_batches_leave() -> None:
    found = within(LAW, FLEET, 1024, 30)
    assert found.days == pytest.approx(30, rel=1e-9)
    spent = 1024 * FLEET.rate * 30 * 86_400
    assert found.compute == pytest.approx(spent, rel=1e-9)
    assert found.loss == pytest.approx(plan(spent / (1 + found.overhead), LAW).loss, rel=1e-9)


def test_paces_as_values_and_text_name_both_sources() -> None:
    paced = pace(settle(LAW, loss=2.2), FLEET, count=8)
    assert json.loads(json.dumps(paced.to_dict(), allow_nan=False))["count"] == 8
    for part in (LAW, "kaplan-table5-batch", "Table 5", "8 devices"):
        assert part in str(paced)


def test_a_fit_carries_its_intervals_to_the_days(fitted: Fit) -> None:
    paced = pace(plan(1e21, fitted), FLEET, count=4096)
    assert paced.intervals is not None
    for name, (low, high) in paced.intervals.items():
        assert low <= getattr(paced, name) * (1 + 1e-12)
        assert getattr(paced, name) * (1 - 1e-12) <= high
    assert paced.intervals["batch"] == pytest.approx((paced.batch, paced.batch))
    low, high = paced.intervals["days"]
    assert low < high
    at = {"N": paced.n_params, "D": plan(1e21, fitted).n_tokens}
    loss = fitted.derive(lambda p: fitted.law.predict(p, **at)).interval
    assert paced.intervals["overhead"] == pytest.approx(
        [paced.batch / 2.1e8 * end ** (1 / 0.21) for end in loss], rel=0.01
    )
    assert json.loads(json.dumps(paced.to_dict()))["intervals"]["days"] == pytest.approx([low, high])
    assert "95% intervals" in str(paced)
    assert "<table>" in paced._repr_html_()


def test_the_tokens_that_a_settled_loss_takes_are_as_uncertain_as_the_law(fitted: Fit) -> None:
    settled = settle(fitted, n_params=1e9, loss=2.4)
    paced = pace(settled, FLEET, count=1)
    assert paced.intervals is not None
    assert settled.intervals is not None
    low, high = (end * (1 + paced.overhead) for end in settled.intervals["n_tokens"])
    assert paced.intervals["n_tokens"] == pytest.approx((low, high), rel=1e-6)
    assert paced.intervals["b_crit"] == pytest.approx((paced.b_crit, paced.b_crit))


def test_wrong_questions_are_refused() -> None:
    planned = plan(1e23, LAW)
    with pytest.raises(PlanError, match="give one of them"):
        pace(planned, FLEET)
    least = pace(planned, FLEET, count=1).least_days
    with pytest.raises(PlanError, match="no number of h100-sxm ends this") as caught:
        pace(planned, FLEET, days=least / 2)
    assert f"{least:.4g} days is the least" in str(caught.value.hint)
    with pytest.raises(PlanError, match="count = 0 devices"):
        pace(planned, FLEET, count=0)
    with pytest.raises(PlanError, match="days = -1"):
        within(LAW, FLEET, 8, -1)
    with pytest.raises(PlanError, match="gives no critical batch of a loss"):
        pace(planned, FLEET, count=8, critical="chinchilla-besiroglu")
    with pytest.raises(LawError, match="unknown preset"):
        pace(planned, FLEET, count=8, critical="kaplan")
    for wrong in ({"mfu": 1.4}, {"mfu": 0.4, "share": 0}, {"mfu": 0.4, "latency": -1}):
        with pytest.raises(PlanError, match="of a fleet"):
            Fleet("h100-sxm", **wrong)
