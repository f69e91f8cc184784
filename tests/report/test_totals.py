"""Runs of others: recorded with all their parameters and no other N, with their ends alone or a bare curve."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.text import Text

from isoflop.errors import FitError
from isoflop.fitting import Fit, fit
from isoflop.report.analysis import analyse
from isoflop.report.figures import FIGURES, allocation, loss_by_compute, loss_by_size, parameter_intervals, profiles
from isoflop.report.figures.drawing import draw_figure
from isoflop.report.figures.study import Study
from isoflop.report.page import write_page, write_report
from isoflop.report.tables import notes
from isoflop.runs import Recorder, RunStore


@pytest.fixture(scope="module", params=["ends", "curves"])
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Sixteen runs of Chinchilla's law: their ends alone, or with a loss every hundred steps and no tokens."""
    store = RunStore(tmp_path_factory.mktemp("imported") / "runs")
    for n in (1e7, 3e7, 1e8, 3e8):
        for d in (1e9, 3e9, 1e10, 3e10):
            loss = 1.8 + 480 / n**0.35 + 2100 / d**0.37
            with Recorder(store, {"n": n, "d": d}, counts={"n_params": n, "D": d}) as recorder:
                for step in range(100, 1001, 100) if request.param == "curves" else ():
                    recorder.log(step, loss=loss + 100 / step)
                recorder.finish(loss=loss, tokens=d)
    return store


def test_a_store_that_counts_totals_has_them_for_N_and_C(imported: RunStore) -> None:
    counting = imported.counting("total")
    assert [run.counts["N"] for run in counting] == [run.counts["n_params"] for run in imported]
    assert all(run.counts["C"] == 6 * run.counts["N"] * run.counts["D"] for run in counting)
    assert all("N" not in run.counts for run in imported)
    assert counting.fit_data().n_convention == "total"
    assert counting.fit_data(n_convention="non-embedding").n_runs == 0


def test_their_report_says_which_parameters_N_counts(imported: RunStore, tmp_path: Path) -> None:
    analysis = analyse(imported.counting("total"))
    assert analysis.best.fit.law.name == "chinchilla"
    assert analysis.best.fit.params["alpha"] == pytest.approx(0.35, rel=1e-3)
    assert analysis.plan.n_convention == "total"
    page = write_page(analysis, tmp_path / "page.html").read_text()
    assert "<dt>N counts</dt><dd>all parameters</dd>" in page
    assert "--level 0.95 --n-convention total" in page
    assert "<dd>0 hours of runs</dd>" not in page


def test_a_folder_of_their_report_has_the_figures_that_ends_allow(imported: RunStore, tmp_path: Path) -> None:
    write_report(analyse(imported.counting("total")), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"report.html", "fit.png", "frontier.png"}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_or_says_what_it_lacks(imported: RunStore, name: str) -> None:
    for store in (imported, imported.counting("total")):
        drawn = draw_figure(FIGURES[name], Study(store=store))
        assert drawn.figure is not None or drawn.lacks
        assert all(drawn.lacks.values())


def test_the_axis_of_N_says_what_it_counts(imported: RunStore) -> None:
    store = imported.counting("total")
    assert loss_by_size(store).get_xlabel() == "N, all parameters"
    for ax in (loss_by_compute(store), allocation(store)):
        words = {text.get_text() for each in ax.figure.axes for text in each.findobj(Text)}
        assert any("N, all parameters" in text for text in words)
        assert not any("non-embedding" in text for text in words)


def test_a_parameter_fitted_to_nothing_is_named_and_the_others_are_drawn_over_theirs(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    for n in (1e7, 3e7, 1e8, 3e8):
        for d in (1e9, 3e9, 1e10, 3e10):
            with Recorder(store, {"n": n, "d": d}, counts={"N": n, "D": d, "C": 6 * n * d}) as recorder:
                recorder.finish(loss=12 / n**0.1 + 900 / d**0.3 - 0.5, tokens=d)
    fitted = fit("chinchilla", store)
    assert fitted.params["E"] == 0
    for draw in (parameter_intervals, profiles):
        assert ", E = 0" in draw(fitted).get_title()
    analysis = analyse(store)
    assert analysis.best.fit.law.name == "chinchilla"
    assert any("E is at 0" in warning for warning in analysis.plan.warnings)
    assert not any("E is at 0" in note for note in notes(analysis))


def test_runs_of_a_store_that_ended_alike_are_different_runs(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    rows = [(n, d) for n in (1e7, 3e7, 1e8, 3e8) for d in (1e9, 3e9, 1e10)]
    for rate in (1e-3, 2e-3):
        for n, d in rows:
            with Recorder(store, {"n": n, "d": d, "lr": rate}, counts={"N": n, "D": d, "C": 6 * n * d}) as recorder:
                recorder.finish(loss=round(1.8 + 480 / n**0.35 + 2100 / d**0.37, 3), tokens=d)
    fitted = fit("chinchilla", store)
    assert fitted.n_runs == 2 * len(rows)
    fitted.save(tmp_path / "fit.json")
    assert Fit.load(tmp_path / "fit.json").holdout("N").mean_absolute_relative_error < 0.01
    with pytest.raises(FitError, match="copies of others"):
        fit("chinchilla", dict(fitted.data.columns))
