"""The next runs from the command line: from a store, from nothing, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

from cli.called import Call
from isoflop.runs import RunStore
from isoflop.sweep.study import read_study

FEW = "--runs 5 --n-ctx 16 --n-vocab 256"


def test_the_next_runs_of_a_store_are_written_as_a_study(isoflop: Call, store: RunStore, tmp_path: Path) -> None:
    said = isoflop(
        f"design --store {store.url} --law chinchilla --budget 1e15 {FEW} --noise 0.01 --save {tmp_path / 'next.toml'}",
        "--target",
        "L_opt(1e17)",
    )
    assert said.code == 0, said.err
    assert "L_opt(1e17)" in said.out
    assert "fit to 12 runs" in said.out
    study = read_study(tmp_path / "next.toml")
    assert study.name == "next"
    assert 1 <= sum(len(group.asked) for group in study.groups) <= 5


def test_a_design_as_json_has_every_run_and_target(isoflop: Call) -> None:
    said = isoflop(f"design --law chinchilla-besiroglu --budget 1e18 {FEW} --target a --target alpha --json")
    record = json.loads(said.out)
    assert [aim["target"] for aim in record["aims"]] == ["a", "alpha"]
    assert sum(len(run["seeds"]) * run["flops"] for run in record["runs"]) <= 1e18
    assert record["warnings"]


def test_ranges_hold(isoflop: Call) -> None:
    ranges = "--params 1e6:2e7 --tokens 1e8:1e9 --tokens-per-param 5:100"
    said = isoflop(f"design --law chinchilla-besiroglu --budget 1e18 {FEW} {ranges} --target a --json")
    for run in json.loads(said.out)["runs"]:
        assert 0.97e6 < run["n_params"] < 2.1e7
        assert 0.99e8 < run["n_tokens"] < 1.01e9
        assert 4.9 < run["n_tokens"] / run["n_params"] < 101


def test_what_cannot_be_read_is_said(isoflop: Call) -> None:
    assert "is no range" in isoflop("design --budget 1e18 --target a --params small").err
    assert "both --fit and --store" in isoflop("design --budget 1e18 --target a --fit f.json --store runs").err
    assert "no target" in isoflop("design --budget 1e18 --target beat").err
