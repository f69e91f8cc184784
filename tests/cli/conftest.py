"""The command line called in this process, and what it is called on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.called import Call, Called
from isoflop import cli
from isoflop.runs import Recorder, RunStore


@pytest.fixture
def isoflop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in this process."""

    def call(words: str, *more: str) -> Called:
        monkeypatch.setattr(sys, "argv", ["isoflop", *words.split(), *more])
        with pytest.raises(SystemExit) as ended:
            sys.exit(cli.main())
        captured = capsys.readouterr()
        return Called(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    made = RunStore(tmp_path / "store")
    for n in (1e3, 1e4, 1e5, 1e6):
        for d in (1e6, 1e7, 1e8):
            loss = 1.5 + 20 / n**0.4 + 90 / d**0.3
            with Recorder(made, {"n": n, "d": d}, counts={"N": n, "D": d, "C": 6 * n * d}) as rec:
                rec.log(1, tokens=d, loss=loss)
                rec.finish(loss=loss, tokens=d)
    return made
