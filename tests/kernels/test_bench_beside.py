"""Fits and counts beside other tools: what each is measured by, and what is said of those that are not there."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np

from isoflop.benchmark import beside, counters, fitters
from isoflop.benchmark.beside import Tool
from isoflop.benchmark.budget import Budget

TINY = counters.Sizes(n_layer=2, d_model=16, n_head=2, n_vocab=11, seq=8)


def silent(_: str) -> None:
    """What a benchmark says of its progress, to nobody."""


def test_our_counts_and_those_of_torch_on_meta_tensors_are_all_products_of_matrices() -> None:
    reached = {(tool.package, tool.how): tool.run() for tool in beside.counts(TINY) if beside.installed(tool.package)}
    assert {how: found for (package, how), found in reached.items() if package == "isoflop"} == {
        "from the shape": 1.0,
        "trace, on meta tensors": 1.0,
        "trace, as it runs": 1.0,
    }
    assert reached["torch", "FlopCounterMode, on meta tensors"] == 1.0


def test_the_products_of_gpt2_small_are_those_of_its_matrices() -> None:
    assert counters.products(counters.GPT2) == 1024 * (12 * (24 * 768**2 + 4 * 1024 * 768) + 2 * 768 * 50257)


def test_no_fit_reaches_less_than_ours_and_that_of_scipy_comes_near() -> None:
    data = fitters.points()
    ours, theirs = (fitters.huber_sum(data, by(data)[1]) for by in (fitters.by_isoflop, fitters.by_scipy))
    assert ours <= theirs * (1 + 1e-9)
    assert theirs == pytest.approx(ours, rel=1e-3)


def test_the_huber_sum_is_a_parabola_within_delta_and_a_line_beyond() -> None:
    loss = np.exp(np.array([0.5, -3.0]) * fitters.DELTA)
    data = {"N": np.ones(2), "D": np.ones(2), "L": loss}
    expected = fitters.DELTA**2 * (0.5**2 / 2 + (3.0 - 0.5))
    assert fitters.huber_sum(data, lambda n, d: np.ones_like(n)) == pytest.approx(expected)


def test_tools_take_turns_and_one_that_is_slow_has_but_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "LONG", 0.05)
    calls: list[str] = []

    def run(name: str, seconds: float = 0.0) -> float:
        calls.append(name)
        beside.time.sleep(seconds)
        return 0.5

    made = beside.beside(
        Budget(60),
        silent,
        {
            "task": lambda: [
                Tool("numpy", "quick", lambda: run("quick", 0.02)),
                Tool("torch", "slow", lambda: run("slow", 0.1)),
            ]
        },
    )
    assert [(each.task, each.package, each.how, each.turns, each.reached) for each in made] == [
        ("task", "numpy", "quick", 1 + beside.TURNS, 0.5),
        ("task", "torch", "slow", 1, 0.5),
    ]
    assert calls[:2] == ["quick", "slow"]
    assert made[1].seconds == made[1].first >= 0.1
    assert made[0].version == np.__version__


def test_what_is_not_installed_fails_or_has_no_time_is_named_and_the_rest_is_kept() -> None:
    def fails() -> float:
        raise ValueError("no such law\nand more")

    tools = [
        Tool("no-such-package", "at all", fails),
        Tool("numpy", "badly", fails),
        Tool("numpy", "well", lambda: 1.0),
    ]
    budget = Budget(60)
    made = beside.beside(budget, silent, {"task": lambda: tools})
    assert [each.how for each in made] == ["well"]
    assert [(each.what, each.why) for each in budget.skipped] == [
        ("task: no-such-package, at all", "no-such-package is not installed"),
        ("task: numpy, badly", "failed: ValueError: no such law"),
    ]
    spent = Budget(-1)
    assert beside.beside(spent, silent, {"task": lambda: tools[2:]}) == []
    assert [each.why for each in spent.skipped] == ["no time left"]
