"""What a study says follows from its runs alone."""

from __future__ import annotations

import numpy as np
import pytest

from isoflop.errors import FitError
from isoflop.fitting import FitData
from isoflop.report.analysis import analyse, select
from isoflop.runs import Recorder, RunStore


def test_the_law_that_made_the_runs_is_chosen_and_recovered(store: RunStore) -> None:
    analysis = analyse(store, compute="1e13 FLOP")
    assert analysis.best.fit.law.name == "kaplan"
    assert analysis.best.fit.params["alpha_N"] == pytest.approx(0.11, abs=0.01)
    errors = {law.fit.law.name: law.holdout.mean_absolute_relative_error for law in analysis.laws if law.holdout}
    assert errors["kaplan"] < 0.01 < errors["chinchilla"]
    assert analysis.plan.law == "kaplan"


def test_without_a_budget_it_is_some_ten_times_the_largest_run(store: RunStore) -> None:
    analysis = analyse(store)
    assert analysis.plan.compute == pytest.approx(10 * analysis.data.columns["C"].max(), rel=0.4)
    assert analysis.plan.compute == float(f"{analysis.plan.compute:.0e}")


def test_every_law_is_fitted_to_its_slice(store: RunStore) -> None:
    analysis = analyse(store, compute="1e13 FLOP")
    counted = {law.fit.law.name: (law.runs, law.fit.n_runs) for law in analysis.laws}
    assert counted["chinchilla"] == counted["kaplan"] == ("all", 15)
    assert counted["power-n"] == counted["power-n-floor"] == ("largest D", 5)
    assert counted["power-d"] == ("largest N", 3)
    assert counted["power-c"][0] == "frontier"


def test_a_law_that_the_runs_cannot_determine_is_named_with_its_reason(store: RunStore) -> None:
    analysis = analyse(store, compute="1e13 FLOP")
    assert "power-d-floor" in analysis.skipped  # three parameters, three runs of the largest N
    assert "runs" in analysis.skipped["power-d-floor"]


def test_a_diverged_run_is_left_out_and_named(store: RunStore) -> None:
    analysis = analyse(store, compute="1e13 FLOP")
    assert analysis.data.n_runs == 15
    (excluded,) = analysis.data.excluded
    assert "diverged" in excluded


def test_the_frontier_is_every_run_that_no_cheaper_run_beats() -> None:
    random = np.random.default_rng(1)
    compute, loss = random.integers(1, 12, 60).astype(float), random.uniform(1, 2, 60)
    kept = select(FitData({"C": compute, "L": loss}), "frontier").columns
    brute = {
        (c, value)
        for i, (c, value) in enumerate(zip(compute, loss, strict=True))
        if not any((compute[j] <= c and loss[j] < value) for j in range(60) if j != i)
    }
    assert set(zip(kept["C"], kept["L"], strict=True)) == brute


def test_a_store_without_finished_runs_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    empty = RunStore(tmp_path / "empty")
    with pytest.raises(FitError, match="no finished runs"):
        analyse(empty, compute="1e13 FLOP")


def test_runs_of_a_single_size_are_refused_with_what_is_missing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    store = RunStore(tmp_path / "one-size")
    for d in np.geomspace(1e5, 1e7, 8).tolist():
        with Recorder(store, {"d": d}, counts={"N": 1e3, "D": d, "C": 6e3 * d}) as rec:
            rec.finish(loss=10 / d**0.1, tokens=d)
    with pytest.raises(FitError, match="N"):
        analyse(store, compute="1e13 FLOP")
