"""Runs at several batch sizes, recorded, give back the critical batch size that they were made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import FitError
from isoflop.fitting.batch_scan import critical_batch
from isoflop.runs import Recorder, RunStore, batch_scan


def record(
    store: RunStore, batch: int, *, b_star: float, alpha: float, width: int = 8, rate: float = 1.0, worse: float = 0.0
) -> None:
    """A curve L = (100/S_min)**0.3 + ``worse``, with S = S_min (1 + B_crit(L)/B)."""
    spec = {"shape": {"d_model": width}, "batch_tokens": batch, "seed": 0, "learning_rate": rate}
    with Recorder(store, spec) as recorder:
        for floor in np.geomspace(100, 3000, 40):
            loss = 4.0 * (100 / floor) ** 0.3 + worse
            steps = floor * (1 + b_star / loss ** (1 / alpha) / batch)
            recorder.log(round(steps * 1000) / 1000, loss=9.0, val_loss=loss)
        recorder.finish(loss=loss)


def test_a_recorded_batch_scan_gives_back_its_critical_batch(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for batch in (64, 256, 1024, 4096, 16384):
        record(store, batch, b_star=8000.0, alpha=0.5)
    found = critical_batch(*batch_scan(store), [3.5, 2.8, 2.2, 1.8])
    assert found.B_star == pytest.approx(8000.0, rel=0.02)
    assert found.alpha_B == pytest.approx(0.5, rel=0.02)


def test_each_batch_of_a_scan_has_the_rate_that_suits_it(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for batch in (64, 256, 1024, 4096, 16384):
        record(store, batch, b_star=8000.0, alpha=0.5)
        record(store, batch, b_star=8000.0, alpha=0.5, rate=3.0, worse=0.3 * batch**-0.1)
    columns, runs = batch_scan(store)
    assert len(set(runs.tolist())) == 5
    assert critical_batch(columns, runs, [3.5, 2.8, 2.2, 1.8]).B_star == pytest.approx(8000.0, rel=0.02)


def test_a_scan_is_of_one_shape_and_of_a_column_that_is_there(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for width in (8, 16):
        record(store, 64, b_star=100.0, alpha=0.5, width=width)
    with pytest.raises(FitError, match=r"2 finished runs of 2 shapes; .*\n.*picks one"):
        batch_scan(store)
    columns, runs = batch_scan(store, shape={"d_model": 16})
    assert {len(values) for values in columns.values()} == {40} == {len(runs)}
    assert (columns["B"] == 64).all()
    with pytest.raises(FitError, match=r"has no column 'bits'\n.*step, loss, val_loss"):
        batch_scan(store, loss="bits", shape={"d_model": 16})
    with pytest.raises(FitError, match="0 finished runs of 0 shapes"):
        batch_scan(store, seed=1)
