"""Advice on a run from the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from cli.called import Call
from isoflop.fitting import LeastSquares, fit
from isoflop.runs import RunStore


def test_stop_says_what_more_compute_buys_and_names_its_laws(isoflop: Call) -> None:
    shown = isoflop("advise stop --params 1e9 --tokens 2e12 --batch 1e6").out
    assert "one PF-day more" in shown
    assert "Besiroglu 2024" in shown
    assert "Kaplan 2020 (arXiv 2001.08361), eq 4.4" in shown
    record = json.loads(isoflop("advise stop --params 1e9 --tokens 2e12 --unique 1e9 --json").out)
    assert record["continuing"]["ratio"] < 1
    assert record["overfitting"]["overfits"] is True


def test_the_end_of_a_curve_is_foreseen(isoflop: Call, tmp_path: Path) -> None:
    points = "\n".join(f"{step},{2.0 + 9.0 * step**-0.5}" for step in range(100, 5001, 50))
    (tmp_path / "curve.csv").write_text(f"step,loss\n{points}\n")
    words = f"advise stop --params 1e8 --tokens 2e9 --curve {tmp_path / 'curve.csv'} --schedule constant"
    record = json.loads(isoflop(f"{words} --steps 10000 --json").out)["continuing"]
    assert abs(record["final"]["value"] - 2.09) < 0.01
    assert record["measured_slope"][0] > 0
    refused = isoflop(words)
    assert refused.code == 2
    assert "--steps 20000" in refused.err


def test_rates_stand_side_by_side_with_a_trunk_for_several_lengths(isoflop: Call) -> None:
    words = "advise rates --params 1e9 --tokens 1e10 --tokens 4e10 --noise-scale 1e6"
    shown = isoflop(words).out
    for rule in ("Kaplan", "Step Law", "DeepSeek", "Porian", "MiniCPM"):
        assert rule in shown
    assert "saved" in shown
    record = json.loads(isoflop(f"{words} --json").out)
    assert record["n_tokens"] == 4e10
    assert record["schedule"]["n_tokens"] == [1e10, 4e10]
    assert isoflop("advise rates --params -1 --tokens 1e10").code == 2


def test_a_score_is_foreseen_from_a_set_or_from_saved_fits(isoflop: Call, store: RunStore, tmp_path: Path) -> None:
    record = json.loads(isoflop("advise downstream --params 1.4e9 --tokens 2.8e10 --json").out)
    assert 0.4 < record["score"] < 0.8
    assert record["link"] == "gadre-error-c4"
    assert isoflop(f"fit {store.path} --law chinchilla --save {tmp_path / 'fit.json'}").code == 0
    shown = isoflop(f"advise downstream --params 1e5 --tokens 1e8 --loss-law {tmp_path / 'fit.json'}").out
    assert "fit to 12 runs" in shown


def test_emergence_reads_a_file_of_scores(isoflop: Call, tmp_path: Path) -> None:
    rows = [(10**e, 1.5 * 10 ** (-0.1 * (e - 7))) for e in (7, 7.5, 8, 8.5, 9, 9.5, 10, 10.5, 11)]
    lines = [
        f"{c},{loss * (1 + 0.003 * (-1) ** i)},{round(1000 * math.exp(-5 * loss))},1000"
        for i, (c, loss) in enumerate(rows)
    ]
    (tmp_path / "scores.csv").write_text("\n".join(["C,loss,hits,items", *lines]))
    assert "explained by its metric" in isoflop(f"advise emergence {tmp_path / 'scores.csv'} --column scale=C").out
    refused = isoflop(f"advise emergence {tmp_path / 'scores.csv'}")
    assert refused.code == 2
    assert "--column scale=NAME" in refused.err


def test_questions_of_other_domains_are_answered_and_name_their_source(isoflop: Call) -> None:
    for asked, key, value, source in (
        ("vocabulary --params 7e10 --width 8192", "n_vocab", 216_000, "Tao 2024"),
        ("transfer --params 1e8 --data 1e6", "multiplier", 251.5, "Hernandez 2021"),
        ("reward --alpha 0.7 --beta 0.1", "kl", 12.25, "Gao 2022"),
        ("curve --law zhai-fine-tune --compute 99.99", "value", 0.14188, "Zhai 2021"),
    ):
        assert json.loads(isoflop(f"advise {asked} --json").out)[key] == pytest.approx(value, rel=1e-3)
        assert source in isoflop(f"advise {asked}").out
    assert "--alpha and --beta, or --fit" in isoflop("advise reward").err


def test_a_saved_fit_says_where_a_reward_model_is_over_optimised(isoflop: Call, tmp_path: Path) -> None:
    d = np.linspace(0.5, 6, 24)
    rewards = d * (0.7 - 0.1 * d) + 0.001 * np.random.default_rng(0).standard_normal(d.size)
    saved = tmp_path / "rewards.json"
    fit("gao-bon", {"d": d, "R": rewards}, objective=LeastSquares(log=False)).save(saved)
    found = json.loads(isoflop(f"advise reward --fit {saved} --json").out)
    assert found["intervals"]["kl"][0] < 12.25 < found["intervals"]["kl"][1]
