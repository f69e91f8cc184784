"""Published sets tested against runs."""

from __future__ import annotations

import numpy as np
import pytest

from fitting.public_runs import besiroglu, constants
from fitting.synthetic import TRUTHS, runs
from isoflop.errors import FitError, LawError
from isoflop.fitting import (
    Fit,
    Huber,
    fit,
    test_published,
)
from isoflop.fitting.information import log_likelihood
from isoflop.fitting.problem import Problem
from isoflop.fitting.published import wald
from isoflop.fitting.solve import polish
from isoflop.laws import Preset


def test_besiroglus_chi2_of_hoffmann_from_their_resamples() -> None:
    """Scales and floor as logarithms, the covariance of 4000 refits of their resamples, their point less Hoffmann's.

    They print 238.40, from refits by BFGS from one start; the same resamples refitted to their optima give 239.60.
    """
    columns = besiroglu()
    found = fit("chinchilla", columns, objective=Huber(1e-3))
    problem = Problem.of(found.law, found.data, found.criterion)
    rng = np.random.RandomState(42)
    counts = np.array([np.bincount(rng.choice(240, 240), minlength=240) for _ in range(4000)], dtype=float)
    own = problem.free(np.array([found.params[name] for name in found.law.names]))
    draws = problem.natural(polish(problem, own[None], counts).vectors[:, 0])
    at = [found.law.names.index(name) for name in ("A", "B", "E", "alpha", "beta")]
    assert draws[:, at].std(axis=0) == pytest.approx([124.5, 1293.0, 0.02566, 0.0154, 0.0206], rel=1e-3)
    theirs, hoffmann = (
        np.array([constants(name)[key] for key in found.law.names])
        for name in ("chinchilla-besiroglu", "chinchilla-hoffmann")
    )
    logs = np.array([name in ("E", "A", "B") for name in found.law.names])

    def turned(params: np.ndarray) -> np.ndarray:
        return np.where(logs, np.log(params), params)

    chi2, df = wald(turned(theirs) - turned(hoffmann), turned(draws).T)
    assert df == 5
    assert chi2 == pytest.approx(239.60, abs=0.05)
    assert chi2 == pytest.approx(238.40, rel=0.006)


def test_hoffmanns_law_is_rejected_by_the_points_and_the_points_own_law_is_not() -> None:
    found = fit("chinchilla", besiroglu(), objective=Huber(1e-3))
    theirs = found.test("chinchilla-hoffmann")
    assert theirs.df == 5
    assert theirs.chi2 > 200
    assert theirs.p < 1e-40
    assert theirs.likelihood_ratio == pytest.approx(83.2, abs=0.1)
    assert set(theirs.z) == {"E", "A", "B", "alpha", "beta"}
    own = found.test("chinchilla-huber-exact")
    assert own.chi2 < 1e-3
    assert own.p > 0.99
    assert own.likelihood_ratio == pytest.approx(0.0, abs=1e-3)
    assert "chi^2(5)" in str(theirs)


def test_a_true_set_is_not_rejected_by_fresh_runs() -> None:
    truth = Preset("truth", "chinchilla", TRUTHS["chinchilla"], "made up")
    seen = [
        test_published(truth, runs("chinchilla", 0.01, seed=seed, n_sizes=10, n_tokens=8)).likelihood_p
        for seed in range(12)
    ]
    assert np.median(seen) > 0.15
    assert np.mean(np.array(seen) > 0.01) > 0.9


def test_a_set_of_another_law_or_unit_is_refused(noisy: Fit) -> None:
    with pytest.raises(FitError, match="is of the law kaplan"):
        noisy.test("kaplan-table2")
    with pytest.raises(LawError, match="unknown preset"):
        noisy.test("hoffman")
    with pytest.raises(FitError, match="no law of losses"):
        noisy.test("hoffmann-approach1")
    odd = Preset("odd", "chinchilla", TRUTHS["chinchilla"], "made up", d_unit="billions of tokens")
    with pytest.raises(FitError, match="counts D in billions"):
        noisy.test(odd)


def test_other_conventions_of_n_are_said() -> None:
    from fitting.test_fit_object import Store

    assert any(
        "N counts total parameters in the set" in note
        for note in fit("chinchilla", Store()).test("chinchilla-hoffmann").notes
    )


def test_log_likelihood_of_other_constants_is_no_larger(noisy: Fit) -> None:
    best = log_likelihood(noisy.law, noisy.params, noisy.data, noisy.criterion)
    assert log_likelihood(noisy.law, TRUTHS["chinchilla"], noisy.data, noisy.criterion) <= best
