"""The committed study: whole, of the file beside it, and saying what the page on it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isoflop.report.analysis import Analysis, analyse
from isoflop.runs import RunStore, read_studies, verify
from isoflop.sweep.study import read_study
from isoflop.train.spec import TrainSpec

ROOT = Path(__file__).parents[1]
STORE = ROOT / "examples" / "results" / "kaplan-mini"


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(RunStore(STORE, create=False), compute="1e15 FLOP")


def test_its_runs_are_those_of_the_file_beside_it() -> None:
    study = read_study(ROOT / "examples" / "kaplan_mini.toml")
    store = RunStore(STORE, create=False)
    kept = {group.name: group for group in read_studies(store)[study.name].groups}
    assert list(kept) == [group.name for group in study.groups]
    for group in study.groups:
        runs = [record for record in store if record.id in kept[group.name].runs]
        wanted = len(group.tokens) + len(group.budgets)
        train = group.train
        assert len(runs) == len(group.shapes) * wanted * len(train.batch_scan) * len(train.seeds)
        assert kept[group.name].purpose == group.purpose
        specs = [TrainSpec.from_dict(record.spec) for record in runs]
        assert {spec.shape for spec in specs} == set(group.shapes)
        assert {spec.schedule for spec in specs} == {train.schedule}
        assert {spec.seed for spec in specs} == set(train.seeds)
    assert store.summary() == {"finished": 100}


def test_nothing_is_wrong_with_it_and_it_is_small() -> None:
    assert verify(RunStore(STORE, create=False)) == []
    assert sum(path.stat().st_size for path in STORE.rglob("*") if path.is_file()) < 500_000


def test_the_page_says_what_the_runs_say(analysis: Analysis) -> None:
    """Every ``name = value [low, high]`` of the table is that of the fit of its row, to the digits printed."""
    laws = {(law.fit.law.name, law.runs): law.fit for law in analysis.laws}
    told: dict[str, dict[str, tuple[float, float, float]]] = {
        name: {each: (fit.params[each], *fit.interval(each)) for each in fit.params}
        for name, fit in {
            "L(N, D)": laws["kaplan", "all"],
            "L(N) at": laws["power-n", "largest D"],
            "L(D) at": laws["power-d", "largest N"],
            "L(C)": laws["power-c", "frontier"],
        }.items()
    }
    by_purpose = {finding.purpose: dict(finding.values) for finding in analysis.findings}
    told |= {
        "B_crit": by_purpose["batch"],
        "L(N, S_min)": by_purpose["steps"],
        "N*(C)": by_purpose["isoflop"],
        "shapes": by_purpose["shape"],
    }
    page = (ROOT / "docs" / "kaplan-mini.md").read_text()
    checked = 0
    for start, values in told.items():
        [row] = [line for line in page.splitlines() if line.startswith(f"| {start}")]
        for name, *numbers in re.findall(r"([a-zA-Z_ ]+) = ([\d.]+) \[([\d.]+), ([\d.]+)\]", row):
            assert [f"{number:.3g}" for number in values[name.strip()]] == numbers, (start, name)
            checked += 1
    assert checked == 10
