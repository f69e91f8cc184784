from __future__ import annotations

import html
import json

import numpy as np
import pytest

from isoflop.errors import PlanError
from isoflop.fitting import Fit, fit
from isoflop.laws import LAWS, PRESETS, Preset
from isoflop.planning import Space, data_wall, plan, settle

SETS = ["chinchilla-besiroglu", "kaplan-table2", "muennighoff-base"]
BESIROGLU = "chinchilla-besiroglu"


@pytest.fixture(scope="module")
def fitted() -> Fit:
    truth = {"E": 1.8, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3658}
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(3e8, 3e10, 5)))
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(30))
    return fit("chinchilla", {"N": n, "D": d, "L": LAWS["chinchilla"].predict(truth, N=n, D=d) * noise})


def loss_of(name: str, n: float, d: float) -> float:
    preset = PRESETS[name]
    assert isinstance(preset, Preset)
    return float(LAWS[preset.law].predict(preset.values, N=n, D=d))


@pytest.mark.parametrize("name", SETS)
def test_any_two_of_the_four_settle_the_same_training(name: str) -> None:
    n, d = 7e9, 2e12
    whole = settle(name, n_params=n, n_tokens=d)
    assert whole.loss == pytest.approx(loss_of(name, n, d), rel=1e-12)
    assert whole.compute == pytest.approx(6 * n * d, rel=1e-12)
    for given in (
        {"n_params": n, "compute": whole.compute},
        {"n_tokens": d, "compute": whole.compute},
        {"n_params": n, "loss": whole.loss},
        {"n_tokens": d, "loss": whole.loss},
    ):
        found = settle(name, **given)
        for what in ("compute", "n_params", "n_tokens", "loss", "least_compute"):
            assert getattr(found, what) == pytest.approx(getattr(whole, what), rel=1e-7), given


@pytest.mark.parametrize("name", SETS)
def test_a_loss_alone_costs_what_the_plan_of_that_loss_costs(name: str) -> None:
    planned = plan(1e23, name)
    found = settle(name, loss=planned.loss)
    assert found.compute == pytest.approx(1e23, rel=1e-6)
    assert found.n_params == pytest.approx(planned.n_params, rel=1e-3)
    assert found.overhead == pytest.approx(0, abs=1e-9)
    assert found.optimal_at is None


@pytest.mark.parametrize("name", SETS)
def test_a_size_off_the_optimum_costs_more_and_is_the_optimum_of_another_budget(name: str) -> None:
    planned = plan(1e23, name)
    half = settle(name, n_params=planned.n_params / 2, compute=1e23)
    assert half.loss > planned.loss
    assert plan(half.least_compute, name).loss == pytest.approx(half.loss, rel=1e-9)
    assert half.overhead == pytest.approx(1e23 / half.least_compute - 1, rel=1e-9)
    assert half.optimal_at is not None
    assert plan(half.optimal_at, name).n_params == pytest.approx(planned.n_params / 2, rel=1e-6)
    tokens = settle(name, n_tokens=planned.n_tokens * 3, compute=1e23)
    assert tokens.optimal_at == pytest.approx(data_wall(planned.n_tokens * 3, name))


def test_a_law_without_closed_terms_settles_too() -> None:
    n, d = 3e8, 4e10
    searched = {"E": 1.8, "A": 482.0, "B": 2085.0, "alpha": 0.35, "beta": 0.37, "rho_N": 1.0, "rho_D": 2.08}
    muon = Preset("muon", "volkova", searched, "made up for this test")
    whole = settle(muon, n_params=n, n_tokens=d)
    assert settle(muon, n_tokens=d, loss=whole.loss).n_params == pytest.approx(n, rel=1e-6)
    assert settle(muon, n_params=n, loss=whole.loss).n_tokens == pytest.approx(d, rel=1e-6)


def test_a_loss_below_the_floor_names_the_floor_and_its_interval(fitted: Fit) -> None:
    with pytest.raises(PlanError, match=r"never gives a loss of 1\.5") as published:
        settle(BESIROGLU, loss=1.5)
    assert published.value.hint == "the law falls towards 1.817"
    with pytest.raises(PlanError, match=r"never gives a loss of 1\.5") as own:
        settle(fitted, loss=1.5)
    low, high = fitted.interval("E")
    assert f"[{low:.4g}, {high:.4g}]" in str(own.value.hint)
    with pytest.raises(PlanError, match=r"at n_params = 1e\+06") as small:
        settle(BESIROGLU, n_params=1e6, loss=2.5)
    assert f"there the law falls towards {loss_of(BESIROGLU, 1e6, 1e30):.4g}" in str(small.value.hint)


def test_intervals_hold_the_value_and_leave_out_what_was_given(fitted: Fit) -> None:
    for given in ({"loss": 2.3}, {"n_params": 1e9, "loss": 2.4}, {"n_tokens": 1e10, "compute": 1e20}):
        found = settle(fitted, **given)
        assert found.intervals is not None
        assert not set(given) & set(found.intervals)
        for name, (low, high) in found.intervals.items():
            slack = 1e-6 * abs(getattr(found, name)) + 1e-9  # of an overhead that is nothing
            assert low - slack <= getattr(found, name) <= high + slack


def test_a_loss_near_the_floor_may_need_endless_compute(fitted: Fit) -> None:
    _, high = fitted.interval("E")
    found = settle(fitted, loss=fitted.params["E"] + 0.2 * (high - fitted.params["E"]))
    assert found.intervals is not None
    assert found.intervals["compute"][1] == np.inf
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["intervals"]["compute"][1] is None
    assert "extrapolation" in str(found)


def test_wrong_questions_are_refused() -> None:
    for given in (
        {},
        {"compute": 1e22},
        {"compute": 1e22, "loss": 2.1},
        {"n_params": 1e9, "n_tokens": 1e9, "loss": 2.1},
    ):
        with pytest.raises(PlanError, match="given: ") as caught:
            settle(BESIROGLU, **given)
        assert "or the loss alone" in str(caught.value.hint)
    with pytest.raises(PlanError, match="n_params = -1"):
        settle(BESIROGLU, n_params=-1, loss=2.1)
    with pytest.raises(PlanError, match="cannot trade N against D"):
        settle("henighan-language-n", loss=2.1)


def test_a_settled_training_is_shown_with_its_law_and_what_it_costs_above_the_least() -> None:
    both, alone = settle(BESIROGLU, n_params=8e9, n_tokens=15e12), settle(BESIROGLU, loss=2.1)
    for text in (str(both), both._repr_html_()):
        assert f"{both.overhead:.1%} above the least compute" in text
        assert f"{both.least_compute:.4g}" in text
        assert PRESETS[BESIROGLU].source in html.unescape(text)
    assert "above the least" not in str(alone)


def test_a_settled_size_has_a_shape_and_its_own_flops_buy_its_tokens() -> None:
    found = settle(BESIROGLU, n_params=7e9, n_tokens=2e12, shape=Space(n_vocab=32_000, convention="6n-total"))
    assert found.shape is not None
    assert found.shape.n_params == pytest.approx(7e9, rel=0.01)
    assert found.shape.n_tokens == pytest.approx(2e12, rel=0.01)
    assert found.shape.loss == pytest.approx(found.loss, rel=1e-3)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["shape"]["shape"]["n_vocab"] == 32_000
    assert f"d_model {found.shape.shape.d_model}" in str(found)
