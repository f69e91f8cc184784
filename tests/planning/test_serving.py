"""Models cheapest to train and to serve: published examples, a brute search, prices and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isoflop.errors import PlanError
from isoflop.fitting import fit
from isoflop.laws.isoloss import cheapest, log_tokens
from isoflop.laws.law import Law
from isoflop.laws.optimum import optimum
from isoflop.planning import Price, implied_serving, overhead, serve
from isoflop.planning.basis import Basis, get_basis

SET = "chinchilla-hoffmann"
OF_13B = 4.8159152873405315e22
"""FLOPs whose optimal model has 13e9 parameters by that set."""


def basis(name: str) -> Basis:
    found = get_basis(name)
    assert isinstance(found, Basis)
    return found


def test_a_13b_model_that_serves_2e12_tokens_is_better_a_7b() -> None:
    """Sardana 2024, figure 1: a 7B model saves 1.7e22 FLOPs, 17 % of the total."""
    found = serve(SET, 2e12, compute=OF_13B)
    assert found.usual.n_params == pytest.approx(13e9, rel=1e-6)
    assert found.best.n_params == pytest.approx(7e9, rel=0.02)
    assert found.usual.cost - found.best.cost == pytest.approx(1.7e22, rel=0.05)
    assert found.saving == pytest.approx(0.17, abs=0.01)
    assert 0 < found.pays_from < 2e12


@pytest.mark.parametrize("name", [SET, "chinchilla-besiroglu", "muennighoff-base", "kaplan-table2"])
@pytest.mark.parametrize("served", [0.0, 1e11, 1e13])
def test_the_cheapest_is_that_of_a_brute_search(name: str, served: float) -> None:
    of = basis(name)
    loss = optimum(of.law, of.params, np.array([1e22])).loss
    log_n, log_d = cheapest(of.law, of.params, loss, np.full((1, 1), served))
    n = np.geomspace(1e6, 1e13, 40_001)
    d = np.exp(log_tokens(of.law, of.params, np.log(n)[None], np.full((1, n.size), loss[0, 0])))[0]
    cost = 6 * n * d + 2 * n * served
    at = int(np.argmin(cost))
    assert np.exp(log_n[0, 0]) == pytest.approx(n[at], rel=1e-3)
    assert np.exp(log_d[0, 0]) == pytest.approx(d[at], rel=1e-3)


def test_a_model_that_serves_nothing_is_the_compute_optimal_one() -> None:
    found = serve(SET, 0.0, compute=1e23)
    assert found.best.n_params == pytest.approx(found.usual.n_params, rel=1e-9)
    assert found.best.training == pytest.approx(1e23, rel=1e-6)
    assert found.saving == pytest.approx(0, abs=1e-9)
    assert math.isinf(found.pays_from) or found.pays_from < 1e6


def test_what_a_model_serves_follows_from_it_and_back() -> None:
    found = serve(SET, 3e12, loss=2.1)
    assert implied_serving(SET, found.best.n_params, found.best.n_tokens) == pytest.approx(3e12, rel=1e-4)


def test_8b_parameters_on_15t_tokens_are_for_a_hundred_trillion_served() -> None:
    """Llama 3 8B: what serving makes its 1875 tokens a parameter the cheapest."""
    assert implied_serving(SET, 8e9, 15e12) == pytest.approx(8.67e13, rel=0.01)
    assert implied_serving(SET, 405e9, 15.6e12) < 0


def test_a_law_of_ones_own_is_searched_to_the_same_answer() -> None:
    of = basis(SET)
    own = Law("L = E + A*N**(-alpha) + B/D**beta", name="mine")
    order = [of.law.names.index(name) for name in own.names]
    log_n = np.log(np.geomspace(1e8, 1e11, 7))[None]
    loss = np.full(log_n.shape, 2.3)
    there = log_tokens(own, of.params[:, order], log_n, loss)
    np.testing.assert_allclose(there, log_tokens(of.law, of.params, log_n, loss), rtol=1e-9)


def test_a_device_that_serves_badly_asks_for_a_smaller_model() -> None:
    training, prompts = Price(2.5, 989e12, 0.4), Price(2.5, 989e12, 0.5)
    writing = Price(2.5, 989e12, 0.01)
    evenly = serve(SET, 1e12, generated=1e11, compute=1e23)
    priced = serve(SET, 1e12, generated=1e11, compute=1e23, training=training, prefill=prompts, decode=writing)
    assert priced.best.n_params < evenly.best.n_params
    flops = priced.best.training
    dollars = flops / (989e12 * 0.4) / 3600 * 2.5
    dollars += 2 * priced.best.n_params * (1e12 / (989e12 * 0.5) + 1e11 / (989e12 * 0.01)) / 3600 * 2.5
    assert priced.best.cost == pytest.approx(dollars)
    n, d, usual = priced.best.n_params, priced.best.n_tokens, priced.usual
    at = priced.pays_from / 1.1e12

    def total(n: float, d: float) -> float:
        return 6 * n * d * training.a_flop + at * 2 * n * (1e12 * prompts.a_flop + 1e11 * writing.a_flop)

    assert total(n, d) == pytest.approx(total(usual.n_params, usual.n_tokens))


@pytest.mark.parametrize("name", [SET, "chinchilla-besiroglu"])
def test_sizes_near_the_optimum_cost_little_more(name: str) -> None:
    """Kaplan 2020, appendix B.4: from 0.6 to 2.2 times the optimal N at most 20 % more."""
    found = overhead(name, 1e21, [0.6, 1.0, 2.2])["overhead"]
    assert found[1] == pytest.approx(0, abs=1e-9)
    assert (found[[0, 2]] > 0.05).all()
    assert (found <= 0.2).all()
    assert np.isinf(overhead(name, 1e21, [0.01])["overhead"][0])


def test_a_fit_carries_its_intervals_to_the_answer() -> None:
    chance = np.random.default_rng(0)
    n, d = (each.ravel() for each in np.meshgrid(np.geomspace(1e7, 1e9, 8), np.geomspace(2e8, 2e10, 8)))
    loss = 1.7 + 400 / n**0.34 + 410 / d**0.28
    found = fit("chinchilla", {"N": n, "D": d, "L": loss * np.exp(0.002 * chance.standard_normal(n.size))})
    answer = serve(found, 1e12, compute=1e21)
    assert answer.intervals is not None
    for name, value in (("n_params", answer.best.n_params), ("loss", answer.loss), ("saving", answer.saving)):
        low, high = answer.intervals[name]
        assert low < value < high
    record = answer.to_dict()
    assert record["best"]["n_params"] == answer.best.n_params
    assert f"{answer.saving:.1%} less" in str(answer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": 1.5}, r"never gives a loss of 1.5\n  hint: the law falls towards 1.69"),
        ({"loss": 2.0, "compute": 1e22}, r"give one of them"),
        ({}, r"give one of them"),
        ({"loss": -1.0}, r"loss = -1.0 is no loss"),
        ({"loss": 2.0, "tokens": -1.0}, r"tokens = -1.0"),
        ({"loss": 2.0, "training": Price(1, 1e15, 0.4)}, r"no price of prefill and decode"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        serve(SET, **{"tokens": 1e12, **changes})  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="mfu = 40"):
        Price(2.5, 989e12, 40)


@pytest.mark.parametrize("served", [1e8, 1e12, 1e16, 1e20])
def test_the_cheapest_is_exact_however_much_is_served(served: float) -> None:
    """Along a curve of one loss V = 3 D (eps_N/eps_D - 1): where V is far above D, N alone says little of D."""
    best, of = serve(SET, served, compute=1e20).best, basis(SET)
    p = dict(zip(of.law.names, of.params[0], strict=True))
    of_n, of_d = p["alpha"] * p["A"] * best.n_params ** -p["alpha"], p["beta"] * p["B"] * best.n_tokens ** -p["beta"]
    assert 3 * best.n_tokens * (of_n / of_d - 1) == pytest.approx(served, rel=1e-9)
