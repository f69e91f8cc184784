"""Every law at a point whose value is known: what its paper says, or arithmetic on the printed constants done here."""

from __future__ import annotations

from math import e, exp, log, log10, sqrt

import numpy as np
import pytest

from isoflop.laws import LAWS, PRESETS, Preset, get_law, get_preset

# what a paper, or a text about it, states in words or in a table: (set, inputs, value, relative tolerance)
STATED = [
    ("chinchilla-hoffmann-rounded", {"N": 70e9, "D": 1.4e12}, 1.69 + 0.0836 + 0.1633, 1e-3),
    ("gpt3", {"C": 1.0}, 2.57, 2e-3),
    ("kaplan-eq-d-1", {"N": 1e10}, 2.7e-5, 0.02),
    ("kaplan-table2-overfit", {"N": 1e9, "D": 5e3 * 1e9**0.74}, 0.02, 0.2),
    ("kaplan-table6-n", {"C": 1.0}, 1.3e9, 1e-12),
    ("kaplan-table6-d", {"C": 1.0}, 2e10, 1e-12),
    ("kaplan-table6-batch", {"C": 1.0}, 2e6, 1e-12),
    ("kaplan-table6-steps", {"C": 1.0}, 5.4e3, 1e-12),
    ("henighan-language-n-opt", {"C": 1.0}, 1.3e9, 0.06),
    ("llama-3-figure", {"C": 3.8e25}, 16.55e12, 0.02),
    ("pearce-song", {"N": 57e9}, 57e9 + 47491 * 57e9 ** (1 / 3), 1e-12),
    ("deepseek-m", {"C": 1e20}, 1e20 / 5.8316 / 1e20**0.4757, 2e-3),
    ("zhang-batch-n", {"N": 35.0}, 2.5e5 / 512, 0.02),
    ("kaplan-table5-n", {"N": 8.8e13}, 1.0, 1e-12),
    ("kaplan-table5-d", {"D": 5.4e13}, 1.0, 1e-12),
    ("kaplan-table5-c", {"C": 1.6e7}, 1.0, 1e-12),
    ("kaplan-table5-c-min", {"C_min": 3.1e8}, 1.0, 1e-12),
    ("kaplan-table5-batch", {"L": 1.0}, 2.1e8, 1e-12),
    ("kaplan-table3", {"N": 6.5e13, "S_min": 2.1e3}, 2.0, 1e-12),
]

# arithmetic on the printed constants, written out
COMPUTED = [
    (
        "chinchilla-besiroglu",
        {"N": 1e9, "D": 1e10},
        exp(0.59711196) + exp(6.17795598) / 1e9**0.34781303 + exp(7.64273236) / 1e10**0.36585412,
    ),
    ("kaplan-table2", {"N": 1e8, "D": 1e9}, ((6.4e13 / 1e8) ** (0.076 / 0.103) + 1.8e13 / 1e9) ** 0.103),
    ("muennighoff-base", {"N": 1e9, "D": 1e10}, 1.86914 + 520.825 / 1e9**0.3526596 + 1487.716 / 1e10**0.3526596),
    ("gadre-c4-rounded", {"C": 6e19, "M": 10.0}, 1.51 + (141 * 10**0.121 + 190 / 10**0.121) / 6e19**0.121),
    ("gadre-error-c4", {"L": 3.0}, 0.8497 - 2.0789 * exp(-0.7561 * 3)),
    ("hernandez-text", {"D_F": 1e6, "N": 1e8}, 1.9e4 * 1e6**0.18 * 1e8**0.38),
    ("krajewski-moe", {"N": 1e9, "D": 1e10, "G": 8.0}, 0.47 + (2.1 / 8**0.58 + 18.1) / 1e9**0.115 + 30.8 / 1e10**0.147),
    (
        "abnar",
        {"N": 1e9, "D": 1e11, "S": 0.5},
        16612.5 / 1e9**0.5962
        + 5455.67 / 1e11**0.3954
        + 0.4598 * 0.5**0.1666
        + 17.26 / (0.5**0.1603 * 1e9**0.1595)
        + 0.94,
    ),
    (
        "kumar",
        {"N": 1e8, "D": 1e10, "P_w": 8.0, "P_a": 8.0, "P_kv": 8.0},
        2.7648
        + 4299 / (1e8 * (1 - exp(-8 / 2.6745)) * (1 - exp(-8 / 2.2102)) * (1 - exp(-8 / 0.9578))) ** 0.4965
        + 18060 / 1e10**0.4965,
    ),
    ("kumar-ptq", {"N": 1e8, "D": 1e10, "P": 4.0}, 0.0598 * 1e10**0.5068 / 1e8**0.3439 * exp(-4 / 0.5907)),
    ("tao", {"N_nv": 10.0, "N_v": 5.0, "H": 20.0}, -5.533 + 1.831 / 10**0.447 + 0.196 / 5**0.671 + 2.124 / 20**0.447),
    ("henighan-image-8-n", {"N": 8e5}, 3.12 + 1e4**-0.24),
    ("henighan-math-c", {"C": 1.4}, 0.14 + 1e5**-0.17),
    ("zhai-fine-tune", {"C": 99.99}, 0.09 + 0.26 * 100**-0.35),
    ("deepseek-lr", {"C": 1e20}, 0.3118 / 1e20**0.125),
    ("deepseek-batch", {"C": 1e20}, 0.292 * 1e20**0.3271),
    ("step-law-lr", {"N": 1e9, "D": 1e11}, 1.79 / 1e9**0.713 * 1e11**0.307),
    ("step-law-batch", {"D": 1e11}, 0.58 * 1e11**0.571),
    ("porian-lr", {"N": 1e8}, 3.7 / 1e8**0.36),
    ("minicpm-batch", {"L": 3.0}, 1.211e9 / 3**6.2393),
    ("power-lines-timescale", {"M": 20.0}, 1.084 / 20**0.527),
    ("kaplan-eq-4-4", {"N": 1e9}, 5e3 * 1e9**0.74),
]

# laws without published constants, at points where the arithmetic is short
FORMS = [
    ("power-n", {"A": 8.0, "alpha": 0.5}, {"N": 16.0}, 2.0),
    ("power-d", {"B": 8.0, "beta": 0.5}, {"D": 16.0}, 2.0),
    ("power-c", {"K": 8.0, "gamma": 0.5}, {"C": 16.0}, 2.0),
    ("power-n-floor", {"E": 1.5, "A": 8.0, "alpha": 0.5}, {"N": 16.0}, 3.5),
    ("power-d-floor", {"E": 1.5, "B": 8.0, "beta": 0.5}, {"D": 16.0}, 3.5),
    ("power-c-floor", {"E": 1.5, "K": 8.0, "gamma": 0.5}, {"C": 16.0}, 3.5),
    ("kaplan-position", {"E": 2.0, "A": 5.0, "alpha": 0.5}, {"T": 100.0}, 2.5),
    (
        "rosenfeld",
        {"e_0": 2.0, "eta": 4.0, "a": 4.0, "b": 8.0, "c": 0.0, "alpha": 1.0, "beta": 2.0},
        {"N": 2.0, "D": 4.0},
        2 * 3 / 5,
    ),
    ("skaling", {"E": 1.0, "A": 2.0, "R": 3.0, "alpha": 0.5, "beta": 1.0, "k": 2.0}, {"N": 4.0, "D": 6.0}, 3.0),
    (
        "farseer",
        {
            "a_1": 1.0,
            "b_1": -2.0,
            "alpha": 0.5,
            "a_2": -1.0,
            "b_2": 3.0,
            "beta": 0.5,
            "a_3": -0.5,
            "b_3": 2.0,
            "gamma": 0.5,
        },
        {"N": 4.0, "D": 10.0},
        e + e / 10,
    ),
    (
        "volkova",
        {"E": 1.0, "A": 2.0, "B": 3.0, "alpha": 0.5, "beta": 1.0, "rho_N": 1.0, "rho_D": 2.0},
        {"N": 4.0, "D": 3.0},
        2.5,
    ),
    (
        "two-systems",
        {"E": 1.0, "A": 2.0, "B": 3.0, "alpha": 0.5, "beta": 1.0, "rho_N": 4.0, "rho_D": 2.0},
        {"N": 4.0, "D": 3.0, "other": 1.0},
        2.0,
    ),
    ("two-systems-c", {"E": 1.0, "K": 8.0, "gamma": 0.5, "rho_C": 4.0}, {"C": 16.0, "other": 1.0}, 2.0),
    (
        "schaipp",
        {"E": 1.0, "A": 2.0, "B": 3.0, "C": 4.0, "alpha": 0.5, "beta": 1.0, "gamma": 2.0},
        {"N": 4.0, "M": 3.0, "K": 2.0},
        4.0,
    ),
    (
        "lovelace",
        {"E": 1.0, "A": 2.0, "B": 3.0, "alpha": 0.5, "beta": 1.0, "P": 0.5, "delta": 2.0, "kappa": 1.0},
        {"N": 4.0, "D": 6.0, "U": 2.0},
        1 + 1 + 0.5 + 0.5 * 4 * 2,
    ),
    ("sigmoid", {"low": 0.25, "high": 0.75, "k": 3.0, "L_mid": 2.0}, {"L": 2.0}, 0.5),
    ("schaeffer", {"N_c": 16.0, "alpha": 0.5}, {"N": 4.0, "n": 3.0}, exp(-6)),
    (
        "hernandez-loss",
        {"alpha_N": 0.5, "alpha_D": 0.5, "N_c": 8.0, "D_c": 12.0, "k": 2.0, "a": 0.5, "b": 0.5},
        {"N": 1.0, "D_F": 4.0},
        sqrt(8 + 3),
    ),
    ("goyal", {"a": 2.0, "b": 1.0, "tau": 3.0, "d": 0.5}, {"n": 16.0, "k": 3.0}, 1.0),
    (
        "busbridge",
        {"c_0": 1.0, "c_1": 1.0, "d_1": 1.0, "f_1": 1.0, "A": 2.0, "B": 3.0, "alpha": 0.5, "beta": 1.0, "gamma": 1.0},
        {"L_T": 2.0, "L": 2.0, "N": 4.0, "D": 3.0},
        2.5,
    ),
    (
        "frantar",
        {"a_S": 2.0, "b_S": 1.0, "c_S": 1.0, "b_N": 0.5, "a_D": 8.0, "b_D": 1.0, "c": 0.5},
        {"S": 0.5, "N": 4.0, "D": 8.0},
        2.5,
    ),
    ("gao-bon", {"alpha": 2.0, "beta": 0.25}, {"d": 4.0}, 4.0),
    ("gao-rl", {"alpha": 2.0, "beta": 0.5}, {"d": e}, 1.5 * e),
    ("monkeys", {"a": 2.0, "b": 0.5}, {"k": 16.0}, exp(-0.5)),
    ("scalerl", {"R_0": 0.2, "A": 0.6, "C_m": 100.0, "B": 2.0}, {"C": 100.0}, 0.4),
    ("tissue", {"L_0": 2.0, "A": 1.0, "alpha": 0.5, "C": 0.5}, {"S1": 4.0, "S2": 0.6}, 2.2),
    ("bnsl-1", {"a": 1.0, "b": 8.0, "c_0": 0.5, "c_1": 0.5, "d_1": 4.0, "f_1": 1.0}, {"x": 4.0}, 1 + 4 / sqrt(2)),
    (
        "bnsl-2",
        {"a": 1.0, "b": 8.0, "c_0": 0.5, "c_1": 0.5, "d_1": 4.0, "f_1": 1.0, "c_2": 1.0, "d_2": 4.0, "f_2": 0.5},
        {"x": 4.0},
        1 + 4 / sqrt(2) / sqrt(2),
    ),
    (
        "bnsl-3",
        {
            "a": 1.0,
            "b": 8.0,
            "c_0": 0.5,
            "c_1": 0.5,
            "d_1": 4.0,
            "f_1": 1.0,
            "c_2": 1.0,
            "d_2": 4.0,
            "f_2": 0.5,
            "c_3": 0.0,
            "d_3": 1.0,
            "f_3": 1.0,
        },
        {"x": 4.0},
        3.0,
    ),
]


def value(name: str, columns: dict[str, float]) -> float:
    preset = get_preset(name)
    assert isinstance(preset, Preset)
    return float(get_law(preset.law).predict(preset.values, **columns))


@pytest.mark.parametrize(("name", "columns", "stated", "tolerance"), STATED, ids=[row[0] for row in STATED])
def test_sets_give_what_their_papers_state(name: str, columns: dict, stated: float, tolerance: float) -> None:
    assert value(name, columns) == pytest.approx(stated, rel=tolerance)


@pytest.mark.parametrize(("name", "columns", "expected"), COMPUTED, ids=[row[0] for row in COMPUTED])
def test_sets_give_the_arithmetic_of_their_constants(name: str, columns: dict, expected: float) -> None:
    assert value(name, columns) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("law", "params", "columns", "expected"), FORMS, ids=[row[0] for row in FORMS])
def test_forms_without_constants(law: str, params: dict, columns: dict, expected: float) -> None:
    assert get_law(law).predict(params, **columns) == pytest.approx(expected, rel=1e-12)


def test_every_law_is_held_to_a_point() -> None:
    held = {PRESETS[row[0]].law for row in (*STATED, *COMPUTED)} | {row[0] for row in FORMS}
    assert set(LAWS) - held == {"clark", "muennighoff"}  # the tests below


def test_critical_batch_doubles_for_each_13_percent_of_loss() -> None:
    assert value("kaplan-table5-batch", {"L": 3.0 * (1 - 0.135)}) == pytest.approx(
        2 * value("kaplan-table5-batch", {"L": 3.0}), rel=0.01
    )


@pytest.mark.parametrize("router", ["s-base", "rl-r", "hash"])
def test_clark_is_linear_in_log10_of_dense_parameters(router: str) -> None:
    preset = get_preset(f"clark-{router}")
    assert isinstance(preset, Preset)
    a, b, c, d, start, largest = (preset.values[k] for k in ("a", "b", "c", "d", "E_start", "E_max"))
    for experts, effective in ((1.0, start), (1e12, largest)):
        by_hand = 10 ** (a * 9 + b * log10(effective) + c * 9 * log10(effective) + d)
        assert value(f"clark-{router}", {"N": 1e9, "E": experts}) == pytest.approx(by_hand, rel=1e-8)


@pytest.mark.parametrize(("router", "cutoff"), [("s-base", 937e9), ("rl-r", 85e9), ("hash", 83e9)])
def test_clark_experts_cease_to_help_at_the_printed_size(router: str, cutoff: float) -> None:
    ratio = [
        value(f"clark-{router}", {"N": n, "E": 64.0}) / value(f"clark-{router}", {"N": n, "E": 1.0})
        for n in (cutoff / 4, cutoff * 4)
    ]
    assert ratio[0] < 1 < ratio[1]


def test_muennighoff_is_the_base_law_while_nothing_repeats() -> None:
    base = value("muennighoff-base", {"N": 4e9, "D": 1e11})
    assert value("muennighoff", {"N": 4e9, "D": 1e11, "U": 1e11}) == pytest.approx(base, rel=1e-12)
    assert value("muennighoff", {"N": 4e9, "D": 1e11, "U": 5e11}) == pytest.approx(base, rel=1e-12)


def test_muennighoff_by_hand_where_data_and_parameters_are_in_excess() -> None:
    u, n, d = 1e9, 1e9, 16.387756e9
    a, b, floor, alpha = exp(6.255414), exp(7.3049974), exp(0.6254804), 0.3526596
    n_u = 0.05099 * u
    r_n = n / n_u - 1
    n_eff = n_u + n_u * 5.309743 * (1 - exp(-r_n / 5.309743))
    d_eff = u + u * 15.387756 * (1 - exp(-1))
    by_hand = floor + a / n_eff**alpha + b / d_eff**alpha
    assert value("muennighoff", {"N": n, "D": d, "U": u}) == pytest.approx(by_hand, rel=1e-5)


def test_gadre_is_an_additive_law_of_n_and_d_with_equal_exponents() -> None:
    n, m = np.array([1e8, 1e9]), np.array([20.0, 320.0])
    preset = get_preset("gadre-c4")
    assert isinstance(preset, Preset)
    p = preset.values
    tied = 2 * p["eta"]
    additive = p["E"] + p["a"] * 6 ** -p["eta"] / n**tied + p["b"] * 6 ** -p["eta"] / (n * m) ** tied
    predicted = get_law("gadre").predict(p, C=6 * n * n * m, M=m)
    np.testing.assert_allclose(predicted, additive, rtol=1e-12)


def test_learning_rate_of_kaplan_takes_the_natural_logarithm() -> None:
    assert value("kaplan-eq-d-1", {"N": 1e6}) == pytest.approx(0.003239 - 0.0001395 * log(1e6), rel=1e-12)
