"""Fits of stores and of files of runs, and plans from fits."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from cli.called import Call
from isoflop.runs import Recorder, RunStore


def test_a_fit_saved_and_planned_from_equals_the_fit_planned_from_the_store(
    isoflop: Call, store: RunStore, tmp_path: Path
) -> None:
    saved = tmp_path / "fit.json"
    assert "alpha" in isoflop(f"fit {store.path} --law chinchilla --save {saved}").out
    from_fit = json.loads(isoflop(f"plan --compute 1e15 --fit {saved} --json").out)
    from_store = json.loads(isoflop(f"plan --compute 1e15 --store {store.path} --json").out)
    assert from_fit == from_store
    assert from_fit["intervals"]["n_params"][0] <= from_fit["n_params"] <= from_fit["intervals"]["n_params"][1]


def test_fit_without_a_law_shows_all_of_them_and_the_plan(isoflop: Call, store: RunStore) -> None:
    answer = json.loads(isoflop(f"fit {store.path} --compute 1e15 --json").out)
    assert answer["best"] == "chinchilla"
    assert {"chinchilla", "kaplan", "power-n", "power-c"} <= {law["law"] for law in answer["laws"]}
    table = isoflop(f"fit {store.path} --compute 1e15").out
    assert "planned from chinchilla" in table
    assert "held out" in table


@pytest.fixture
def points(tmp_path: Path) -> Path:
    """A file of runs under other names, with a metric that rises."""
    lines = ["Model Size,FLOP,loss,acc"]
    for i, n in enumerate((1e6, 3e6, 1e7, 3e7, 1e8)):
        for k, d in enumerate((1e8, 1e9, 1e10, 1e11)):
            loss = (1.5 + 200 / n**0.4 + 900 / d**0.3) * (1 + 0.004 * math.sin(7 * i + 3 * k * k))
            lines.append(f"{n},{6 * n * d},{loss},{1 - loss / 10}")
    path = tmp_path / "points.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


COLUMNS = ("--column", "N=Model Size", "--column", "C=FLOP", "--column", "L=loss")


def test_a_file_of_runs_is_fitted_with_all_there_is_to_know(isoflop: Call, points: Path) -> None:
    asked = f"fit {points} --law chinchilla --objective huber:1e-3 --holdout D --rollout N --test chinchilla-hoffmann"
    shown = isoflop(asked, *COLUMNS)
    assert shown.code == 0
    for said in (
        "chinchilla: L = E + A/N**alpha + B/D**beta",
        "20 runs, Huber (delta 0.001) of log residuals, objective ",
        "24 starts agree",
        "95% of 1000 resamples",
        "4 runs of the largest N held out",
        "5 runs of the largest D held out",
        "note: D was not given: taken as C/(6 N)",
        "data: points.csv, sha256 ",
        "N up to",
        "chi^2(5) = ",
    ):
        assert said in shown.out, said
    answer = json.loads(isoflop(f"{asked} --json", *COLUMNS).out)
    assert answer["criterion"] == {"name": "huber", "delta": 1e-3, "log": True}
    assert answer["holdout"]["by"] == "D"
    assert [step["n_fitted"] for step in answer["rollout"]["steps"]] == [12, 16]
    assert answer["tests"][0]["df"] == 5


def test_restrictions_of_parameters_are_said_on_the_command_line(isoflop: Call, points: Path) -> None:
    asked = f"fit {points} --law chinchilla --fix E=1.5 --bound A=1:1e4 --tie alpha=beta"
    shown = isoflop(asked, *COLUMNS).out
    assert "restricted: E = 1.5 fixed, A in (1, 10000), alpha = beta" in shown
    own, named = (
        json.loads(isoflop(f"fit {points} --json", "--law", law, *COLUMNS).out)
        for law in ("L = E + P/N**p + Q/D**q", "chinchilla")
    )
    assert own["objective"] == pytest.approx(named["objective"], rel=1e-9)


def test_several_laws_are_compared(isoflop: Call, points: Path) -> None:
    asked = f"fit {points} --law chinchilla --law kaplan --law chinchilla-tied --holdout N"
    shown = isoflop(asked, *COLUMNS).out
    assert "held out by N" in shown
    assert "chinchilla-tied within chinchilla: likelihood ratio" in shown
    answer = json.loads(isoflop(f"{asked} --json", *COLUMNS).out)
    assert {law["law"] for law in answer["laws"]} == {"chinchilla", "kaplan", "chinchilla-tied"}


def test_several_targets_are_fitted_and_rising_ones_said(isoflop: Call, points: Path) -> None:
    asked = f"fit {points} --law chinchilla --target loss --target acc"
    shown = isoflop(asked, *COLUMNS).out
    assert "acc rises with scale and chinchilla falls: fitted as its error, 1 - acc" in shown
    answer = json.loads(isoflop(f"{asked} --json", *COLUMNS).out)
    assert set(answer["fits"]) == {"loss", "acc"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--objective hubr:1e-3", "did you mean 'huber'?"),
        ("--objective huber:small", "'small' in 'huber:small' is no number"),
        ("--objective lad:3", "lad takes no number"),
        ("--law L=E+A/N**", "cannot read"),
        ("--law L=E+A/x**alpha", "has no input among"),
        ("--law chinchila", "did you mean 'chinchilla'?"),
        ("--fix E", "cannot read 'E'"),
        ("--fix E=low", "'low' is no number"),
        ("--bound E=2", "'2' is no interval"),
        ("--column L=lass", "did you mean 'loss'?"),
        ("--holdout L", "cannot hold out by 'L'"),
        ("--test hoffman", "unknown preset 'hoffman'"),
        ("--law chinchilla --law kaplan --fix E=1", "these options are for one law"),
        ("--weights acc --sigma los", "sigma: the data have no column 'los'"),
    ],
)
def test_a_wrong_word_to_fit_is_named(isoflop: Call, points: Path, words: str, said: str) -> None:
    called = isoflop(f"fit {points} --json", *COLUMNS, *words.split())
    assert (called.code, called.out) in ((1, ""), (2, ""))
    assert said in called.err


def test_a_check_that_cannot_be_made_leaves_nothing(isoflop: Call, points: Path, tmp_path: Path) -> None:
    saved = tmp_path / "fit.json"
    called = isoflop(f"fit {points} --law chinchilla --holdout width --save {saved}", *COLUMNS)
    assert (called.code, called.out, saved.exists()) == (1, "", False)
    assert "cannot hold out by 'width'" in called.err


def test_targets_are_columns_of_a_file_and_a_store_has_none(isoflop: Call, store: RunStore) -> None:
    called = isoflop(f"fit {store.path} --law chinchilla --target acc")
    assert (called.code, called.out) == (1, "")
    assert "--target names columns of a file; the run store" in called.err
    assert "isoflop fit points.csv" in called.err


def test_a_file_that_is_no_table_of_runs_is_refused(isoflop: Call, tmp_path: Path) -> None:
    (tmp_path / "runs.txt").write_text("N D L\n")
    called = isoflop(f"fit {tmp_path / 'runs.txt'}")
    assert called.code == 1
    assert "a run store, or a file .csv, .jsonl, .parquet" in called.err


def test_a_bad_value_in_a_file_is_named_by_row(isoflop: Call, points: Path) -> None:
    lines = points.read_text().splitlines()
    for bad, said in (("1e6,6e15,-3.1,0.5", "column 'L', row 4: -3.1"), (lines[1], "rows 0 and 4 are the same run")):
        points.write_text("\n".join([*lines[:5], bad, *lines[6:]]) + "\n")
        called = isoflop(f"fit {points} --law chinchilla", *COLUMNS)
        assert called.code == 1
        assert said in called.err


def test_a_fit_too_small_to_hold_runs_out_still_prints_and_says_so(isoflop: Call, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "few")
    for n in (1e3, 1e4, 1e5):
        with Recorder(store, {"n": n}, counts={"N": n, "D": 1e6, "C": 6e6 * n}) as rec:
            rec.finish(loss=10 / n**0.1 * (1 + 0.01 * math.sin(n)), tokens=1e6)
    called = isoflop(f"fit {store.path} --law power-n")
    assert called.code == 0
    assert "alpha" in called.out
    assert "not checked on held-out runs: power-n has 2 parameters" in called.out
