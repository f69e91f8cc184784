"""The page says what the analysis says, asks nothing of a network, and shows names as text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import StoreError
from isoflop.report.analysis import analyse
from isoflop.report.page import write_page, write_report
from isoflop.report.page.embedded import to_script
from isoflop.runs import Recorder, RunStore
from report.made import HOSTILE, record_finished


def test_the_page_holds_the_plan_the_laws_the_runs_and_what_is_wrong_with_them(store: RunStore, tmp_path: Path) -> None:
    analysis = analyse(store, compute="1e13 FLOP")
    page = write_page(analysis, tmp_path / "report.html").read_text()
    assert f"expect a loss of {analysis.plan.loss:.3g}" in page
    for law in analysis.laws:
        assert law.fit.law.name in page
        assert all(f"{name} = {value:.3g} [" in page for name, value in law.fit.params.items())
        assert law.holdout is None or f"{law.holdout.mean_absolute_relative_error:.1%} by" in page
    assert all(run.id in page for run in store)
    assert re.search(r">run \w+: diverged", page)
    assert analysis.data.fingerprint() in page


def test_a_folder_gets_the_figures_too(store: RunStore, tmp_path: Path) -> None:
    page = write_report(analyse(store, compute="1e13 FLOP"), tmp_path / "report")
    assert page == tmp_path / "report" / "report.html"
    assert len(list((tmp_path / "report").glob("*.png"))) == 3


def test_the_page_names_no_other_address(store: RunStore, tmp_path: Path) -> None:
    page = write_page(analyse(store, compute="1e13 FLOP"), tmp_path / "report.html").read_text()
    assert set(re.findall(r"""(?:src|href|action)=["']?([^"'> ]{0,12})""", page)) == {
        "#main", "#summary", "#planner", "#figures", "#laws", "#quality", "#runs", "#reproduce", "data:,",
    }  # fmt: skip
    assert "default-src 'none'" in page
    assert "connect-src 'none'" in page


def test_json_in_a_script_neither_ends_it_nor_begins_a_comment() -> None:
    text = to_script({"name": HOSTILE + "\u2028 & ]]>"})
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == {"name": HOSTILE + "\u2028 & ]]>"}


def test_hostile_names_are_text(store: RunStore, tmp_path: Path) -> None:
    record_finished(store, 2e3, 2e5, np.random.default_rng(1), name=HOSTILE)
    with pytest.raises(ValueError, match="alert"), Recorder(store, {"name": "broken"}):
        raise ValueError(HOSTILE)
    hostile = tmp_path / "<script>alert(1)<"
    store.path.rename(hostile)
    page = write_page(analyse(RunStore(hostile), compute="1e13 FLOP"), tmp_path / "report.html").read_text()
    assert page.count("<script") == 7  # the page's own
    assert "<img" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 4  # store, run, error, commands


def test_a_page_that_cannot_be_written_says_where(store: RunStore, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="blocked"):
        write_report(analyse(store, compute="1e13 FLOP"), blocked)
