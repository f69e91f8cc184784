"""Kinds of sweep: axes in step, profiles, draws, lists, and Kaplan's programme, each exactly the runs it says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isoflop import Shape
from isoflop.data import Corpus, Stream
from isoflop.errors import ShapeError, SpecError
from isoflop.sweep.resolve import resolve_groups
from isoflop.sweep.settings import TrainSettings
from isoflop.sweep.study import parse_study
from isoflop.train.spec import TrainSpec, flops_per_token

COMMON: dict[str, Any] = {"n_ctx": 16, "n_vocab": 256}
SHAPES: dict[str, Any] = {"shapes": [{"n_layer": 1, "d_model": [8, 16, 32], "n_head": 1}]}


def groups(**values: Any) -> dict[str, list[TrainSpec]]:
    train, held_out = (Stream(np.zeros(n, np.uint16), np.array([0, n])) for n in (10**8, 10**4))
    corpus = Corpus("zeros", "fingerprint", 256, train, held_out)
    return resolve_groups(parse_study({"shape": COMMON, **values}), corpus)


def runs(train: dict[str, Any] | None = None, **values: Any) -> list[TrainSpec]:
    [found] = groups(**values, train={"batch_tokens": 64, "learning_rate": 0.01} | (train or {})).values()
    return found


def test_zipped_axes_go_in_step_and_the_others_each_with_each() -> None:
    found = runs(**SHAPES, tokens=[6400, 12800, 25600], zip=["shapes", "tokens"], train={"seeds": [0, 1]})
    expected = [(d, n, seed) for d, n in ((8, 6400), (16, 12800), (32, 25600)) for seed in (0, 1)]
    assert [(run.shape.d_model, run.tokens, run.seed) for run in found] == expected


def test_batches_and_rates_can_be_scanned_in_step() -> None:
    train = {"batch_scan": [1, 4], "learning_rate_scan": [1, 2], "seeds": [7, 8]}
    shapes = [{"n_layer": 1, "d_model": 8, "n_head": 1}]
    found = runs(shapes=shapes, tokens=[6400], train=train, zip=["learning_rate_scan", "batch_scan"])
    assert [(run.batch_tokens, run.learning_rate, run.seed) for run in found] == [
        (64, 0.01, 7), (64, 0.01, 8), (256, 0.02, 7), (256, 0.02, 8),
    ]  # fmt: skip


def test_a_scan_of_rates_multiplies_the_peak() -> None:
    found = runs(**SHAPES, tokens=[6400], train={"learning_rate_scan": [0.5, 1, 2]})
    assert sorted({run.learning_rate for run in found}) == [0.005, 0.01, 0.02]
    assert len(found) == 9
    for run in found:
        assert run.final_learning_rate == pytest.approx(run.learning_rate * 0.05)


@pytest.mark.parametrize(
    ("zipped", "message"),
    [
        (["shapes", "tokens"], r"3 shapes, 2 tokens"),
        (["shapes", "seed"], r"zip names 'seed', which is no axis\n.*did you mean 'seeds'"),
    ],
)
def test_axes_that_cannot_go_in_step_are_refused(zipped: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        runs(**SHAPES, tokens=[6400, 12800], zip=zipped)


def test_profiles_spend_each_budget_on_sizes_about_the_expected_best() -> None:
    profiles = {"budgets": [1e10, 1e12], "sizes": 5, "span": 9, "tokens_per_parameter": 20}
    near = {"multiple_of": 4, "aspect": [2, 64], "d_head": [4, 64]}
    found = runs(profiles=profiles, near=near)
    for budget in (1e10, 1e12):
        mine = [run for run in found if abs(run.counts()["C"] / budget - 1) < 0.05]
        sizes = np.array([run.shape.n_nonembedding for run in mine])
        best = math.sqrt(budget / (6 * 20))
        np.testing.assert_allclose(sizes, best * 9 ** np.linspace(-0.5, 0.5, 5), rtol=0.15)
        assert len(set(sizes)) == 5
    assert len(found) == 10


@pytest.mark.parametrize("method", ["sobol", "random"])
def test_a_sample_is_spread_over_its_ranges_and_the_same_each_time(method: str) -> None:
    sample = {
        "runs": 24,
        "method": method,
        "n_nonembedding": [1e4, 1e6],
        "tokens": [1e5, 1e7],
        "learning_rate": [1e-3, 1e-1],
        "batch_tokens": [64, 1024],
    }
    found = runs(sample=sample, near={"aspect": [4, 64]})
    assert found == runs(sample=sample, near={"aspect": [4, 64]})
    assert found != runs(sample=sample | {"seed": 1}, near={"aspect": [4, 64]})
    assert len(found) == 24
    for values, (low, high) in (
        ([run.shape.n_nonembedding for run in found], (1e4, 1e6)),
        ([run.tokens for run in found], (1e5, 1e7)),
        ([run.learning_rate for run in found], (1e-3, 1e-1)),
        ([run.batch_tokens for run in found], (64, 1024)),
    ):
        shares = np.log(np.array(values) / low) / np.log(high / low)
        assert (shares > -0.1).all()
        assert (shares < 1.1).all()
        assert shares.min() < 0.2
        assert shares.max() > 0.8
        if method == "sobol":
            assert np.histogram(shares, 4, (-0.1, 1.1))[0].min() >= 3, "evenly"


def test_a_sample_may_draw_from_shapes_and_spend_compute() -> None:
    found = runs(**SHAPES, sample={"runs": 8, "compute": [1e10, 1e11]})
    assert {run.shape.d_model for run in found} == {8, 16, 32}
    for run in found:
        assert 0.95e10 < run.counts()["C"] < 1.05e11


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"runs": 4}, r"sample needs a range of tokens or of compute"),
        ({"runs": 4, "tokens": [1e4, 1e5], "compute": [1e9, 1e10]}, r"and not both"),
        ({"runs": 4, "tokens": [1e4, 1e5]}, r"sample has no shapes to draw from"),
        ({"runs": 4, "tokens": [1e5, 1e4], "n_nonembedding": [1e4, 1e5]}, r"range that falls: \[100000, 10000\]"),
        ({"runs": 0, "tokens": [1e4, 1e5]}, r">= 1.*sample.runs"),
        ({"runs": 4, "tokens": [1e4, 1e5], "seed": -1}, r">= 0.*sample.seed"),
        ({"runs": 4, "methods": "sobol"}, r"unknown key 'methods' in \[sample\]\n.*did you mean 'method'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(sample: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        runs(sample=sample)


def test_runs_are_listed_one_by_one_with_settings_of_their_own() -> None:
    shape = {"n_layer": 1, "d_model": 8, "n_head": 1}
    budget = 1e9
    found = runs(
        runs=[
            {**shape, "tokens": 6400},
            {**shape, "tokens": 12800, "learning_rate": 0.5, "seeds": [3, 4]},
            {**shape, "d_model": 16, "budget": budget, "batch_tokens": 128, "schedule": "constant"},
        ]
    )
    assert [(run.tokens, run.learning_rate, run.seed) for run in found[:3]] == [
        (6400, 0.01, 0), (12800, 0.5, 3), (12800, 0.5, 4),
    ]  # fmt: skip
    assert (found[3].schedule, found[3].batch_tokens) == ("constant", 128)
    assert found[3].counts()["C"] == pytest.approx(budget, rel=64 * flops_per_token(found[3].shape) / budget)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ({"n_layer": 1, "d_model": 8, "n_head": 1}, SpecError, "run 0 of runs needs tokens or a budget"),
        ({"d_modle": 8, "tokens": 1e4}, ShapeError, "no field 'd_modle'\n.*did you mean 'd_model'"),
        ({"n_layer": 1, "d_model": 8, "n_head": 1, "tokens": -1}, SpecError, "in run 0 of runs: .*> 0"),
        ({"n_layer": 1, "d_model": 8, "n_head": 1, "tokens": 1, "seeds": []}, SpecError, "in run 0 of runs: .*seeds"),
        ({"n_layer": 1, "d_model": 8, "n_head": 1, "tokens": 1, "learning_rate": "kapln"}, SpecError, "kapln"),
        (3, SpecError, "must be a list of tables"),
    ],
)
def test_a_listed_run_that_cannot_be_is_named(entry: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        runs(runs=[entry])


def test_no_setting_of_training_has_the_name_of_a_field_of_a_shape() -> None:
    assert not Shape.__dataclass_fields__.keys() & {*TrainSettings.__dataclass_fields__, "tokens", "budget"}


def test_a_group_that_says_one_kind_replaces_the_others() -> None:
    found = groups(
        **SHAPES,
        tokens=[6400],
        train={"batch_tokens": 64},
        group=[
            {"name": "grid"},
            {"name": "list", "shapes": [], "runs": [{"n_layer": 1, "d_model": 4, "n_head": 1, "tokens": 640}]},
        ],
    )
    assert [len(found[name]) for name in ("grid", "list")] == [3, 1]


def test_kaplans_programme_is_a_group_for_each_law() -> None:
    kaplan = {"n_nonembedding": [1e4, 1e6], "sizes": 3, "tokens": [1e5, 1e7], "datasets": 3, "budgets": 2}
    found = groups(kaplan=kaplan, near={"aspect": [4, 128]}, train={"batch_tokens": 512, "learning_rate": 0.01})
    assert len(found["L(N, D)"]) == 9
    assert {run.schedule for run in found["L(N, S)"]} == {"constant"}
    assert len({run.shape for run in found["L(N, S)"]}) == 3
    scan = found["B_crit(L)"]
    assert max(run.batch_tokens for run in scan) == 64 * min(run.batch_tokens for run in scan)
    for run in scan:
        assert run.learning_rate == pytest.approx(0.01 * math.sqrt(run.batch_tokens / 512))
    aspects = [run.shape.d_model / run.shape.n_layer for name in found if "aspect" in name for run in found[name]]
    assert aspects == sorted(aspects)
    assert len(aspects) == 4
    budgets = np.array([run.counts()["C"] for run in found["C"]])
    assert len(budgets) >= 6
    least, largest = (6 * n * d for n, d in zip(kaplan["n_nonembedding"], kaplan["tokens"], strict=True))  # type: ignore[call-overload]
    assert ((budgets > least) & (budgets < largest)).all()
