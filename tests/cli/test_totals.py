"""Runs that were recorded with all their parameters and no other N: each command takes them where it is told so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.called import Call
from isoflop.runs import Recorder, RunStore


@pytest.fixture
def totals(tmp_path: Path) -> str:
    store = RunStore(tmp_path / "totals")
    for n in (1e7, 3e7, 1e8, 3e8):
        for d in (1e9, 3e9, 1e10):
            with Recorder(store, {"n": n, "d": d}, counts={"n_params": n, "D": d}) as recorder:
                recorder.finish(loss=1.8 + 480 / n**0.35 + 2100 / d**0.37, tokens=d)
    return str(store.path)


@pytest.fixture
def others(isoflop: Call, totals: str, tmp_path: Path) -> str:
    assert isoflop(f"runs merge {tmp_path / 'others'} {totals}").code == 0
    return str(tmp_path / "others")


@pytest.mark.parametrize(
    "words", ["report {totals} -o {folder}/r.html", "compare {totals} {others}", "plan --compute 1e22 --store {totals}"]
)
def test_a_command_says_that_N_must_be_told_and_takes_it(
    isoflop: Call, totals: str, others: str, tmp_path: Path, words: str
) -> None:
    command = words.format(totals=totals, others=others, folder=tmp_path)
    refused = isoflop(command)
    assert refused.code == 1
    assert "--n-convention total" in refused.err
    assert isoflop(f"{command} --n-convention total").code == 0


def test_every_law_is_fitted_to_totals(isoflop: Call, totals: str) -> None:
    answer = json.loads(isoflop(f"fit {totals} --n-convention total --json").out)
    assert answer["best"] == "chinchilla"
    assert answer["plan"]["n_convention"] == "total"


def test_systems_of_totals_are_compared(isoflop: Call, totals: str, others: str) -> None:
    (compared,) = json.loads(isoflop(f"compare {totals} {others} --n-convention total --json").out)
    assert compared["gain"]["value"] == pytest.approx(1)


def test_figures_of_totals_are_drawn(isoflop: Call, totals: str, tmp_path: Path) -> None:
    words = f"report figures {totals} --only 1 -o {tmp_path / 'figures'}"
    assert "1.png" in isoflop(f"{words} --n-convention total").out
    (row,) = json.loads(isoflop(f"{words} --json").out)
    assert row["file"] is None
    assert all("--n-convention total" in why for why in row["lacks"].values())
