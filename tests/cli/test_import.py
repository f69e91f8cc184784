"""``isoflop runs import`` of files of others; exports are tested with the other verbs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.called import Call

SAID = "--n-convention non-embedding --loss-unit bits/token"


@pytest.fixture
def points(tmp_path: Path) -> Path:
    file = tmp_path / "points.csv"
    file.write_text("my params,tokens,bits,note\n1e6,1e8,6,a\n1e7,1e9,5,b\n")
    return file


def test_a_file_becomes_runs_that_other_verbs_list(isoflop: Call, points: Path, tmp_path: Path) -> None:
    store = tmp_path / "made"
    mapped = ["--map", "N=my params", "--map", "D=tokens", "--map", "loss=bits", "--map", "spec.note=note"]
    done = isoflop(f"runs import {store} {points} {SAID} --json", *mapped)
    assert json.loads(done.out) == {"runs": 2, "points": 0, "known": 0, "problems": []}
    rows = json.loads(isoflop(f"runs ls {store} --json", "--where", "note == 'b' and N > 1.5e6").out)
    assert [(row["N"], row["spec.note"]) for row in rows] == [(1e7, "b")]
    assert rows[0]["loss"] == pytest.approx(3.4657359)
    assert (
        "0 runs and 0 points came; 2 were there already" in isoflop(f"runs import {store} {points} {SAID}", *mapped).out
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--map loss=bits", "the unit of the losses is not said"),
        ("--map N=tokens --map loss=bits --loss-unit nats/token", "which parameters N counts is not said"),
        ("--map loss", "cannot read --map 'loss'"),
        ("", "no column is mapped"),
        ("--map loss=bit --loss-unit nats/token", "did you mean 'bits'?"),
    ],
)
def test_what_is_not_said_is_asked_for(options: str, message: str, isoflop: Call, points: Path, tmp_path: Path) -> None:
    done = isoflop(f"runs import {tmp_path / 'made'} {points} {options}")
    assert done.code != 0
    assert message in done.err
    assert "Traceback" not in done.err


def test_an_export_takes_no_map(isoflop: Call, tmp_path: Path) -> None:
    done = isoflop(f"runs import {tmp_path / 'made'} {tmp_path / 'runs.zip'} --map loss=bits")
    assert (done.code, "whose runs come as they are" in done.err) == (2, True)


def test_the_convention_of_a_file_is_its_column(isoflop: Call, points: Path) -> None:
    done = isoflop(f"fit {points} --law chinchilla --n-convention total")
    assert "--n-convention is of a store" in done.err
