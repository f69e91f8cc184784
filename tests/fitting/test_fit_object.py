from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fitting.synthetic import TRUTHS, grid, runs
from isoflop.errors import FitError
from isoflop.fitting import LAD, Fit, FitData, Huber, Quantile, fit


class Store:
    """A source of runs, as a run store is one."""

    def fit_data(self) -> FitData:
        return FitData(runs("chinchilla", 0.01), ("run ab12: diverged",), "runs/", "non-embedding")


@pytest.fixture(scope="module")
def noisy() -> Fit:
    return fit("chinchilla", runs("chinchilla", 0.01))


def test_mapping_table_and_store_give_the_same_fit(noisy: Fit) -> None:
    columns = runs("chinchilla", 0.01)
    for source in (pa.table(columns), Store(), {k: v.tolist() for k, v in columns.items()}):
        assert fit("chinchilla", source).params == noisy.params


def test_store_says_what_it_left_out() -> None:
    result = fit("chinchilla", Store())
    assert result.excluded == ("run ab12: diverged",)
    assert "run ab12: diverged" in str(result)
    assert result.data.n_convention == "non-embedding"


def test_missing_compute_is_taken_as_six_n_d_and_said() -> None:
    columns = runs("power-c", 0.01)
    given = fit("power-c", columns)
    derived = fit("power-c", {name: columns[name] for name in "NDL"})
    assert derived.params == given.params
    assert "C was not given: taken as 6 N D" in derived.notes


def test_law_that_ignores_what_the_runs_varied_says_so() -> None:
    result = fit("power-n", runs("chinchilla", 0.01))
    assert any("5 values of D, which power-n does not see" in note for note in result.notes)


def test_undetermined_exponent_is_noted() -> None:
    result = fit("chinchilla", runs("chinchilla", 0.2, seed=4))
    assert any("bound" in note or "floor" in note for note in result.notes)


def test_bootstrap_loses_resamples_aloud() -> None:
    drawn = fit("chinchilla", runs("chinchilla", 0.003, n_sizes=5, n_tokens=3)).bootstrap(500)
    assert drawn.failed > 0
    assert len(drawn.draws) + drawn.failed == 500
    assert f"{drawn.failed} could not be fitted" in str(drawn)


def test_bootstrap_draw_is_the_fit_of_the_resample() -> None:
    columns = runs("chinchilla", 0.01)
    drawn = fit("chinchilla", columns).bootstrap(20, seed=7)
    weights = np.random.default_rng(7).multinomial(30, np.full(30, 1 / 30), size=20)
    rows = np.repeat(np.arange(30), weights[11])
    refitted = fit("chinchilla", {name: values[rows] for name, values in columns.items()}, weights=np.ones(30))
    assert drawn.failed == 0
    assert dict(zip(drawn.names, drawn.draws[11], strict=True)) == pytest.approx(refitted.params, rel=1e-5)


def test_interval_holds_the_value_and_widens_with_level(noisy: Fit) -> None:
    for name, value in noisy.params.items():
        low, high = noisy.interval(name)
        assert low < value < high
        wide_low, wide_high = noisy.interval(name, 0.99)
        assert wide_low < low < high < wide_high


def test_derived_quantity_follows_its_function(noisy: Fit) -> None:
    a = noisy.derive(lambda p: p["beta"] / (p["alpha"] + p["beta"]))
    assert a.value == noisy.params["beta"] / (noisy.params["alpha"] + noisy.params["beta"])
    assert a.interval[0] < a.value < a.interval[1]
    same = noisy.derive(lambda p: p["E"])
    assert same.interval == pytest.approx(noisy.interval("E"))


@pytest.mark.parametrize("by", ["N", "D", "C"])
def test_holdout_predicts_only_the_largest_runs(by: str) -> None:
    columns = runs("chinchilla", 0.003)
    held = fit("chinchilla", {name: columns[name] for name in "NDL"}).holdout(by=by)
    scale = columns[by]
    assert len(held.rows["L"]) == np.isclose(scale, scale.max()).sum()
    assert held.fit.n_runs == 30 - len(held.rows["L"])
    assert held.mean_absolute_relative_error < 0.02
    np.testing.assert_allclose(held.rows["relative_error"], held.rows["predicted"] / held.rows["L"] - 1)
    assert held.decades > 0


def test_holdout_error_is_zero_where_the_law_is_exact() -> None:
    assert fit("chinchilla", runs("chinchilla")).holdout().mean_absolute_relative_error < 1e-8


@pytest.mark.parametrize("objective", [None, Huber(2e-3), LAD(), Quantile(0.2, log=False)], ids=str)
def test_saved_fit_reads_back_the_same(tmp_path: Path, objective: Huber | None) -> None:
    before = fit("kaplan", runs("kaplan", 0.01), objective=objective)
    before.save(tmp_path / "fit.json")
    after = Fit.load(tmp_path / "fit.json")
    assert after.to_dict() == before.to_dict()
    assert str(after) == str(before)
    np.testing.assert_allclose(after.bootstrap(30).draws, before.bootstrap(30).draws, rtol=1e-9)


def test_a_saved_fit_equals_itself_and_no_fit_of_other_runs(tmp_path: Path, noisy: Fit) -> None:
    noisy.save(tmp_path / "fit.json")
    assert Fit.load(tmp_path / "fit.json") == noisy
    other = replace(noisy, data=noisy.data.select(noisy.data.columns["N"] > 2e6))
    assert other != noisy


def test_a_record_that_lacks_something_is_refused(noisy: Fit) -> None:
    record = noisy.to_dict()
    del record["params"]
    with pytest.raises(FitError, match="lacks 'params'"):
        Fit.from_dict(record)


def test_changed_file_is_refused(tmp_path: Path, noisy: Fit) -> None:
    path = tmp_path / "fit.json"
    record = noisy.to_dict()
    record["data"]["columns"]["L"][0] *= 1.01
    path.write_text(json.dumps(record))
    with pytest.raises(FitError, match="do not match their fingerprint"):
        Fit.load(path)
    other = {**noisy.law.declaration(), "formula": "L = E + A/N**alpha + B/D**beta + 0"}
    for name, value, text in (("format", 99, "format"), ("declaration", other, "was fitted as")):
        path.write_text(json.dumps({**noisy.to_dict(), name: value}))
        with pytest.raises(FitError, match=text):
            Fit.load(path)
    path.write_text("{")
    with pytest.raises(FitError, match="cannot read a fit"):
        Fit.load(path)


def test_printed_fit_has_every_parameter_interval_and_note(noisy: Fit) -> None:
    for text in (str(noisy), noisy._repr_html_()):
        for name in TRUTHS["chinchilla"]:
            assert name in text
        assert "30 runs" in text
        assert "95% interval" in text
        assert "starts agree" in text


def test_many_runs_have_intervals_from_the_covariance() -> None:
    result = fit("power-n", runs("power-n", 0.01, n_sizes=60, n_tokens=50))
    low, high = result.interval("alpha", kind="normal")
    assert f"[{low:.4g}, {high:.4g}]" in str(result)
    assert "draws from the covariance" in str(result)


def test_a_law_without_a_name_is_printed_once(noisy: Fit) -> None:
    own = replace(noisy, law=replace(noisy.law, name=noisy.law.formula))
    assert str(own).splitlines()[0] == noisy.law.formula
    assert "<caption><code>" in own._repr_html_()


def test_parameter_at_a_bound_has_no_standard_error_and_survives_saving(tmp_path: Path) -> None:
    columns = grid()
    loss = 5.0 * (columns["N"] / 1e6) ** -0.05 * np.exp(-0.004 * np.log(columns["N"] / 1e6) ** 2)
    result = fit("power-n-floor", {**columns, "L": loss})
    assert result.certificate.at_bounds == ("E",)
    assert np.isnan(result.standard_errors["E"])
    assert "the runs do not show a floor" in str(result)
    result.save(tmp_path / "fit.json")
    assert np.isnan(Fit.load(tmp_path / "fit.json").standard_errors["E"])
