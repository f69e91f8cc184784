"""The page says what the analysis says, needs no network, and shows names as text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isoflop.errors import StoreError
from isoflop.report.analysis import analyse
from isoflop.report.page import write_report
from isoflop.runs import RunStore


def test_the_page_holds_the_plan_the_laws_the_runs_and_the_figures(store: RunStore, tmp_path: Path) -> None:
    analysis = analyse(store, compute="1e13 FLOP")
    page = write_report(analysis, tmp_path / "report").read_text()
    assert f"N = {analysis.plan.n_params:.3g}" in page
    assert f"D = {analysis.plan.n_tokens:.3g}" in page
    assert all(law.fit.law.name in page for law in analysis.laws)
    assert all(run.id in page for run in store)
    assert "diverged" in page
    assert page.count("data:image/png;base64,") == 3
    assert len(list((tmp_path / "report").glob("*.png"))) == 3


def test_the_page_needs_no_network(store: RunStore, tmp_path: Path) -> None:
    page = write_report(analyse(store, compute="1e13 FLOP"), tmp_path).read_text()
    sources = re.findall(r"(?:src|href)=\"?([^\"> ]{0,10})", page)
    assert sources == ["data:image"] * 3
    assert "@import" not in page
    assert "<script" not in page


def test_a_hostile_store_name_is_shown_as_text(store: RunStore, tmp_path: Path) -> None:
    hostile = tmp_path / "<script>alert(1)<"
    store.path.rename(hostile)
    page = write_report(analyse(RunStore(hostile), compute="1e13 FLOP"), tmp_path / "report").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;" in page


def test_a_report_that_cannot_be_written_says_where(store: RunStore, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="blocked"):
        write_report(analyse(store, compute="1e13 FLOP"), blocked)
