"""The choice itself: what it makes small, what it may spend, and how near the best of all choices it comes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from isoflop.designing.choose import Problem, choose
from isoflop.designing.machine import Costs, Machine
from isoflop.errors import PlanError


def make(budget: float = 6.0, runs: int = 4, replicates: int = 2, count: int = 7, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    compute = np.geomspace(1, 4, count)
    costs = Costs(compute, np.arange(count), np.ones(count), Machine())
    slopes = rng.standard_normal((3, count, 3)) * np.sqrt(compute)[None, :, None]
    targets = rng.standard_normal((1, 3, 3))
    return Problem(slopes, targets, np.repeat(1e-2 * np.eye(3)[None], 3, axis=0), costs, budget, runs, replicates)


def affordable(problem: Problem) -> list[list[int]]:
    rows = [k for k in range(len(problem.costs.compute)) for _ in range(problem.replicates)]
    sets = {each for size in range(1, problem.runs + 1) for each in itertools.combinations(rows, size)}
    return [list(each) for each in sets if problem.costs.total(each) <= problem.budget]


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_is_the_best_of_all_where_all_can_be_tried(seed: int) -> None:
    problem = make(seed=seed)
    best = min(problem.merit(each) for each in affordable(problem))
    assert problem.merit(choose(problem)) == pytest.approx(best, abs=1e-9)


def test_a_variance_is_that_of_weighted_least_squares_with_a_prior() -> None:
    problem = make()
    chosen = [0, 3, 3]
    for j in range(3):
        rows = problem.slopes[j][chosen]
        covariance = np.linalg.inv(problem.start[j] + rows.T @ rows)
        c = problem.targets[0, j]
        assert problem.variances(chosen)[0, j] == pytest.approx(c @ covariance @ c, rel=1e-10)


@pytest.mark.parametrize(("budget", "runs", "replicates"), [(6, 4, 1), (3, 30, 3), (50, 5, 2)])
def test_no_choice_is_past_its_budget_its_runs_or_its_replicates(budget: float, runs: int, replicates: int) -> None:
    problem = make(budget, runs, replicates)
    chosen = choose(problem)
    assert chosen
    assert problem.costs.total(chosen) <= budget * (1 + 1e-9)
    assert len(chosen) <= runs
    assert np.bincount(chosen).max() <= replicates


def test_replicates_are_made_where_only_one_run_tells_anything() -> None:
    problem = make(budget=100, runs=4, replicates=3)
    problem.slopes[:, 1:] = 1e-9
    chosen = choose(problem)
    assert chosen.count(0) == 3


def test_the_run_that_tells_most_is_named_first() -> None:
    problem = make()
    chosen = choose(problem)
    without = [problem.merit(chosen[:k] + chosen[k + 1 :]) for k in range(len(chosen))]
    assert without == sorted(without, reverse=True)


def stacked_by_hand(lengths: list[float], stack: int) -> float:
    longest_first = sorted(lengths, reverse=True)
    return sum(max(longest_first[k : k + stack]) for k in range(0, len(lengths), stack))


@pytest.mark.parametrize("stack", [1, 2, 3])
def test_runs_of_one_shape_share_the_overhead_of_their_steps(stack: int) -> None:
    columns = {"N": np.array([1e6, 1e6, 1e6, 2e6]), "D": np.array([4e6, 3e6, 1e6, 2e6]), "C": np.full(4, 1e12)}
    costs = Costs.of(columns, Machine(stack=stack, step_overhead=1e9, batch_tokens=1e4))
    steps = columns["D"] / 1e4
    for chosen in ([0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [2, 2, 0]):
        small = stacked_by_hand([steps[k] for k in chosen if k < 3], stack)
        own = sum(steps[k] for k in chosen if k == 3)
        assert costs.total(chosen) == pytest.approx(1e12 * len(chosen) + 1e9 * (small + own))
        for k, more in enumerate(costs.more(chosen)):
            assert costs.total([*chosen, k]) == pytest.approx(costs.total(chosen) + more)


def test_an_overhead_without_the_tokens_of_a_step_is_refused() -> None:
    with pytest.raises(PlanError, match="tokens were not said"):
        Machine(step_overhead=1e9)
    with pytest.raises(PlanError, match="one or more"):
        Machine(slots=0)
