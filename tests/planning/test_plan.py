from __future__ import annotations

import html
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from isoflop import planning
from isoflop.errors import LawError, PlanError
from isoflop.fitting import Fit, fit
from isoflop.laws import LAWS, PRESETS, Preset
from isoflop.laws.optimum import has_optimum
from isoflop.planning import frontier, plan
from isoflop.planning.frontier import KNOTS

# N* and D/N under C = 6 N D, computed from the published constants
PLANNED = {
    "chinchilla-besiroglu": ("0.5126", ("2.782e+09", "21.53"), ("7.236e+10", "18.34"), ("6.197e+11", "16.49")),
    "chinchilla-huber-exact": ("0.5139", ("2.792e+09", "21.38"), ("7.319e+10", "17.92"), ("6.301e+11", "15.95")),
    "chinchilla-hoffmann": ("0.4565", ("2.217e+09", "33.91"), ("4.036e+10", "58.93"), ("2.732e+11", "84.83")),
    "chinchilla-hoffmann-rounded": ("0.4516", ("1.824e+09", "50.08"), ("3.219e+10", "92.65"), ("2.135e+11", "138.96")),
}
PLANNABLE = [p.name for p in PRESETS.values() if isinstance(p, Preset) and p.law in LAWS and has_optimum(LAWS[p.law])]
BUDGETS = (1e21, 5.76e23, 3.8e25)
TRUTH = {"E": 1.8172, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3658}


@pytest.fixture(scope="module")
def fitted() -> Fit:
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(3e8, 3e10, 5)))
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(30))
    return fit("chinchilla", {"N": n, "D": d, "L": LAWS["chinchilla"].predict(TRUTH, N=n, D=d) * noise})


@pytest.mark.parametrize("name", PLANNED)
def test_published_sets_plan_to_the_printed_digits(name: str) -> None:
    exponent, *cells = PLANNED[name]
    for compute, (n, ratio) in zip(BUDGETS, cells, strict=True):
        planned = plan(compute, name)
        assert f"{planned.n_params:.3e}" == n
        assert f"{planned.tokens_per_param:.2f}" == ratio
        assert f"{planned.a:.4f}" == exponent
        assert 6 * planned.n_params * planned.n_tokens == pytest.approx(compute, rel=1e-12)


def test_chinchilla_itself_is_planned_near_what_was_trained() -> None:
    planned = plan("5.76e23 FLOP", "chinchilla-besiroglu")
    assert planned.n_params == pytest.approx(70e9, rel=0.1)
    assert planned.n_tokens == pytest.approx(1.4e12, rel=0.1)


@pytest.mark.parametrize("name", PLANNABLE)
@given(exponent=st.floats(15, 27))
def test_closed_form_is_the_minimum(name: str, exponent: float) -> None:
    compute, preset = 10**exponent, PRESETS[name]
    assert isinstance(preset, Preset)
    law = LAWS[preset.law]

    def loss(log_n: float) -> float:
        n = np.exp(log_n)
        return float(law.predict(preset.values, N=n, D=compute / (6 * n)))

    planned = plan(compute, name)
    middle = np.log(planned.n_params)
    found = minimize_scalar(loss, bounds=(middle - 6, middle + 5), method="bounded", options={"xatol": 1e-9})
    assert planned.loss == pytest.approx(found.fun, rel=1e-10)
    assert np.log(planned.n_params) == pytest.approx(found.x, abs=1e-4)


def test_exponents_are_the_slopes_of_the_frontier() -> None:
    for name in ("chinchilla-besiroglu", "kaplan-table2", "kaplan-table6"):
        curve, planned = frontier(name, [1e20, 1e24]), plan(1e22, name)
        assert np.log10(curve["N"][1] / curve["N"][0]) / 4 == pytest.approx(planned.a, rel=1e-9)
        assert np.log10(curve["D"][1] / curve["D"][0]) / 4 == pytest.approx(planned.b, rel=1e-9)


def test_kaplan_allocation_is_table_6() -> None:
    planned = plan("1 PF-day", "kaplan-table6")
    assert planned.n_params == pytest.approx(1.3e9)
    assert planned.n_tokens == pytest.approx(2e10)
    assert planned.loss == pytest.approx(3.1e8**0.05)
    assert (planned.a, planned.b) == (0.73, 0.27)
    assert planned.n_convention == "non-embedding"
    assert plan("1000 PF-days", "kaplan-table6").n_params == pytest.approx(1.3e9 * 1000**0.73)
    assert any("1.81 C" in warning for warning in planned.warnings)


def test_published_sets_have_no_interval() -> None:
    for name in (*PLANNABLE, "kaplan-table6"):
        planned = plan(1e22, name)
        assert planned.intervals is None
        assert planned.law == name
        assert planned.source == PRESETS[name].source


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_plan_and_fit_never_disagree_about_an_interval(fitted: Fit, level: float) -> None:
    clustered = fit("chinchilla", {**fitted.data.columns}, cluster=np.arange(30) // 2)
    for basis in (fitted, clustered):
        planned, asked = plan(1e21, basis, level=level), basis.allocate(1e21, level)
        names = {"n_params": "N", "n_tokens": "D", "tokens_per_param": "tokens_per_param", "loss": "L"}
        assert planned.intervals is not None
        for name, key in (names | {"a": "a", "b": "b"}).items():
            low, high = planned.intervals[name]
            assert low < getattr(planned, name) < high
            assert (low, high) == asked[key].interval
            assert getattr(planned, name) == asked[key].value
        share = basis.derive(lambda p: p["beta"] / (p["alpha"] + p["beta"]), level)
        assert planned.intervals["a"] == pytest.approx(share.interval, rel=1e-9)
        curve = frontier(basis, [1e20, 1e21], level=level)
        for key in ("N", "D", "tokens_per_param", "L"):
            assert (curve[f"{key}_low"][1], curve[f"{key}_high"][1]) == pytest.approx(asked[key].interval, rel=1e-12)


def test_interval_widens_with_level_and_with_extrapolation(fitted: Fit) -> None:
    def width(compute: float, level: float = 0.95) -> float:
        intervals = plan(compute, fitted, level=level).intervals
        assert intervals is not None
        return float(np.log(intervals["n_params"][1] / intervals["n_params"][0]))

    assert width(1e21, 0.5) < width(1e21, 0.95) < width(1e25, 0.95)


def test_plan_labels_itself_as_predictions_are_labelled(fitted: Fit) -> None:
    largest = 6 * 1e9 * 3e10
    for compute in (largest / 100, 5 * largest, 1000 * largest):
        planned = plan(compute, fitted)
        assert (planned.label,) == fitted.predict_at(N=planned.n_params, D=planned.n_tokens).labels
        assert planned.label in str(planned)
    assert plan(largest / 100, fitted).label == "interpolation"
    assert "extrapolation by" in planned.label
    assert "3.0 decades in C" in planned.label
    assert any(planned.label in warning for warning in planned.warnings)
    assert plan(1e21).label == ""


def test_an_optimum_far_below_the_runs_is_said_in_decades() -> None:
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e3, 1e6, 5), np.geomspace(1e6, 1e9, 5)))
    flat_in_n = fit("chinchilla", {"N": n, "D": d, "L": 1.0 + 1e-3 / n**0.1 + 100 / d**0.3})
    planned = plan(1e12, flat_in_n)
    assert planned.n_params < 100
    assert f"{np.log10(1e3 / planned.n_params):.1f} decades below N" in planned.label


def test_notes_of_the_fit_reach_the_plan(fitted: Fit) -> None:
    columns = {name: values[::2] for name, values in fitted.data.columns.items()}
    rough = fit("chinchilla", {**columns, "L": columns["L"] * np.exp(0.2 * np.cos(5 * np.arange(15)))})
    assert rough.notes
    assert set(rough.notes) <= set(plan(1e21, rough).warnings)


def test_frontier_agrees_with_plans(fitted: Fit) -> None:
    computes = ["1e20", 1e21, "10 PF-days"]
    for basis in (fitted, "chinchilla-hoffmann", "kaplan-table6"):
        curve = frontier(basis, computes)
        for i, compute in enumerate(computes):
            planned = plan(compute, basis)
            assert curve["C"][i] == planned.compute
            assert curve["N"][i] == pytest.approx(planned.n_params)
            assert curve["D"][i] == pytest.approx(planned.n_tokens)
            assert curve["L"][i] == pytest.approx(planned.loss)
            if planned.intervals is not None:
                assert (curve["N_low"][i], curve["N_high"][i]) == pytest.approx(planned.intervals["n_params"])
                assert (curve["L_low"][i], curve["L_high"][i]) == pytest.approx(planned.intervals["loss"])


def test_a_long_frontier_is_the_exact_one_within_its_own_noise(fitted: Fit) -> None:
    computes = np.geomspace(1e18, 1e25, 4 * KNOTS)
    long, plain = frontier(fitted, computes), frontier(fitted, computes[::16])
    assert len(plain["C"]) <= KNOTS < len(computes)
    for name in ("N", "D", "L", "tokens_per_param"):
        np.testing.assert_allclose(long[name][::16], plain[name], rtol=1e-12)
        width = np.log(plain[f"{name}_high"] / plain[f"{name}_low"])
        for end in ("low", "high"):
            off = np.log(long[f"{name}_{end}"][::16] / plain[f"{name}_{end}"])
            assert np.max(np.abs(off) / width) < 0.03  # 1000 draws leave 0.03 of a width unknown themselves


def test_frontier_takes_budgets_in_any_order_and_more_than_once(fitted: Fit) -> None:
    curve, back = frontier(fitted, [1e20, 1e21, 1e20]), frontier(fitted, [1e21, 1e20])
    assert curve["N_low"][0] == curve["N_low"][2] == back["N_low"][1]
    assert curve["N_low"][1] == back["N_low"][0]
    with pytest.raises(PlanError, match="positive and finite"):
        frontier(fitted, np.array([1e20, np.nan]))


def test_plan_as_values_text_and_html(fitted: Fit) -> None:
    for planned in (plan(1e22, fitted), plan(1e22, "chinchilla-hoffmann")):
        record = json.loads(json.dumps(planned.to_dict(), allow_nan=False))
        assert record["n_params"] == planned.n_params
        assert set(record) == set(vars(planned)) - {"basis"}
        for text in (str(planned), html.unescape(planned._repr_html_())):
            assert planned.law in text
            assert planned.source in text
            assert f"{planned.n_params:.4g}" in text


@pytest.mark.parametrize("law", ["power-n", "power-c-floor"])
def test_law_of_one_variable_has_no_optimum(law: str) -> None:
    with pytest.raises(PlanError, match="cannot trade N against D") as caught:
        plan(1e21, law)
    assert "chinchilla, chinchilla-tied, farseer, kaplan, skaling, volkova" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["muennighoff", "deepseek-lr", "hoffmann-approach1", "multi-power-25m"])
def test_sets_that_give_no_optimum_say_so(name: str) -> None:
    with pytest.raises(PlanError):
        plan(1e21, name)


def test_fit_of_one_variable_has_no_optimum(fitted: Fit) -> None:
    single = fit("power-n", fitted.data)
    for question in (lambda: plan(1e21, single), lambda: frontier(single, [1e21])):
        with pytest.raises(PlanError, match="cannot trade N against D"):
            question()


def test_wrong_questions_are_refused(fitted: Fit) -> None:
    with pytest.raises(PlanError, match="law without constants") as caught:
        plan(1e21, "chinchilla")
    assert "chinchilla-besiroglu" in str(caught.value.hint)
    with pytest.raises(LawError, match="unknown law") as unknown:
        plan(1e21, "chinchila-besiroglu")
    assert unknown.value.hint == "did you mean 'chinchilla-besiroglu'?"
    with pytest.raises(PlanError, match="level must lie"):
        plan(1e21, fitted, level=95)
    with pytest.raises(PlanError, match="cannot plan from int"):
        plan(1e21, 7)  # type: ignore[arg-type]


def test_planning_from_a_published_set_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom isoflop.planning import plan\nplan('1e24')\n"
        "print(*[m for m in ('numba', 'scipy', 'torch', 'pyarrow', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_a_published_set_cannot_know_is_said(fitted: Fit) -> None:
    warned = {
        name: " ".join(plan(1e22, name).warnings) for name in ("chinchilla-besiroglu", "kaplan-table6", "sardana-100")
    }
    for text in warned.values():
        assert "the tokenizer and the corpus of its paper" in text
    assert "leave embeddings out" in warned["kaplan-table6"]
    assert "leave embeddings out" not in warned["chinchilla-besiroglu"]
    assert "tokenizer" not in " ".join(plan(1e20, fitted).warnings)
    assert "nobody said which parameters N counts" in plan(1e20, fitted).warnings


def test_every_answer_is_shown_in_notebooks() -> None:
    classes = [each for name in planning.__all__ if isinstance(each := getattr(planning, name), type)]
    answers = [each for each in classes if hasattr(each, "to_dict")]
    assert {"Plan", "Pace", "Bill", "Continuing", "Systems", "Serving"} <= {each.__name__ for each in answers}
    assert [each.__name__ for each in answers if not hasattr(each, "_repr_html_")] == []
    shown = planning.bill(1e24, "h100-sxm", mfu=0.4)
    assert shown._repr_html_() == f"<pre>{html.escape(str(shown))}</pre>"
