"""A run store in a notebook."""

from __future__ import annotations

from pathlib import Path

from isoflop.runs import Recorder, RunStore


def test_a_store_shows_states_spans_and_the_last_runs(root: Path) -> None:
    text = RunStore(root / "examples" / "results" / "kaplan-mini", create=False)._repr_html_()
    assert "100 finished" in text
    assert "<td style='text-align:right;font-variant-numeric:tabular-nums'>888</td>" in text
    assert text.count("finished</td>") == 5
    assert "and 95 more" in text


def test_a_store_without_runs_says_so(tmp_path: Path) -> None:
    text = RunStore(tmp_path / "store")._repr_html_()
    assert "no runs" in text
    assert "<table>" not in text


def test_what_a_run_holds_is_shown_as_text(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "<b>store")
    with Recorder(store, {"name": "<script>"}) as recorder:
        recorder.log(1, tokens=10.0, loss=2.0)
    text = store._repr_html_()
    assert "<b>store" not in text
    assert "<script>" not in text
    assert recorder.id[:12] in text
