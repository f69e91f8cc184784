"""Predictions labelled, several targets in one call, runs from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from fitting.synthetic import TRUTHS, runs
from isoflop.errors import FitError, LawError
from isoflop.fitting import Fit, fit, fit_all, read_file
from isoflop.fitting.prediction import labels


@pytest.fixture(scope="module")
def noisy() -> Fit:
    return fit("chinchilla", runs("chinchilla", 0.01))


def test_points_are_labelled_by_decades_beyond_the_runs(noisy: Fit) -> None:
    made = noisy.predict_at(N=[3e7, 2e10, 1e9], D=[3e9, 3e9, 6e11])
    assert made.labels == (
        "interpolation",
        "extrapolation by 1.3 decades in N, 0.3 decades in C",
        "extrapolation by 1.3 decades in D, 1.3 decades in C",
    )
    assert made.extrapolates.tolist() == [False, True, True]
    assert "extrapolation by 1.3 decades in N" in str(made)


def test_a_point_inside_n_and_d_may_lie_beyond_all_compute() -> None:
    seen = {"N": np.array([1e6, 1e9]), "D": np.array([1e10, 1e8])}
    assert labels(seen, {"N": np.array([1e9]), "D": np.array([1e10])}) == ("extrapolation by 2.0 decades in C",)


def test_below_the_runs_is_extrapolation_too() -> None:
    seen = {"N": np.array([1e6, 1e9])}
    below = labels(seen, {"N": np.array([5e5, 9.9e5, 1e6, 1.02e9])})
    assert below[0] == "extrapolation by 0.3 decades below N"
    assert below[1] == "extrapolation by 1.0% below N"
    assert below[2:] == ("interpolation", "extrapolation by 2.0% in N")


def test_inputs_without_logarithms_have_no_decades() -> None:
    seen = {"S2": np.array([-1.0, 2.0])}
    assert labels(seen, {"S2": np.array([0.0, 3.5])}) == ("interpolation", "extrapolation by 1.5 in S2")


def test_intervals_of_predictions_are_those_of_the_derived_loss(noisy: Fit) -> None:
    made = noisy.predict_at(N=1e10, D=1e11)
    p = noisy.derive(lambda p: p["E"] + p["A"] / 1e10 ** p["alpha"] + p["B"] / 1e11 ** p["beta"])
    assert made.values[0] == pytest.approx(p.value)
    assert (made.low[0], made.high[0]) == pytest.approx(p.interval)
    wide = noisy.predict_at(level=0.99, N=1e10, D=1e11)
    assert wide.low[0] < made.low[0] < made.values[0] < made.high[0] < wide.high[0]


def test_intervals_widen_with_extrapolation(noisy: Fit) -> None:
    made = noisy.predict_at(N=[3e7, 1e9, 1e11, 1e13], D=[3e9, 3e10, 3e12, 3e14])
    width = (made.high - made.low) / made.values
    assert (np.diff(width) > 0).all()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda f: f.predict_at(N=1e9), LawError, "needs the input 'D'"),
        (lambda f: f.predict_at(N=-1.0, D=1e9), LawError, "N must be positive"),
        (lambda f: f.predict_at(level=2, N=1e9, D=1e9), FitError, "level must lie"),
        (lambda f: f.predict_at(N=np.ones((2, 2)), D=1e9), FitError, "one dimension"),
    ],
)
def test_points_that_cannot_be_are_refused(noisy: Fit, call, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(noisy)


def several() -> dict[str, np.ndarray]:
    columns = runs("chinchilla", 0.01)
    loss = columns.pop("L")
    error = 0.9 * (loss / loss.max()) ** 2
    rng = np.random.default_rng(5)
    c4 = loss * 1.1 * np.exp(0.002 * rng.standard_normal(30))
    c4[3] = np.nan
    return {**columns, "loss": loss, "c4_loss": c4, "acc": 1 - error, "score": 100 * (1 - error)}


def test_several_targets_are_fitted_in_one_call() -> None:
    columns = several()
    fits = fit_all("chinchilla", columns, targets=["loss", "c4_loss", "acc"])
    assert list(fits) == ["loss", "c4_loss", "acc"]
    alone = fit("chinchilla", {**{k: columns[k] for k in "ND"}, "L": columns["loss"]})
    assert fits["loss"].params == alone.params
    assert fits["c4_loss"].n_runs == 29
    assert fits["c4_loss"].excluded == ("1 rows without c4_loss",)
    error = fit("chinchilla", {**{k: columns[k] for k in "ND"}, "L": 1 - columns["acc"]})
    assert fits["acc"].params == error.params
    assert fits.notes == {"acc": "acc rises with scale and chinchilla falls: fitted as its error, 1 - acc"}
    assert "fitted as its error" in str(fits)
    assert "fitted as its error" in fits._repr_html_()
    point = {"N": 1e8, "D": 3e9}
    assert fits.predict(**point)["acc"] == pytest.approx(1 - error.predict(**point))
    assert fits.predict(**point)["loss"] == pytest.approx(alone.predict(**point))


def test_a_rising_metric_that_is_no_share_is_not_turned_quietly() -> None:
    fits = fit_all("chinchilla", several(), targets=["loss", "score"])
    assert "no share of one" in fits.failed["score"]
    assert "score was not fitted" in str(fits)
    with pytest.raises(FitError, match="score was not fitted"):
        fits["score"]


def test_a_rising_law_takes_a_rising_metric_as_it_is() -> None:
    loss = np.linspace(2.0, 4.0, 20)
    accuracy = 0.25 + 0.6 / (1 + np.exp(2.5 * (loss - 3.0)))
    fits = fit_all({"accuracy": "sigmoid"}, {"L": loss, "accuracy": accuracy})
    assert not fits.notes
    assert fits["accuracy"].params["L_mid"] == pytest.approx(3.0, abs=0.01)


def test_each_target_may_have_its_own_law() -> None:
    fits = fit_all({"loss": "kaplan", "c4_loss": "chinchilla"}, several())
    assert (fits["loss"].law.name, fits["c4_loss"].law.name) == ("kaplan", "chinchilla")


@pytest.mark.parametrize(
    ("targets", "text"),
    [([], "no targets"), (["lass"], "no column 'lass'"), (["score"], "no target could be fitted")],
)
def test_targets_that_cannot_be_are_refused(targets: list[str], text: str) -> None:
    with pytest.raises(FitError, match=text):
        fit_all("chinchilla", several(), targets=targets)


def test_files_of_runs_give_the_fit_of_their_columns(tmp_path: Path, noisy: Fit) -> None:
    columns = {name: values for name, values in runs("chinchilla", 0.01).items() if name != "D"}
    named = {"Model Size": columns["N"], "C": columns["C"], "loss": columns["L"]}
    rows = list(zip(*(values.tolist() for values in named.values()), strict=True))
    (tmp_path / "a.csv").write_text("\n".join([",".join(named), *(",".join(map(repr, row)) for row in rows)]) + "\n")
    lines = ['{"Model Size": %r, "C": %r, "loss": %r}' % row for row in rows]  # noqa: UP031
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    parquet.write_table(pa.table(named), tmp_path / "a.parquet")
    for kind in ("csv", "jsonl", "parquet"):
        read = read_file(tmp_path / f"a.{kind}", {"N": "Model Size", "L": "loss"})
        found = fit("chinchilla", read)
        assert found.params == pytest.approx(noisy.params, rel=1e-6)
        assert "D was not given: taken as C/(6 N)" in found.notes


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "N,D,L\n1,2\n", "row 0: 2 cells under 3 headings"),
        ("a.jsonl", '{"N": 1}\n{"N": \n', "row 1"),
        ("a.jsonl", "[1]\n", "row 0: not an object"),
        ("a.parquet", "N,D", "no Parquet file"),
        ("a.txt", "N", "cannot read runs from"),
    ],
)
def test_files_that_hold_no_runs_are_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FitError, match=said):
        read_file(tmp_path / name)


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(FitError, match=r"nowhere\.csv"):
        read_file(tmp_path / "nowhere.csv")
    (tmp_path / "a.csv").write_text("N,D,loss\n1,2,3\n")
    with pytest.raises(FitError, match="no column 'los'") as caught:
        read_file(tmp_path / "a.csv", {"L": "los"})
    assert "did you mean 'loss'?" in str(caught.value)


def test_empty_cells_and_words_are_refused_by_row(tmp_path: Path) -> None:
    body = "\n".join(f"{10.0**i},{1e9},{4 - i / 10}" for i in range(6, 10))
    for cell, said in (("", "column 'L', row 4: nan"), ("n/a", "column 'L', row 4: 'n/a' is not numeric")):
        (tmp_path / "a.csv").write_text(f"N,D,L\n{body}\n1e10,1e9,{cell}\n")
        with pytest.raises(FitError, match=said):
            fit("power-n", read_file(tmp_path / "a.csv"))


def test_truths_are_recovered_at_the_points_of_the_runs(noisy: Fit) -> None:
    columns = runs("chinchilla")
    made = noisy.predict_at(N=columns["N"], D=columns["D"])
    assert not made.extrapolates.any()
    assert np.mean((made.low <= columns["L"]) & (columns["L"] <= made.high)) > 0.7
    assert TRUTHS["chinchilla"].keys() == noisy.params.keys()
