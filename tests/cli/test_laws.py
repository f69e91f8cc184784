"""Published laws and sets, and plans from them."""

from __future__ import annotations

import json

import pytest

from cli.called import Call


def test_plan_from_a_published_set_names_it_and_its_source(isoflop: Call) -> None:
    called = isoflop("plan --law chinchilla-besiroglu --compute", "5.76e23 FLOP")
    assert "7.236e+10" in called.out
    assert "arXiv 2404.10102" in called.out


def test_laws_are_listed_with_formula_and_source(isoflop: Call) -> None:
    listed = isoflop("laws")
    assert listed.code == 0
    for word in ("chinchilla", "muennighoff", "multi-power", "Hoffmann 2022"):
        assert word in listed.out
    rows = {row["name"]: row for row in json.loads(isoflop("laws --json").out)}
    assert rows["chinchilla"]["formula"] == "L = E + A/N**alpha + B/D**beta"
    assert "chinchilla-besiroglu" in rows["chinchilla"]["sets"]


def test_a_law_is_shown_with_its_meaning_constants_intervals_and_source(isoflop: Call) -> None:
    shown = isoflop("laws show chinchilla").out
    for word in ("E + A/N**alpha + B/D**beta", "no amount of scale removes", "0.34781303", "285.214 to 743.626"):
        assert word in shown
    assert "[not verified]" in isoflop("laws show batch-d").out
    sheet = json.loads(isoflop("laws show kaplan-table2 --json").out)
    assert sheet["law"]["name"] == "kaplan"
    assert sheet["sets"][0]["values"]["D_c"] == 1.8e13
    assert sheet["sets"][0]["verified"] is True


@pytest.mark.parametrize("name", ["kaplan-table6", "porian-refinedweb-tuned", "multi-power", "clark"])
def test_sets_of_every_kind_are_shown(isoflop: Call, name: str) -> None:
    assert isoflop(f"laws show {name}").code == 0
    assert json.loads(isoflop(f"laws show {name} --json").out)["sets"]


def test_a_law_that_is_not_there_names_the_nearest(isoflop: Call) -> None:
    missing = isoflop("laws show chinchila")
    assert missing.code == 2
    assert "did you mean 'chinchilla'?" in missing.err


def test_an_unreadable_budget_exits_2_and_says_how_to_write_it(isoflop: Call) -> None:
    called = isoflop("plan --compute", "many FLOPs")
    assert (called.code, called.out) == (2, "")
    assert "hint: write FLOPs or PF-days" in called.err


def test_an_unknown_published_set_names_the_nearest(isoflop: Call) -> None:
    called = isoflop("plan --compute 1e24 --law chinchilla-besiroglou")
    assert called.code == 2
    assert "did you mean 'chinchilla-besiroglu'?" in called.err
