"""Likelihoods of laws and comparisons of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fitting.public_runs import besiroglu, constants
from fitting.synthetic import runs
from isoflop.errors import FitError
from isoflop.fitting import (
    LAD,
    Fit,
    Huber,
    LeastSquares,
    Quantile,
    compare,
    fit,
    huber_log_likelihood,
    likelihood,
    likelihood_ratio,
)
from isoflop.fitting.nesting import NESTED
from isoflop.laws import LAWS


def residuals(name: str) -> np.ndarray:
    columns = besiroglu()
    return np.log(LAWS["chinchilla"].predict(constants(name), N=columns["N"], D=columns["D"]) / columns["L"])


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("chinchilla-besiroglu", 879.77),
        ("chinchilla-hoffmann", 837.78),
        ("chinchilla-hoffmann-rounded", 562.25),
        ("chinchilla-huber-exact", 879.56),
    ],
)
def test_log_likelihoods_of_besiroglus_notebook(name: str, printed: float) -> None:
    assert round(huber_log_likelihood(residuals(name)), 2) == printed


@pytest.mark.parametrize("objective", [LeastSquares(), Huber(0.02), Huber(1e-3), LAD(), Quantile(0.2)], ids=str)
def test_likelihood_is_that_of_a_density_at_its_best_scale(objective: Huber) -> None:
    """The density is integrated and its scale searched by brute force."""
    columns = runs("power-n", 0.05)
    found = fit("power-n", columns, objective=objective)
    predicted = found.predict(N=columns["N"])
    r = np.log(predicted / columns["L"])
    up, down = objective.sides
    t = np.linspace(-200, 200, 40_001)

    def rho(x: np.ndarray, corner: float) -> np.ndarray:
        tilted = np.where(x > 0, up * x, -down * x)
        if corner == 0:
            return tilted
        return np.where(tilted <= corner, x**2 / 2, corner * (tilted - corner / 2))

    def at(scale: float) -> float:
        corner = objective.delta / scale if 0 < objective.delta < math.inf else objective.delta
        total = np.exp(-rho(t, corner) if corner > 0.5 or corner == 0 else -rho(t * 2 / corner, corner)).sum() * (
            t[1] - t[0]
        )
        total *= 1 if corner > 0.5 or corner == 0 else 2 / corner
        return float(-rho(r / scale, corner).sum() - r.size * math.log(scale * total))

    best = max(at(scale) for scale in np.geomspace(1e-4, 1.0, 500))
    value = likelihood(found).value + np.log(columns["L"]).sum()
    assert value == pytest.approx(best, abs=0.02)
    assert value > best - 1e-3


def test_least_squares_of_logarithms_and_of_losses_are_compared_as_densities_of_the_loss() -> None:
    """Lognormal noise is likelier as lognormal, by the closed forms of both densities."""
    columns = runs("power-n", 0.1, n_sizes=12, n_tokens=10)
    logged, raw = (fit("power-n", columns, objective=LeastSquares(log=log)) for log in (True, False))
    n, y = 120, columns["L"]
    r = np.log(logged.predict(N=columns["N"]) / y)
    by_hand = -n / 2 * (1 + np.log(2 * np.pi * np.mean(r**2))) - np.log(y).sum()
    assert likelihood(logged).value == pytest.approx(by_hand)
    r = raw.predict(N=columns["N"]) - y
    assert likelihood(raw).value == pytest.approx(-n / 2 * (1 + np.log(2 * np.pi * np.mean(r**2))))
    assert likelihood(logged).value > likelihood(raw).value


def test_known_noise_is_no_parameter() -> None:
    columns = runs("chinchilla", 0.01)
    free, known = fit("chinchilla", columns), fit("chinchilla", columns, sigma=np.full(30, 0.01))
    assert (likelihood(free).n_parameters, likelihood(known).n_parameters) == (6, 5)
    assert likelihood(known).value < likelihood(free).value


def test_known_noise_is_the_scale_of_least_squares_alone() -> None:
    columns, noise = runs("power-n", 0.01), np.full(30, 0.01)

    def width(objective: Huber | LeastSquares, sigma: np.ndarray) -> float:
        low, high = fit("power-n", columns, sigma=sigma, objective=objective).profile("alpha").interval
        return high - low

    assert width(LeastSquares(), 3 * noise) == pytest.approx(3 * width(LeastSquares(), noise), rel=1e-2)
    # the corner of Huber's sum is in units of the noise: its place in the residuals stays
    assert width(Huber(1.0), 3 * noise) == pytest.approx(width(Huber(3.0), noise), rel=1e-4)


def test_aicc_is_infinite_where_parameters_are_as_many_as_runs() -> None:
    assert likelihood(fit("power-n", runs("power-n", 0.01, n_sizes=4, n_tokens=1))).aicc == math.inf


@pytest.mark.parametrize(("smaller", "larger"), NESTED)
def test_a_declared_case_is_the_larger_law_restricted(smaller: str, larger: str) -> None:
    case = NESTED[smaller, larger]
    columns = runs("chinchilla", 0.01)
    inner = fit(smaller, columns)
    restricted = fit(larger, columns, fix=case.fix, tie=case.tie)
    assert restricted.objective == pytest.approx(inner.objective, rel=1e-6)


def test_likelihood_ratio_is_twice_the_difference() -> None:
    columns = runs("chinchilla", 0.01)
    small, large = fit("chinchilla-tied", columns), fit("chinchilla", columns)
    ratio = likelihood_ratio(small, large)
    assert ratio.statistic == pytest.approx(30 * np.log(small.objective / large.objective))
    assert ratio.df == 1
    assert ratio.p == pytest.approx(math.erfc(math.sqrt(ratio.statistic / 2)))
    tied = likelihood_ratio(fit("chinchilla", columns, tie=[("alpha", "beta")]), large)
    assert tied.statistic == pytest.approx(ratio.statistic, rel=1e-6)


def test_p_is_uniform_where_the_smaller_law_is_true() -> None:
    truth = {"E": 1.8, "A": 480.0, "B": 480.0, "alpha": 0.35, "beta": 0.35}
    columns = runs("chinchilla", n_sizes=8, n_tokens=8)
    loss = LAWS["chinchilla"].predict(truth, N=columns["N"], D=columns["D"])
    rng = np.random.default_rng(3)
    small = []
    for _ in range(40):
        data = {**columns, "L": loss * np.exp(0.01 * rng.standard_normal(64))}
        small.append(likelihood_ratio(fit("chinchilla-tied", data), fit("chinchilla", data)).p)
    assert np.mean(np.array(small) < 0.1) <= 0.25
    assert 0.3 <= np.mean(np.array(small) < 0.5) <= 0.7


def test_a_ratio_at_a_bound_is_half_a_chi2() -> None:
    columns = runs("power-n", 0.02, seed=1)
    ratio = likelihood_ratio(fit("power-n", columns), fit("power-n-floor", columns))
    plain = math.erfc(math.sqrt(ratio.statistic / 2))
    assert ratio.p == pytest.approx(plain / 2 if ratio.statistic else 1.0)


def test_ratios_that_mean_nothing_are_refused(noisy: Fit) -> None:
    with pytest.raises(FitError, match="not known to be a case"):
        likelihood_ratio(fit("kaplan", runs("chinchilla", 0.005)), noisy)
    with pytest.raises(FitError, match="different runs"):
        likelihood_ratio(fit("chinchilla-tied", runs("chinchilla", 0.005, seed=1)), noisy)
    with pytest.raises(FitError, match="have no likelihood ratio"):
        likelihood_ratio(fit("chinchilla-tied", runs("chinchilla", 0.005), objective=LAD()), noisy)


def test_comparison_ranks_by_held_out_error_and_the_true_law_wins() -> None:
    compared = compare(["power-n", "kaplan", "chinchilla"], runs("chinchilla", 0.003), by="N")
    errors = [law.error for law in compared.laws]
    assert errors == sorted(errors)
    assert compared.best.law.name == "chinchilla"
    assert compared.delta_aicc[0] == 0.0
    assert min(compared.delta_aicc[1:]) > 10.0
    assert not compared.ratios


def test_comparison_tests_laws_that_are_cases_of_others() -> None:
    compared = compare(["chinchilla", "chinchilla-tied"], runs("chinchilla", 0.003), by="N")
    assert [(r.smaller, r.larger) for r in compared.ratios] == [("chinchilla-tied", "chinchilla")]
    assert "chinchilla-tied within chinchilla: likelihood ratio" in str(compared)
    assert "<td" in compared._repr_html_()


def test_comparison_lists_laws_that_the_runs_cannot_determine() -> None:
    columns = runs("power-n", 0.01, n_sizes=12, n_tokens=1)
    compared = compare(["power-n", "chinchilla"], columns)
    assert "1 distinct number of tokens" in compared.failed["chinchilla"]
    assert "chinchilla was not fitted" in str(compared)


def test_comparison_of_fits_needs_no_data_but_the_same_runs(noisy: Fit) -> None:
    other = fit("kaplan", runs("chinchilla", 0.005))
    assert compare([noisy, other]).best is noisy
    assert compare([noisy, other]).by == "C"
    with pytest.raises(FitError, match="different runs"):
        compare([noisy, fit("kaplan", runs("chinchilla", 0.005, seed=9))])
    with pytest.raises(FitError, match="without data"):
        compare(["chinchilla"])
    with pytest.raises(FitError, match="no law to compare"):
        compare([])


def test_bad_values_are_refused_by_row_in_a_comparison() -> None:
    columns = runs("chinchilla", 0.01)
    columns["L"][4] = -1.0
    with pytest.raises(FitError, match="column 'L', row 4"):
        compare(["chinchilla", "kaplan"], columns)
