"""Nodes of curves, beside the points that they stand for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fitting.zoo import design, truth
from isoflop import Law
from isoflop.fitting import Batches, LeastSquares, fit
from isoflop.fitting.passes import Store, missed_by, sums
from isoflop.fitting.problem import Problem
from isoflop.fitting.sample import take_sample
from isoflop.fitting.stream import as_data
from isoflop.laws import LAWS

Columns = dict[str, np.ndarray]

STEPS = 1000
TRUTH = {"N_c": 6.5e13, "alpha_N": 0.077, "S_c": 2100.0, "alpha_S": 0.76}


def curves(law: Law, moves: str, params: dict[str, float], noise: float = 0.01, each: int = STEPS) -> Columns:
    """Seven curves along one input, evenly over the range of its design, the others as in rows of the design."""
    rng = np.random.default_rng(5)
    rows = design(law)
    some = np.linspace(0, len(rows[moves]) - 1, 7).astype(int)
    columns = {name: np.repeat(values[some], each) for name, values in rows.items()}
    columns[moves] = np.tile(np.linspace(rows[moves].min(), rows[moves].max(), each), some.size)
    output = law.predict(params, **columns)
    return {**columns, law.output: output * np.exp(noise * rng.standard_normal(output.size))}


def steps(noise: float = 0.01, **params: float) -> Columns:
    """Curves of L(N, S_min)."""
    return curves(LAWS["kaplan-steps"], "S_min", {**TRUTH, **params}, noise, 3000)


def stores(law: Law, columns: Columns, log: bool) -> tuple[Store, Store]:
    """Of points, and of nodes, both read once."""
    found = tuple(Store(Batches([columns]), law, log, condense=condense) for condense in (False, True))
    for store in found:
        take_sample(store)
    return found


def count(store: Store) -> int:
    return sum(laid.n for part in store.kept.values() for laid in part)


def along() -> list[tuple[str, str]]:
    return [(law.name, name) for law in LAWS.values() for name in law.inputs if name not in law.signed]


@pytest.mark.parametrize(("name", "moves"), along())
def test_sums_over_nodes_are_those_over_points_but_for_what_they_are_said_to_miss(name: str, moves: str) -> None:
    law, params = LAWS[name], truth(LAWS[name])
    columns = curves(law, moves, params)
    criterion = LeastSquares(log=bool(columns[law.output].min() > 0))
    points, nodes = stores(law, columns, criterion.log)
    problem = Problem.of(law, as_data(law, take_sample(points), points.batches), criterion)
    v = problem.free(np.array([1.003 * params[name] for name in law.names]))
    there, here = (sums(store, problem, v, {}, math.inf) for store in (points, nodes))
    rounding = 1e-12 * np.sqrt(
        np.diag(there.h[1]) * max(there.totals[3], float(columns[law.output] @ columns[law.output]))
    )
    missed = missed_by(nodes, problem, v)
    assert (np.abs(here.g - there.g) <= missed + rounding).all()
    # what the gradient misses is nothing beside what noise makes of it, but where the law bends within a stretch
    smooth = bool((missed <= 1e-8 * np.sqrt(np.diag(there.h[1]) * there.totals[3])).all())
    if smooth:
        assert here.totals == pytest.approx(there.totals, rel=1e-7)
        np.testing.assert_allclose(here.h, there.h, rtol=1e-7, atol=1e-9 * np.abs(there.h).max())
    assert count(nodes) < 0.5 * count(points)


@pytest.mark.parametrize("log", [True, False])
def test_a_store_of_curves_is_read_once_and_gives_the_fit_of_its_points(log: bool) -> None:
    columns, criterion = steps(), LeastSquares(log=log)
    found, expected = (fit("kaplan-steps", data, objective=criterion) for data in (Batches([columns]), columns))
    assert found.certificate.passes == 1
    assert found.certificate.gradient <= 1e-8
    assert found.params == pytest.approx(expected.params, rel=1e-7)
    assert found.objective == pytest.approx(expected.objective, rel=1e-10)
    assert found.standard_errors == pytest.approx(expected.standard_errors, rel=1e-6)


def shuffled(columns: Columns) -> Columns:
    order = np.random.default_rng(0).permutation(len(columns["L"]))
    return {name: values[order] for name, values in columns.items()}


def backwards(columns: Columns) -> Columns:
    return {name: values[::-1] for name, values in columns.items()}


def logged_twice(columns: Columns) -> Columns:
    return {name: np.repeat(values, 2) for name, values in columns.items()}


def gathered(columns: Columns) -> Columns:
    """Points in bursts, between which interpolation weighs them below nothing."""
    bursts = np.flatnonzero(np.arange(len(columns["L"])) % 600 < 100)
    return {name: values[bursts] for name, values in columns.items()}


def in_turns(columns: Columns) -> Columns:
    """The runs beside each other, a row of each."""
    order = np.arange(len(columns["L"])).reshape(7, -1).T.ravel()
    return {name: values[order] for name, values in columns.items()}


@pytest.mark.parametrize("arrange", [shuffled, backwards, logged_twice, gathered, in_turns])
def test_points_in_any_order_give_the_fit_of_their_columns(arrange: Any) -> None:
    columns = arrange(steps())
    found = fit("kaplan-steps", Batches([columns]))
    expected = fit("kaplan-steps", columns, weights=np.ones(len(columns["L"])))
    assert found.params == pytest.approx(expected.params, rel=1e-7)
    assert found.certificate.gradient <= 1e-8


def test_points_in_no_order_stay_points() -> None:
    law = LAWS["kaplan-steps"]
    for arrange, least in ((shuffled, 1.0), (in_turns, 1.0), (backwards, 0.0)):
        points, nodes = stores(law, arrange(steps()), True)
        assert count(nodes) >= least * count(points)
        assert count(nodes) <= (1.01 if least else 0.2) * count(points)


@pytest.mark.parametrize(
    ("noise", "params"),
    [(1e-3, {"S_c": 3e5, "alpha_S": 4.5}), (0.0, {}), (1e-8, {})],
    ids=["steep", "without noise", "noise that is rounding"],
)
def test_where_nodes_would_miss_more_than_a_step_the_points_are_read_again(
    noise: float, params: dict[str, float]
) -> None:
    columns = steps(noise, **params)
    found, expected = fit("kaplan-steps", Batches([columns])), fit("kaplan-steps", columns)
    assert found.certificate.passes > 1
    assert found.params == pytest.approx(expected.params, rel=1e-7)


def test_a_law_with_a_corner_is_summed_over_points() -> None:
    law = Law("L = max(A/S**alpha, E)", inputs=("S",))
    s = np.arange(1.0, 6001.0)
    loss = np.maximum(30.0 / s**0.5, 0.7) * np.exp(0.01 * np.random.default_rng(1).standard_normal(s.size))
    points, nodes = stores(law, {"S": s, "L": loss}, True)
    problem = Problem.of(law, as_data(law, take_sample(points), points.batches), LeastSquares())
    v = problem.free(np.array([{"A": 30.0, "alpha": 0.5, "E": 0.7}[name] for name in law.names]))
    there, here = (sums(store, problem, v, {}, math.inf) for store in (points, nodes))
    missed = missed_by(nodes, problem, v)
    assert (np.abs(here.g - there.g) <= missed).all()
    assert missed.max() > 1e-6 * np.sqrt(there.h[1].max() * there.totals[3])
