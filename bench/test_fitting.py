"""One certified point fit and a thousand bootstrap refits, beside scipy's trust-region solver on the same problem.

scipy gets what helps it: our centred coordinates, our starts, our analytic Jacobian. Runs are synthetic, so that the
table can be made anywhere: 240 and 30 runs of L = E + A/N**alpha + B/D**beta with 1 % noise.
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from scipy.optimize import least_squares

from isoflop.fitting import Fit, Huber, LeastSquares, fit
from isoflop.fitting.solve import Problem, starting_points
from isoflop.laws import LAWS

TRUTH = {"E": 1.8172, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3658}
STARTS = 24
SCIPY_DRAWS = 20


def runs(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(7, 10, n), 10 ** rng.uniform(9, 11.5, n)
    loss = LAWS["chinchilla"].predict(TRUTH, N=params, D=tokens) * np.exp(0.01 * rng.standard_normal(n))
    return {"N": params, "D": tokens, "L": loss}


def scipy_solve(problem: Problem, start: np.ndarray, weights: np.ndarray) -> float:
    """Least cost from one start; E in its bounds, rows scaled by the square root of their weights."""
    free = np.flatnonzero(problem.lower < problem.upper)
    root = np.sqrt(weights)
    vector = start.copy()

    def at(x: np.ndarray) -> np.ndarray:
        vector[free] = x
        return vector

    found = least_squares(
        lambda x: root * problem.residuals(at(x))[0],
        np.clip(start[free], problem.lower[free] + 1e-9, problem.upper[free] - 1e-9),
        jac=lambda x: root[:, None] * problem.residuals(at(x))[1][:, free],
        bounds=(problem.lower[free], problem.upper[free]),
        x_scale="jac",
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-12,
    )
    return float(found.cost)


@pytest.fixture(scope="module")
def fitted() -> dict[int, Fit]:
    return {n: fit("chinchilla", runs(n)) for n in (30, 240)}


@pytest.mark.benchmark(group="point fit, 240 runs, 24 starts")
@pytest.mark.parametrize("objective", [LeastSquares(), Huber(1e-3)], ids=["least-squares", "huber"])
def test_isoflop_fit(benchmark: BenchmarkFixture, objective: LeastSquares | Huber, fitted: dict[int, Fit]) -> None:
    columns = runs(240)
    result = benchmark(lambda: fit("chinchilla", columns, objective=objective, starts=STARTS))
    assert result.certificate.hit_rate > 0.5


@pytest.mark.benchmark(group="point fit, 240 runs, 24 starts")
def test_scipy_fit(benchmark: BenchmarkFixture, fitted: dict[int, Fit]) -> None:
    problem = Problem.of(LAWS["chinchilla"], fitted[240].data, LeastSquares())
    ones = np.ones(240)

    def solve() -> float:
        return min(scipy_solve(problem, start, ones) for start in starting_points(problem, STARTS))

    best = benchmark.pedantic(solve, rounds=3)
    assert fitted[240].objective <= best * (1 + 1e-9)


@pytest.mark.benchmark(group="bootstrap, seconds for 1000 draws of three starts")
@pytest.mark.parametrize("n", [30, 240])
def test_isoflop_bootstrap(benchmark: BenchmarkFixture, fitted: dict[int, Fit], n: int) -> None:
    seeds = iter(range(1, 10_000))
    drawn = benchmark.pedantic(lambda: fitted[n].bootstrap(1000, seed=next(seeds)), rounds=5)
    assert len(drawn.draws) + drawn.failed == 1000


@pytest.mark.benchmark(group="bootstrap, seconds for 20 draws of one start")
@pytest.mark.parametrize("n", [30, 240])
def test_scipy_bootstrap(benchmark: BenchmarkFixture, fitted: dict[int, Fit], n: int) -> None:
    problem = Problem.of(LAWS["chinchilla"], fitted[n].data, LeastSquares())
    warm = problem.centred(problem.law.form.to_vector(fitted[n].params))
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=SCIPY_DRAWS).astype(float)
    costs = benchmark.pedantic(lambda: [scipy_solve(problem, warm, w) for w in weights], rounds=3)
    assert np.isfinite(costs).all()
