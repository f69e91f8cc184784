"""A store whose runs follow known laws gives them back, purpose by purpose, in the report too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoflop.report.analysis import analyse
from isoflop.report.findings import find
from isoflop.report.page import write_report
from isoflop.runs import Recorder, RunStore
from isoflop.runs.studies import GroupRuns, write_study

B_STAR, ALPHA_B = 8000.0, 0.5
N_C, ALPHA_N, S_C, ALPHA_S = 1e6, 0.1, 30.0, 0.6
PENALTIES = {(1, 64): 0.03, (2, 48): 0.0, (8, 24): 0.01}


def critical(loss: float) -> float:
    return B_STAR / loss ** (1 / ALPHA_B)


def curve(store: RunStore, n: float, batch: int) -> str:
    """L = (N_c/N)**alpha_N + (S_c/S_min)**alpha_S at one batch size, evaluated 40 times."""
    spec = {"shape": {"n": n}, "batch_tokens": batch}
    with Recorder(store, spec, counts={"N": n, "D": 1e6, "C": 6e6 * n}) as recorder:
        for floor in np.geomspace(100, 3000, 40):
            loss = (N_C / n) ** ALPHA_N + (S_C / floor) ** ALPHA_S
            recorder.log(floor * (1 + critical(loss) / batch), tokens=1.0, loss=9.0, val_loss=loss)
        recorder.finish(loss=loss)
    return recorder.id


def point(store: RunStore, loss: float, n: float, d: float, **spec: Any) -> str:
    with Recorder(store, {"n": n, "d": d, **spec}, counts={"N": n, "D": d, "C": 6 * n * d}) as recorder:
        recorder.log(1, tokens=d, loss=loss)
        recorder.finish(loss=loss, tokens=d)
    return recorder.id


def profiles(store: RunStore) -> Iterable[str]:
    """L = 1 + A/N**.4 + B/D**.4 over budgets: N* and D* go as the root of C."""
    for budget in (1e12, 1e13, 1e14):
        for away in np.geomspace(0.3, 3, 7):
            n = away * np.sqrt(budget / 6 / 20)
            d = budget / 6 / n
            yield point(store, 1 + 40 / n**0.4 + 40 * 20**0.4 / d**0.4, n, d)


def shapes(store: RunStore) -> Iterable[str]:
    noise = np.random.default_rng(0)
    for (n_layer, d_model), penalty in PENALTIES.items():
        for seed in range(4):
            loss = 2 * (1 + penalty) * float(noise.normal(1, 0.001))
            shape = {"n_layer": n_layer, "d_model": d_model}
            yield point(store, loss, 12.0 * 2 * 48**2 + n_layer, 1e6, shape=shape, seed=seed)


@pytest.fixture
def study(store: RunStore) -> RunStore:
    """The fifteen runs of a known L(N, D), and groups for everything else."""
    groups = {
        "batch": [curve(store, 1e5, batch) for batch in (64, 256, 1024, 4096, 16384)],
        "steps": [curve(store, n, 2048) for n in (1e3, 1e4, 1e5, 1e6)],
        "isoflop": list(profiles(store)),
        "shape": list(shapes(store)),
    }
    write_study(store, "all", [GroupRuns(name=name, purpose=name, runs=tuple(runs)) for name, runs in groups.items()])
    return store


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
        "batch": 5, "steps": 4, "isoflop": 21, "shape": 12
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
    assert skipped == {"steps": "L(N, S_min) needs B_crit(L)", "shape": "no finished runs"}
    assert analyse(store, compute="1e13 FLOP").skipped.items() >= skipped.items()
