"""A store whose runs follow known laws gives them back, purpose by purpose, in the report too."""

from __future__ import annotations

from pathlib import Path

import pytest

from isoflop.report.analysis import analyse
from isoflop.report.findings import find
from isoflop.report.page import write_report
from isoflop.runs import RunStore
from isoflop.runs.studies import GroupRuns, write_study
from report.known import ALPHA_B, ALPHA_N, ALPHA_S, B_STAR, curve


def test_each_purpose_gives_back_the_law_that_its_runs_follow(study: RunStore) -> None:
    findings, skipped = find(study)
    assert not skipped
    values = {name: value for finding in findings for name, value in finding.values.items()}
    expected = {
        "B_star": (B_STAR, 0.05),
        "alpha_B": (ALPHA_B, 0.05),
        "alpha_N": (ALPHA_N, 0.03),
        "alpha_S": (ALPHA_S, 0.03),
        "a": (0.5, 0.02),
        "b": (0.5, 0.02),
        "largest penalty": (0.03, 0.1),
    }
    for name, (true, tolerance) in expected.items():
        value, low, high = values[name]
        assert value == pytest.approx(true, rel=tolerance), name
        assert low <= value <= high
    assert {finding.purpose: finding.n_runs for finding in findings} == {
        "batch": 5, "steps": 6, "isoflop": 21, "shape": 12
    }  # fmt: skip


def test_laws_of_scale_are_fitted_to_the_runs_made_for_them(study: RunStore, tmp_path: Path) -> None:
    analysis = analyse(study, compute="1e13 FLOP")
    assert analysis.data.n_runs == 15
    assert [finding["purpose"] for finding in analysis.to_dict()["findings"]] == ["batch", "steps", "shape", "isoflop"]
    page = write_report(analysis, tmp_path / "report").read_text()
    assert "<h3>Findings</h3>" in page
    assert all(f'"id":"{purpose}"' in page for purpose in ("batch", "steps", "shape", "isoflop"))
    assert "alpha_B = 0.5" in page
    drawn = {path.stem for path in (tmp_path / "report").glob("*.png")}
    assert drawn == {"curves", "fit", "frontier", "batch", "steps", "shape", "isoflop"}


def test_a_purpose_that_its_runs_do_not_serve_is_skipped_with_the_reason(store: RunStore) -> None:
    runs = [curve(store, n, 2048) for n in (1e3, 1e4)]
    write_study(
        store,
        "s",
        [
            GroupRuns(name="curves", purpose="steps", runs=tuple(runs)),
            GroupRuns(name="sizes", purpose="shape", runs=("0" * 16,)),
        ],
    )
    findings, skipped = find(store)
    assert findings == ()
    assert skipped == {"steps": "L(N, S_min) needs B_crit(L)", "shape": "no finished runs of a known shape"}
    assert analyse(store, compute="1e13 FLOP").skipped.items() >= skipped.items()
