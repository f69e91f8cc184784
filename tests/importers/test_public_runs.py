"""Published runs as the documentation imports them: the laws that follow from the store are those of the file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import isoflop as iso
from cli.called import Call
from isoflop.runs import RunStore

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
PAGE = (ROOT / "docs" / "importing.md").read_text()
COMMANDS = {
    shlex.split(line)[3]: shlex.split(line.replace("\\\n", " "))[1:]
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in re.findall(r"^\$ (isoflop runs import (?:.*\\\n)*.*)$", block, re.MULTILINE)
}


def imported(isoflop: Call, store: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    """A store as the page makes it, in ``folder``."""
    words = COMMANDS[store]
    file = DATA / words[3].removeprefix("data/")
    if not file.exists():
        pytest.skip(f"public runs not found beside the checkout: shared/data/{words[3].removeprefix('data/')}")
    (folder / "data").symlink_to(DATA)
    monkeypatch.chdir(folder)
    done = isoflop("", *words)
    assert done.code == 0, done.err
    assert "note:" not in done.out
    return RunStore(folder / store)


def test_every_published_set_of_the_page_is_imported_here() -> None:
    assert set(COMMANDS) == {"runs/chinchilla", "runs/gadre", "runs/porian", "runs/steplaw", "runs/clark"}


def test_points_of_chinchilla_give_the_law_that_they_give_as_a_file(
    isoflop: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = imported(isoflop, "runs/chinchilla", tmp_path, monkeypatch)
    data = store.fit_data(n_convention="total")
    assert (data.n_runs, data.excluded) == (240, ())
    fit = iso.fit("chinchilla", data, objective=iso.Huber(1e-3, log=True))
    assert fit.params["alpha"] == pytest.approx(0.3473, abs=1e-3)  # Besiroglu 2024, table 1, to what the repeat allows
    assert fit.params["beta"] == pytest.approx(0.3672, abs=1e-3)
    shown = isoflop("fit runs/chinchilla --law chinchilla --n-convention total --objective huber:1e-3").out
    assert "240 runs" in shown


def test_gadre_has_both_counts_of_each_run(isoflop: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = imported(isoflop, "runs/gadre", tmp_path, monkeypatch)
    one, other = store.fit_data(), store.fit_data(n_convention="total")
    assert one.n_runs == other.n_runs > 30
    assert (one.columns["N"] < other.columns["N"]).all()
    assert set(store.table()["spec.dataset"].to_pylist()) == {"c4_original"}


def test_porian_keeps_one_budget_and_one_convention_apart(
    isoflop: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = imported(isoflop, "runs/porian", tmp_path, monkeypatch)
    data = store.fit_data()
    assert data.n_runs == 107
    assert np.allclose(data.columns["C"], 6 * data.columns["N"] * data.columns["D"], rtol=1e-6)


def test_step_law_has_the_rates_and_batches_of_its_runs(
    isoflop: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = imported(isoflop, "runs/steplaw", tmp_path, monkeypatch)
    table = store.table("lr < 1e-3 and batch_tokens >= 1e6")
    assert 0 < table.num_rows < len(store.ids())
    assert max(table["spec.lr"].to_pylist()) < 1e-3


def test_curves_of_clark_are_read_as_curves(isoflop: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = imported(isoflop, "runs/clark", tmp_path, monkeypatch)
    assert len(store.ids()) == 223
    points = store.points(["step", "val_loss"], where="spec.experts == 8")
    assert len(points) > 5
    first = points[0]
    assert first["val_loss"][0] > first["val_loss"][-1]
