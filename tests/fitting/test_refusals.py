from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fitting.synthetic import TRUTHS, runs
from isoflop.errors import FitError, LawError, NotIdentifiable
from isoflop.fitting import Huber, Quantile, fit, isoflop_minima, read_file
from isoflop.laws import LAWS, Law


@pytest.mark.parametrize("column", ["N", "D", "L"])
@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, np.inf])
def test_impossible_value_is_refused_by_column_and_row(column: str, value: float) -> None:
    columns = runs("chinchilla", 0.01)
    columns[column][7] = value
    with pytest.raises(FitError, match=f"column '{column}', row 7"):
        fit("chinchilla", columns)


def test_impossible_compute_is_refused_by_row() -> None:
    columns = runs("power-c", 0.01)
    columns["C"][3] = 0.0
    with pytest.raises(FitError, match="column 'C', row 3"):
        fit("power-c", columns)


@pytest.mark.parametrize("column", ["N", "D", "L"])
def test_missing_column_is_named(column: str) -> None:
    columns = {name: values for name, values in runs("chinchilla").items() if name not in (column, "C")}
    with pytest.raises(FitError, match=f"needs the column '{column}'"):
        fit("chinchilla", columns)


def test_columns_of_different_length_are_refused() -> None:
    columns = runs("chinchilla")
    with pytest.raises(FitError, match="N has 30, D has 29, L has 30"):
        fit("chinchilla", {**columns, "D": columns["D"][:-1]})


@pytest.mark.parametrize(("column", "text"), [("N", "not numeric"), ("L", "one value a run")])
def test_columns_that_are_not_numbers_are_refused(column: str, text: str) -> None:
    columns = runs("chinchilla")
    columns[column] = np.array(["many"] * 30) if column == "N" else columns[column][:, None]
    with pytest.raises(FitError, match=text):
        fit("chinchilla", columns)


@pytest.mark.parametrize("law", TRUTHS)
def test_fewer_runs_than_parameters_plus_one_are_refused(law: str) -> None:
    columns = runs(law, 0.01)
    needed = len(LAWS[law].parameters) + 1
    few = {name: values[:: max(1, 30 // needed)][: needed - 1] for name, values in columns.items()}
    with pytest.raises(FitError, match=f"needs at least {needed} runs; got {needed - 1}"):
        fit(law, few)


@pytest.mark.parametrize("law", ["chinchilla", "kaplan"])
@pytest.mark.parametrize("fixed", ["N", "D"])
def test_one_distinct_value_is_not_identifiable(law: str, fixed: str) -> None:
    columns = runs(law, 0.01)
    columns[fixed] = np.full(30, columns[fixed][0])
    with pytest.raises(NotIdentifiable, match=r"1 distinct .* cannot be separated") as caught:
        fit(law, columns)
    assert f"other values of {fixed}" in str(caught.value.hint)


@pytest.mark.parametrize("law", ["chinchilla", "power-n-floor"])
def test_floor_needs_three_distinct_values(law: str) -> None:
    with pytest.raises(NotIdentifiable, match=r"2 distinct model sizes .* fewer than 3"):
        fit(law, runs(law, 0.01, n_sizes=2, n_tokens=10))
    assert fit(law, runs(law, 0.001, n_sizes=3, n_tokens=10)).certificate.converged


def test_power_without_floor_needs_two_distinct_values() -> None:
    with pytest.raises(NotIdentifiable, match="1 distinct model size "):
        fit("power-n", runs("power-n", 0.01, n_sizes=1, n_tokens=10))
    assert fit("power-n", runs("power-n", n_sizes=2, n_tokens=10)).params == pytest.approx(TRUTHS["power-n"], rel=1e-6)


@pytest.mark.parametrize(
    ("slope", "said"), [(1.0, "D/N is the same"), (-1.0, "one compute budget"), (0.5, r"D goes as N\*\*0.50")]
)
@pytest.mark.parametrize("law", ["chinchilla", "kaplan"])
def test_n_and_d_along_one_line_are_not_identifiable(law: str, slope: float, said: str) -> None:
    n = np.geomspace(1e6, 1e9, 20)
    d = 2e9 * (n / 3e7) ** slope * (1 + 1e-3 * np.cos(np.arange(20)))  # rounded to whole batches
    loss = LAWS[law].predict(TRUTHS[law], N=n, D=d)
    with pytest.raises(NotIdentifiable, match=said) as caught:
        fit(law, {"N": n, "D": d, "L": loss})
    assert "add runs off that line" in str(caught.value.hint)


def test_loss_that_rises_with_n_is_not_fitted_quietly() -> None:
    columns = runs("chinchilla", 0.01)
    rising = 3.0 * (columns["N"] / 1e6) ** 0.1
    try:
        result = fit("chinchilla", {**columns, "L": rising})
    except FitError:
        return
    assert result.certificate.at_bounds
    assert any("bound" in note for note in result.notes)


def test_no_convergence_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    from isoflop.fitting.solver import polish

    def gives_up(*arguments) -> None:
        vectors, values, cosines, status = arguments[-4:]
        vectors[:], values[:], cosines[:], status[:] = 0.5, 1.0, 0.5, 2

    monkeypatch.setattr(polish, "polish_all", gives_up)
    with pytest.raises(FitError, match="did not converge"):
        fit("chinchilla", runs("chinchilla", 0.01))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda c: fit("chinchila", c), LawError, "unknown law"),
        (lambda c: fit("chinchilla", 7), FitError, "cannot read runs from int"),
        (lambda c: fit("chinchilla", c, starts=0), FitError, "starts must be positive"),
        (lambda c: fit("chinchilla", c, level=1.0), FitError, "level must lie"),
        (lambda c: fit("chinchilla", c, objective=Huber(0.0)), FitError, "delta must be positive"),
        (lambda c: fit("chinchilla", c, objective=Quantile(1.0)), FitError, "between 0 and 1, got 1.0"),
        (lambda c: fit("chinchilla", c, weights="w"), FitError, "weights: the data have no column 'w'"),
        (lambda c: fit("chinchilla", c, weights=[1.0]), FitError, "weights has 1"),
        (lambda c: fit("chinchilla", c, weights=np.zeros(30)), FitError, "all weights are zero"),
        (
            lambda c: fit("chinchilla", c, weights=np.r_[np.ones(5), np.inf, np.ones(24)]),
            FitError,
            "weights, row 5: inf",
        ),
        (lambda c: fit("chinchilla", c, weights=np.r_[np.nan, np.ones(29)]), FitError, "weights, row 0: nan"),
        (lambda c: fit("chinchilla", c, sigma=np.r_[np.ones(3), 0.0, np.ones(26)]), FitError, "sigma, row 3: 0"),
        (
            lambda c: fit("chinchilla", {k: np.r_[v, v[4:6]] for k, v in c.items()}),
            FitError,
            "rows 4 and 30 are the same",
        ),
        (lambda c: fit(Law("L = E + A/N**"), c), LawError, "cannot read 'L = E .* at '"),
        (lambda c: fit(Law("L = A/x**alpha"), c), LawError, "has no input among"),
        (lambda c: fit(Law("L = A/x**alpha", inputs=("x",)), c), FitError, "needs the column 'x'"),
        (lambda c: fit(Law("L = A/N**alpha", inputs=("N", "x")), c), LawError, "input 'x' does not occur"),
        (lambda c: fit("chinchilla", c, fix={"gamma": 1}), FitError, "no parameter 'gamma'"),
        (lambda c: fit("chinchilla", c, fix={"E": -1}), FitError, "fix E = -1 is outside its domain"),
        (lambda c: fit("chinchilla", c, bounds={"E": (2, 1)}), FitError, "leave nothing of E"),
        (lambda c: fit("chinchilla", c, tie=[("alpha",)]), FitError, "two parameters or more"),
        (lambda c: fit("chinchilla", c, tie=[("A", "beta")]), FitError, "cannot tie A = beta: one is a scale"),
        (lambda c: fit("chinchilla", c, tie=[("alpha", "beta")], fix={"beta": 0.3}), FitError, "restricted twice"),
        (lambda c: fit("chinchilla", c, fix=TRUTHS["chinchilla"]), FitError, "nothing to fit"),
        (lambda c: fit("chinchilla", c).interval("gamma"), FitError, "no parameter 'gamma'"),
        (lambda c: fit("chinchilla", c).bootstrap(0), FitError, "must be positive"),
        (lambda c: fit("chinchilla", c).holdout(by="L"), FitError, "cannot hold out by 'L'"),
    ],
)
def test_wrong_requests_are_refused(call, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(runs("chinchilla", 0.01))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"objective": "lad"}, "an objective is .* got 'lad'"),
        ({"fix": {"alpha": "x"}}, "fix alpha must be a number, got 'x'"),
        ({"bounds": {"E": 2}}, r"bounds E must be \(low, high\), got 2"),
        ({"cluster": [float("nan"), *range(29)]}, "cluster, row 0: no label"),
        ({"cluster": [*"abcd", None, *"efgh" * 6, "i"]}, "cluster, row 4: no label"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options: dict[str, object], text: str) -> None:
    with pytest.raises(FitError, match=text):
        fit("chinchilla", runs("chinchilla", 0.01), **options)  # type: ignore[arg-type]


def test_something_else_than_a_law_is_refused() -> None:
    with pytest.raises(LawError, match=r"a law is a name or isoflop\.Law.*, got 7"):
        fit(7, runs("chinchilla", 0.01))  # type: ignore[arg-type]


def test_text_among_numbers_is_named_with_its_row() -> None:
    columns = runs("chinchilla", 0.01)
    with pytest.raises(FitError, match="column 'L', row 2: 'n/a' is not numeric"):
        fit("chinchilla", {**columns, "L": [*columns["L"][:2], "n/a", *columns["L"][3:]]})


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"N,D,L,N\n1,2,3,4\n", "has 2 columns 'N'"),
        ("N,D,L,größe\n1,2,3,4\n".encode("latin-1"), "is not text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_told_is_refused(written: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes(written)
    with pytest.raises(FitError, match=said):
        read_file(tmp_path / "runs.csv")


def test_a_spreadsheet_s_byte_order_mark_is_no_part_of_a_heading(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes(b"\xef\xbb\xbfN,D,L\n1e6,2e8,3\n")
    assert list(read_file(tmp_path / "runs.csv").columns) == ["N", "D", "L"]


def test_questions_that_cannot_be_are_refused() -> None:
    result = fit("chinchilla", runs("chinchilla", 0.01))
    for compute in (-1.0, np.nan, np.inf, "many"):
        with pytest.raises(FitError, match=f"compute must be .* got '?{compute}"):
            result.allocate(compute)
    for top in (-1.0, np.nan):
        with pytest.raises(FitError, match=f"top must be zero or more decades, got {top}"):
            result.holdout("N", top)
    with pytest.raises(LawError, match="N, row 1: -1; every N must be positive"):
        result.predict(N=[1e9, -1.0], D=1e10)


@pytest.mark.parametrize("kind", ["case", "sandwich", "profile"])
def test_a_quantity_that_has_no_value_is_refused(kind: str) -> None:
    result = fit("chinchilla", runs("chinchilla", 0.01))
    with pytest.raises(FitError, match=r"(?s)asks for 'alfa', no parameter of chinchilla.*did you mean 'alpha'"):
        result.derive(lambda p: p["alfa"], kind=kind)
    with pytest.raises(FitError, match=r"fn is NaN at E = .*beta = "):
        result.derive(lambda p: float("nan"), kind=kind)
    with pytest.raises(FitError, match="into a number"):
        result.derive(lambda p: [p["alpha"], p["beta"]], kind=kind)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(("one", "value", "other"), [("D", 1e9, "N"), ("N", 1e8, "D")])
def test_a_refused_design_is_cured_by_the_runs_that_its_refusal_names(one: str, value: float, other: str) -> None:
    law, truth = LAWS["chinchilla"], TRUTHS["chinchilla"]
    columns = {one: np.full(12, value), other: np.geomspace(1e7, 1e10, 12)}
    losses = law.predict(truth, **columns)
    with pytest.raises(NotIdentifiable, match=f"1 distinct .* \\({one} = ") as caught:
        fit("chinchilla", {**columns, "L": losses})
    said = re.search(rf"such as {other} = (\S+) with {one} = (\S+) and {one} = ([^\s,]+), or fix", str(caught.value))
    assert said
    middle, *new = map(float, said.groups())
    assert sorted(new) == [value / 4, 4 * value]
    cured = {other: np.append(columns[other], [middle] * 2), one: np.append(columns[one], new)}
    found = fit("chinchilla", {**cured, "L": law.predict(truth, **cured)})
    assert found.params == pytest.approx(truth, rel=1e-4)


def test_runs_that_a_refusal_names_keep_unique_tokens_below_tokens() -> None:
    columns = {"N": np.tile(np.geomspace(1e7, 1e9, 6), 4), "D": np.full(24, 1e9), "U": np.repeat([9e8, 8e8], 12)}
    with pytest.raises(NotIdentifiable) as caught:
        fit("muennighoff", {**columns, "L": 2.0 + 0.1 * np.random.default_rng(0).random(24)})
    said = re.search(r"such as N = \S+, U = (\S+) with D = (\S+) and D = ([^\s,]+), or", str(caught.value))
    assert said
    unique, *new = map(float, said.groups())
    assert min(new) >= unique


def test_text_in_a_column_of_an_estimator_is_refused_by_name() -> None:
    with pytest.raises(FitError, match="column 'N' is not numeric"):
        isoflop_minima({"N": ["small"] * 3, "C": [1e18] * 3, "L": [3.0] * 3})
