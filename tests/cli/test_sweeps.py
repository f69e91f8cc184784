"""Sweeps from the command line: what one would take, who makes it, what it saved, and how it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.called import Call
from isoflop.runs import RunStore

STUDY = """
corpus = "{text}"
shapes = [{{ n_layer = 1, d_model = [4, 8], n_head = 1, n_ctx = 8, n_vocab = 256 }}]
tokens = [6400]
[train]
learning_rate = 0.01
batch_tokens = 8
allow_repeats = true
schedule = "constant"
evaluations = 20
early_stop = {early_stop}
[workers]
watts = 100
price = 2
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 100)
    file = tmp_path / "study.toml"
    file.write_text(STUDY.format(text=tmp_path / "text.txt", early_stop=0.0))
    return file


def test_a_dry_run_says_hours_joules_and_cost(isoflop: Call, study: Path) -> None:
    forecast = json.loads(isoflop(f"sweep {study} --store {study.parent / 'store'} --workers 2 --dry-run --json").out)
    assert forecast["runs"] == forecast["to_make"] == 2
    assert forecast["joules"] == pytest.approx(forecast["busy_hours"] * 3600 * 100)
    assert forecast["cost"] == pytest.approx(forecast["hours"] * 2 * 2)
    assert forecast["hours"] <= forecast["busy_hours"] <= 2 * forecast["hours"]
    assert not (study.parent / "store").exists()
    words = isoflop(f"sweep {study} --store {study.parent / 'store'} --workers 2 --dry-run").out
    assert re.search(r"2 at a time; \S+ J; costs \d+\.\d\d", words)


def test_a_sweep_says_what_foreseen_runs_saved_and_a_look_at_it_counts_them(isoflop: Call, study: Path) -> None:
    study.write_text(STUDY.format(text=study.parent / "text.txt", early_stop=5.0))
    store = study.parent / "store"
    called = isoflop(f"sweep {study} --store {store} --workers 1 --hours 1")
    assert called.code == 0
    assert re.search(r"\d FLOP were saved by runs whose end was foreseen", called.err)
    for record in RunStore(store):
        assert record.result is not None
        assert record.result["stopped_at"] < 800
    assert "2 finished" in isoflop(f"runs watch {store}").out
    assert json.loads(isoflop(f"runs watch {store} --json").out)["states"] == {"finished": 2}


def test_an_executor_and_its_options_are_refused_by_name(isoflop: Call, study: Path) -> None:
    unknown = isoflop(f"sweep {study} --executor slrum")
    assert unknown.code == 2
    assert "did you mean 'slurm'?" in unknown.err
    assert "must be NAME=VALUE" in isoflop(f"sweep {study} --executor ray --option num_gpus").err
