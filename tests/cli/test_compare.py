"""Two systems from files, from one file with a column, and from stores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from cli.called import Call
from isoflop.runs import RunStore


def write(path: Path, system: str, rho: float, *, mode: str = "w") -> Path:
    with path.open(mode, newline="") as file:
        rows = csv.writer(file)
        if mode == "w":
            rows.writerow(["optimizer", "N", "D", "loss"])
        for n in (1e7, 3e7, 1e8, 3e8, 1e9):
            for ratio in (5, 20, 80):
                d = n * ratio
                rows.writerow([system, n, d, 1.7 + 400 / n**0.34 + 1500 / (rho * d) ** 0.37 + 1e-4 * (ratio == 20)])
    return path


def test_files_or_a_column_of_one_file_give_the_same_gain(isoflop: Call, tmp_path: Path) -> None:
    adamw, muon = write(tmp_path / "adamw.csv", "adamw", 1.0), write(tmp_path / "muon.csv", "muon", 1.5)
    both = write(write(tmp_path / "both.csv", "adamw", 1.0), "muon", 1.5, mode="a")
    shown = isoflop(f"compare {adamw} {muon} --column L=loss")
    assert shown.code == 0
    assert "muon needs 1.5x" in shown.out
    assert "less compute than adamw" in shown.out
    (first,) = json.loads(isoflop(f"compare {adamw} {muon} --column L=loss --json").out)
    (second,) = json.loads(isoflop(f"compare {both} --by optimizer --column L=loss --json").out)
    assert first["gain"] == second["gain"]
    (turned,) = json.loads(isoflop(f"compare {both} --by optimizer --baseline muon --column L=loss --json").out)
    assert turned["gain"]["value"] < 1


def test_a_store_beside_itself_gains_nothing(isoflop: Call, store: RunStore, tmp_path: Path) -> None:
    assert isoflop(f"runs merge {tmp_path / 'copy'} {store.path}").code == 0
    (found,) = json.loads(isoflop(f"compare {store.path} {tmp_path / 'copy'} --json").out)
    assert abs(found["gain"]["value"] - 1) < 1e-6


def test_one_set_of_runs_without_a_column_is_refused(isoflop: Call, tmp_path: Path) -> None:
    called = isoflop(f"compare {write(tmp_path / 'adamw.csv', 'adamw', 1.0)}")
    assert called.code == 1
    assert "--by optimizer" in called.err
