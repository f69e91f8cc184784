"""Worked examples of papers, each from the set of constants that its paper names."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.laws import LAWS, PRESETS, Preset
from isoflop.laws import conversions as c
from isoflop.laws.presets import PF_DAY, Exponents
from isoflop.planning import implied_serving, plan, settle

# Hoffmann 2022, Table 3 (approach 1): N, FLOPs, tokens
CHINCHILLA = [
    (1e9, 1.21e20, 20.2e9),
    (10e9, 1.23e22, 205.1e9),
    (67e9, 5.76e23, 1.5e12),
    (175e9, 3.85e24, 3.7e12),
    (1e12, 1.27e26, 21.2e12),
]
# Hoffmann 2022, Table A3: N, FLOPs and tokens of approach 2, of approach 3
APPROACHES = [
    (400e6, (1.84e19, 7.7e9), (2.21e19, 9.2e9)),
    (1e9, (1.20e20, 20.0e9), (1.62e20, 27.1e9)),
    (10e9, (1.32e22, 219.5e9), (2.46e22, 410.1e9)),
    (67e9, (6.88e23, 1.7e12), (1.71e24, 4.1e12)),
    (1e12, (1.59e26, 26.5e12), (5.65e26, 94.1e12)),
]


def preset(name: str) -> Preset:
    found = PRESETS[name]
    assert isinstance(found, Preset)
    return found


def value(name: str, **at: float) -> float:
    of = preset(name)
    return float(LAWS[of.law].predict(of.values, **at))


@pytest.mark.parametrize(("n", "compute", "tokens"), CHINCHILLA)
def test_besiroglus_constants_give_table_3_of_chinchilla(n: float, compute: float, tokens: float) -> None:
    """Besiroglu 2024 find the refitted approach 3 to agree with the other two."""
    planned = plan(compute, "chinchilla-besiroglu")
    assert planned.n_params == pytest.approx(n, rel=0.16)
    assert planned.n_tokens == pytest.approx(tokens, rel=0.14)


def test_exponents_of_chinchillas_tables_are_those_of_its_three_approaches() -> None:
    rows = {
        "hoffmann-approach1": [(n, compute) for n, compute, _ in CHINCHILLA],
        "hoffmann-approach2": [(n, compute) for n, (compute, _), _ in APPROACHES],
        "hoffmann-approach3": [(n, compute) for n, _, (compute, _) in APPROACHES],
    }
    for name, points in rows.items():
        exponents = PRESETS[name]
        assert isinstance(exponents, Exponents)
        n, compute = np.log(np.array(points)).T
        assert np.polyfit(compute, n, 1)[0] == pytest.approx(exponents.values["a"], abs=0.006), name


@pytest.mark.parametrize("row", APPROACHES, ids=lambda row: f"{row[0]:.0e}")
def test_approach_3_gives_its_table_within_a_sixth_and_its_rounded_constants_do_not(
    row: tuple[float, tuple[float, float], tuple[float, float]],
) -> None:
    """The printed rows lie 2 to 14 % below the optimum of the unrounded constants; rounding them doubles the tokens."""
    n, _, (_, tokens) = row
    exact, rounded = (
        settle(f"chinchilla-hoffmann{kind}", n_params=n, n_tokens=tokens).optimal_at or 0 for kind in ("", "-rounded")
    )
    assert exact / (6 * n) == pytest.approx(tokens, rel=0.16)
    assert rounded / (6 * n) > 1.5 * tokens


def test_chinchilla_has_67_billion_parameters_at_its_budget_and_twenty_tokens_for_each() -> None:
    planned = plan("5.76e23 FLOP", "chinchilla-besiroglu")
    assert planned.n_params == pytest.approx(67e9, rel=0.1)
    assert 18 < planned.tokens_per_param < 22
    assert plan("5.76e23 FLOP", "chinchilla-hoffmann").tokens_per_param > 50
    assert plan("5.76e23 FLOP", "chinchilla-hoffmann-rounded").tokens_per_param > 90


def test_llama_3_405b_is_the_plan_of_its_figure_and_not_of_its_text() -> None:
    """Llama 3 (2024), section 3.2.1: 402B parameters and 16.55T tokens at 3.8e25 FLOP."""
    tokens = value("llama-3-figure", C=3.8e25)
    assert tokens == pytest.approx(1.63e13, rel=0.01)
    assert settle("chinchilla-besiroglu", n_tokens=tokens, compute=3.8e25).n_params == pytest.approx(402e9, rel=0.04)
    assert value("llama-3-text", C=3.8e25) == pytest.approx(1.05e13, rel=0.01)


def test_deepseek_splits_its_budget_into_flops_a_token_and_tokens() -> None:
    """DeepSeek 2024, eq 4: C = M D; the exponents of data and of model leave nothing over."""
    for compute in (1e18, 3e20, 1e24):
        model, tokens = value("deepseek-m", C=compute), value("deepseek-d", C=compute)
        assert model * tokens == pytest.approx(compute, rel=1e-3)
    assert preset("deepseek-m").values["a"] + preset("deepseek-d").values["b"] == pytest.approx(1)


def test_kaplans_table_6_is_his_frontier_within_what_his_own_constants_allow() -> None:
    """Table 6 at a PF-day; Table 3's constants in B.9 and B.10 are another set, and stay within a factor of 2.5."""
    steps = preset("kaplan-table3").values
    planned = plan("1 PF-day", "kaplan-table6")
    assert (planned.n_params, planned.n_tokens) == (pytest.approx(1.3e9), pytest.approx(2e10))
    n = float(c.n_at_c_min(PF_DAY, steps, 2.1e8, 0.21))
    assert 1 / 2.5 < n / planned.n_params < 2.5
    assert 1 / 2.5 < float(c.s_at_c_min(PF_DAY, steps, 2.1e8, 0.21)) / value("kaplan-table6-steps", C=1.0) < 2.5


def test_kaplans_efficient_training_is_larger_shorter_and_cheaper_than_a_converged_one() -> None:
    """B.12 to B.14: stopped 10 % above the converged loss instead of 2 %: 2.7 N, 0.13 S, 0.35 C, by Table 3."""
    steps = preset("kaplan-table3").values
    loss = 3.0

    def training(above: float) -> tuple[float, float, float]:
        n = steps["N_c"] * ((1 + above) / loss) ** (1 / steps["alpha_N"])
        compute = float(c.c_min_to_reach(loss, n, steps, 2.1e8, 0.21))
        return n, compute / n, compute

    efficient, converged = training(steps["alpha_N"] / steps["alpha_S"]), training(0.02)
    n, s, compute = (mine / other for mine, other in zip(efficient, converged, strict=True))
    assert n == pytest.approx(2.67, abs=0.1)
    assert s == pytest.approx(0.133, abs=0.005)
    assert compute == pytest.approx(0.35, abs=0.02)


@pytest.mark.parametrize(("tokens_of", "crossing"), [("kaplan-eq-6-7", 1.07e5), ("kaplan-table6-d", 1.1e4)])
def test_kaplans_laws_contradict_each_other_about_where_eq_6_8_says(tokens_of: str, crossing: float) -> None:
    """L(C_min) meets L(D(C_min)) at "1e4 PF-days, 1e12 parameters, 1e12 tokens, 1.7 nats, an order either way".

    The printed eq 6.7 puts it an order above, Table 6 just there: the two curves are nearly parallel.
    """
    compute = np.geomspace(1e2, 1e8, 2001)
    tokens = [value(tokens_of, C=at) for at in compute]
    above = [
        value("kaplan-table5-c-min", C_min=at) > value("kaplan-table5-d", D=d)
        for at, d in zip(compute, tokens, strict=True)
    ]
    at = above.index(False)
    assert compute[at] == pytest.approx(crossing, rel=0.02)
    assert 1e11 < tokens[at] < 1e13
    assert 1e11 < plan(f"{compute[at]} PF-days", "kaplan-table6").n_params < 1e13
    assert value("kaplan-table5-d", D=tokens[at]) == pytest.approx(1.7, abs=0.25)


def test_muennighoffs_four_epochs_cost_almost_nothing_and_forty_are_worth_little() -> None:
    """Muennighoff 2023, section 1: up to 4 epochs are almost as good as new data; beyond 40 repeating is worthless."""
    n, tokens = 8.7e9, 178e9
    fresh, four, forty, more = (value("muennighoff", N=n, D=tokens * k, U=tokens) for k in (1, 4, 40, 400))
    new = value("muennighoff", N=n, D=4 * tokens, U=4 * tokens)
    assert (four - new) / (fresh - new) < 0.1
    assert forty - more < 0.02 * (fresh - forty)


def test_sardanas_models_for_many_tokens_are_smaller_and_llama_3_8b_is_one() -> None:
    """Sardana and Frankle 2024: models that serve more than about 1e9 requests are trained longer and made smaller."""
    assert implied_serving("chinchilla-hoffmann", 8e9, 15e12) > 1e13
    assert implied_serving(
        "chinchilla-hoffmann", plan(1e23, "chinchilla-hoffmann").n_params, plan(1e23, "chinchilla-hoffmann").n_tokens
    ) == pytest.approx(0, abs=1e9)
