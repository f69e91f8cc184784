"""Fits of stores too large for memory: a start from a sample, then one pass over all points a step."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.batches import Batches
from isoflop.fitting.checks import require_enough_runs, require_identifiable
from isoflop.fitting.constraints import Constraints
from isoflop.fitting.covariance import in_natural
from isoflop.fitting.data import RUN, FitData, Given
from isoflop.fitting.descent import FLAT, Descent, condition_of, covariance_of, unit_of_rounding, whole
from isoflop.fitting.laid import Sums
from isoflop.fitting.objective import Objective, scale_is_known
from isoflop.fitting.passes import Store, missed_by, sums
from isoflop.fitting.problem import Problem
from isoflop.fitting.sample import Sample, take_sample
from isoflop.fitting.solve import Certificate, minimise
from isoflop.laws.law import Law

Array = NDArray[np.float64]

_FEW = 32
"""Points of the sample a parameter that every start is polished on; the best few of them on all of it."""

_CONDENSED = 0.1
"""Of the cosine where steps over points end, what steps over nodes go on to."""


@dataclass(frozen=True)
class Streamed:
    """A fit of a store: its vector of free coordinates and what was found there.

    Attributes:
        params: natural parameters by name.
        covariance: of them, in the law's order; NaN for one at a bound.
        sums: of all points at the optimum.
        certificate: starts and hit rate of the sample; the rest of all points.
        sample: the points that the start was fitted to.
        n_points: of the store.
        notes: how the standard errors were taken.
    """

    params: dict[str, float]
    covariance: Array
    sums: Sums
    certificate: Certificate
    sample: FitData
    n_points: int
    notes: tuple[str, ...]


def fit_store(
    law: Law,
    batches: Batches,
    objective: Objective,
    weights: Given,
    sigma: Given,
    constraints: Constraints,
    n_starts: int,
) -> Streamed:
    """Minimise over all points of a store, its memory independent of their number.

    Raises:
        FitError: an objective without second derivatives; weights or noise that are no column; a value that cannot be;
            no convergence.
        NotIdentifiable: the sample cannot separate the parameters.
    """
    if not objective.delta > 0.0:
        raise FitError(
            f"{objective} cannot be minimised in passes: its second derivatives are zero",
            hint="Huber(1e-3) is close to least absolute deviations; or fit a sample in memory",
        )
    columns = _column("weights", weights), _column("sigma", sigma)
    condense = np.isinf(objective.delta) and columns == (None, None)
    with contextlib.closing(Store(batches, law, objective.log, *columns, condense=bool(condense))) as store:
        return _minimise(store, objective, constraints, n_starts)


def _minimise(store: Store, objective: Objective, constraints: Constraints, n_starts: int) -> Streamed:
    law = store.law
    found = take_sample(store)
    data = as_data(law, found, store.batches)
    require_enough_runs(law, data, constraints)
    problem = Problem.of(law, data, objective, constraints)
    require_identifiable(problem)
    start, _, certificate = minimise(problem, n_starts, few=_FEW * len(law.names))
    passes = itertools.count(1)

    def over(v: Array, newton: bool, **how: Any) -> Sums:
        if not store.at_hand:
            next(passes)
        return sums(store, problem, v, found.runs, **{"delta": objective.delta, **how}, newton=newton)

    vector, total, gradient = _descend(problem, over, store, start)
    covariance, note = _covariance(problem, vector, total, over, store, found)
    stuck = [name for m in problem.at_bounds(vector) for name in problem.names_of(int(m))]
    certificate = replace(
        certificate,
        condition=condition_of(problem, vector, total),
        gradient=gradient,
        at_bounds=tuple(stuck),
        points=found.n_points,
        passes=next(passes),
    )
    params = dict(zip(law.names, problem.natural(vector).tolist(), strict=True)) | dict(constraints.fix)
    notes = (f"starts agree on {data.n_runs} points spread over the store; the optimum is of all points", note)
    return Streamed(params, covariance, total, certificate, data, found.n_points, notes)


def _descend(
    problem: Problem, over: Callable[[Array, bool], Sums], store: Store, start: Array
) -> tuple[Array, Sums, float]:
    """The optimum, the sums there and the largest cosine, by nodes of curves where they miss no more than a step would.

    Raises:
        FitError: no convergence.
    """
    if not store.condense:
        return Descent(problem, over).run(start)
    # sums over nodes cost next to nothing: the cosine leaves room for what they miss
    vector, total, cosine = Descent(problem, over, _CONDENSED * FLAT).run(start)
    off = _cosine_missed(problem, vector, total, missed_by(store, problem, vector))
    if cosine + off <= FLAT:
        return vector, total, cosine + off
    store.lay_out_points()
    return Descent(problem, over).run(vector)


def _cosine_missed(problem: Problem, v: Array, here: Sums, gradient: Array) -> float:
    """The largest cosine that a gradient by the law's coordinates (p,) may stand for, and what rounding adds to it."""
    spread = problem.coordinates.spread[:, problem.moving(v)]
    with np.errstate(all="ignore"):  # where residuals are all rounding it is no number, and no cosine is that small
        length = np.sqrt(np.diag(spread.T @ whole(here.h[1]) @ spread) * here.totals[3])
        off = float((np.abs(spread.T) @ gradient / length).max(initial=0.0))
        return off + unit_of_rounding(problem) / here.residual_rms


def _column(what: str, given: Given) -> str | None:
    if not isinstance(given, str | None):
        raise FitError(f"{what} of a store must name a column, got {type(given).__name__}", hint='weights="run"')
    return given


def as_data(law: Law, sample: Sample, batches: Batches) -> FitData:
    """The sample as runs that weigh alike."""
    columns = dict(zip((*law.inputs, law.output), sample.rows, strict=True))
    n = sample.rows.shape[1]
    source = f"{batches}: {n} of {sample.n_points} points"
    return FitData(columns, source=source, weights=np.ones(n))


def _covariance(
    problem: Problem, v: Array, here: Sums, again: Callable[..., Sums], store: Store, sample: Sample
) -> tuple[Array, str]:
    """Of the natural parameters, and how it was taken: s^2 (J'WJ)^-1, or between runs where each weighs 1.

    Between runs: H^-1 (sum of g g' over runs) H^-1 R/(R - 1), g the gradient of a run (Liang and Zeger 1986): the
    points of one curve are not independent.
    """
    if not store.by_run:
        squares = here if np.isinf(problem.criterion.delta) else again(v, False, delta=np.inf)
        known = scale_is_known(problem.criterion, store.sigma)
        found = covariance_of(problem, v, here, squares, sample.n_points, known_scale=known)
        note = f'standard errors take points for independent; weights="{RUN}" asks for those between runs'
        return in_natural(problem, v, found), note
    n_runs, moving = len(sample.runs), problem.moving(v)
    spread = problem.coordinates.spread[:, moving]
    if n_runs <= moving.size:
        raise FitError(f"{n_runs} runs cannot give standard errors of {moving.size} parameters by run")
    there = again(v, True, each_run=True)
    gradients = np.array(list(there.by_run.values())) @ spread
    inverse = np.linalg.pinv(spread.T @ whole(there.h[0]) @ spread, hermitian=True)
    covariance = np.zeros((v.size, v.size))
    covariance[np.ix_(moving, moving)] = inverse @ gradients.T @ gradients @ inverse * n_runs / (n_runs - 1)
    return in_natural(problem, v, covariance), f"standard errors between {n_runs} runs, each of weight 1"
