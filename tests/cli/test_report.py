"""The page is what ``report`` makes unless figures are asked for; a table says which were drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.called import Call
from isoflop.runs import RunStore


def test_report_of_a_store_is_its_page(isoflop: Call, store: RunStore, tmp_path: Path) -> None:
    called = isoflop(f"report {store.path} -o {tmp_path / 'page'} --compute 1e13 --json")
    assert called.code == 0
    assert json.loads(called.out)["report"] == str(tmp_path / "page" / "report.html")


def test_figures_are_written_and_the_others_say_what_they_lack(isoflop: Call, store: RunStore, tmp_path: Path) -> None:
    called = isoflop(f"report figures {store.path} --only 9,20 --format svg -o {tmp_path} --json")
    assert called.code == 0
    nine, twenty = json.loads(called.out)
    assert nine["file"] == str(tmp_path / "9.svg")
    assert twenty["file"] is None
    assert [path.name for path in tmp_path.glob("*.svg")] == ["9.svg"]
    table = isoflop(f"report figures {store.path} --only 9,20 -o {tmp_path}").out
    assert "not drawn: no run measured its loss by place" in " ".join(table.split())
    assert (tmp_path / "9.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "said"),
    [("--only 25", "there is no figure '25'"), ("--format gif", "one of png, svg, pdf")],
)
def test_what_cannot_be_drawn_at_all_is_refused(isoflop: Call, store: RunStore, words: str, said: str) -> None:
    called = isoflop(f"report figures {store.path} {words}")
    assert called.code == 2
    assert said in called.err
    assert not (store.path / "figures").exists()


def test_the_roofline_is_of_a_named_device_or_of_a_benchmark(isoflop: Call, store: RunStore, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed: isoflop[train] brings it")
    (bench,) = (Path(__file__).parents[2] / "bench" / "results").glob("nvidia-h100*.json")
    for words in ("--device h100-sxm", f"--bench {bench}"):
        called = isoflop(f"report figures {store.path} --only roofline -o {tmp_path} {words} --json")
        assert json.loads(called.out)[0]["lacks"] == {}
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    called = isoflop(f"report figures {store.path} --only roofline --bench {wrong}")
    assert called.code != 0
    assert "is no JSON of isoflop bench" in called.err
