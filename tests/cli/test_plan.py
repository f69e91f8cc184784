"""What ``isoflop plan`` answers besides N, D and L."""

from __future__ import annotations

import json

import pytest

from cli.called import Call
from isoflop.shape import Shape


def test_a_plan_names_a_concrete_shape(isoflop: Call) -> None:
    asked = "plan --compute 1e22 --shape --vocab 32000 --ctx 4096 --field activation=swiglu --field bias=false"
    record = json.loads(isoflop(f"{asked} --device h100-sxm --count 64 --json").out)
    shape = Shape.from_dict(record["shape"]["shape"])
    assert (shape.n_vocab, shape.n_ctx, shape.activation, shape.bias) == (32_000, 4096, "swiglu", False)
    assert shape.n_params == pytest.approx(record["n_params"], rel=0.01)
    assert record["shape"]["sequences"] >= 1
    assert f"n_layer {shape.n_layer}, d_model {shape.d_model}" in isoflop(asked).out


def test_a_convention_of_no_name_is_refused_by_name(isoflop: Call) -> None:
    called = isoflop("plan --compute 1e22 --shape --convention palmm")
    assert called.code == 2
    assert "did you mean 'palm'?" in called.err


def test_a_loss_a_size_or_tokens_are_settled(isoflop: Call) -> None:
    least = json.loads(isoflop("plan --loss 2.1 --json").out)
    longer = json.loads(isoflop(f"plan --loss 2.1 --params {least['n_params'] / 2} --json").out)
    assert longer["compute"] > least["compute"]
    assert longer["least_compute"] == pytest.approx(least["compute"])
    assert "above the least compute" in isoflop("plan --compute 1e22 --tokens 1e12").out
    below = isoflop("plan --loss 1.5")
    assert below.code != 0
    assert "the law falls towards 1.817" in below.err
    assert "no budget and nothing to reach" in isoflop("plan").err
    assert "n_layer" in isoflop("plan --loss 2.1 --shape").out


def test_days_take_devices_and_compute_and_both_are_billed(isoflop: Call) -> None:
    record = json.loads(isoflop("plan --compute 1e23 --device h100-sxm --mfu 0.4 --days 30 --json").out)
    assert record["pace"]["days"] <= 30
    assert record["bill"]["count"] == record["pace"]["count"] > 1
    assert record["bill"]["days"] == pytest.approx(record["pace"]["days"])
    assert record["bill"]["compute"] > record["compute"]
    assert "how well" in isoflop("plan --compute 1e23 --days 30").err
    assert "days is the least" in isoflop("plan --compute 1e27 --device h100-sxm --mfu 0.4 --days 1").err


def test_the_page_of_a_plan_has_a_table_its_law_and_its_warnings(isoflop: Call) -> None:
    page = isoflop("plan --compute 1e24 --law kaplan-table2").out
    assert "value" in page
    assert "exponent of N in C" in page
    assert "kaplan-table2: Kaplan 2020" in page
    assert page.count("warning: ") >= 3
