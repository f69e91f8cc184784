"""``fit``: a law and runs in, parameters with their uncertainty out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, LawError
from isoflop.fitting.batches import Batches, is_store
from isoflop.fitting.checks import require_enough_runs, require_identifiable
from isoflop.fitting.constraints import Constraints
from isoflop.fitting.covariance import covariance, sandwich
from isoflop.fitting.data import FitData, Given, Labels, read_data
from isoflop.fitting.fitted import Fit
from isoflop.fitting.found import N_STARTS
from isoflop.fitting.identifiability import Doubt, find_doubts
from isoflop.fitting.objective import LeastSquares, Objective
from isoflop.fitting.passes import sums_in_memory
from isoflop.fitting.problem import Problem
from isoflop.fitting.solve import minimise
from isoflop.fitting.stream import Streamed, fit_store
from isoflop.laws.catalogue import get_law
from isoflop.laws.law import Law


def fit(
    law: str | Law,
    data: object,
    *,
    objective: Objective | None = None,
    weights: Given = None,
    sigma: Given = None,
    cluster: Labels = None,
    fix: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    tie: Iterable[Sequence[str]] | None = None,
    starts: int | None = None,
    level: float = 0.95,
) -> Fit:
    """Estimate a law's parameters from runs, by least squares of the output's logarithm unless told otherwise.

    Args:
        law: a name such as "chinchilla", or a :class:`~isoflop.Law`.
        data: columns by the names of the law's inputs and output, an Arrow, pandas or polars table with them, or a run
            store. For points too many for memory Parquet files (a path, a folder, a list of them), a
            ``pyarrow.dataset``, a function that returns an iterator of batches of columns, or any of these in
            ``Batches``: they are read once a step. N in parameters, D in tokens, C in FLOPs, L in nats per token; C
            defaults to 6 N D, except in what is read in passes.
        objective: ``LeastSquares()``, ``Huber(1e-3)``, ``LAD()`` or ``Quantile(0.1)``, each also with ``log=False``.
        weights: how much each run counts: a column's name or one value a run; "run" gives each run of that column the
            weight 1, shared by its points, and standard errors of a store are then those between runs.
        sigma: known noise of each run's residual (relative, for logarithms): residuals are divided by it, and the
            standard errors of least squares take it at its word.
        cluster: which runs share their noise, such as the points of one curve: a column's name or one label a run.
            Standard errors are then robust to it, and resamples draw whole clusters. Of runs in memory; points too many
            for it take ``weights="run"``.
        fix: parameters that keep a value: ``{"alpha": 0.34}``.
        bounds: intervals of parameters, inside their domains: ``{"E": (0, 2)}``.
        tie: parameters that share one value: ``[("alpha", "beta")]``.
        starts: how many starts are polished.
        level: of the intervals.

    Raises:
        LawError: no law of that name, or no law at all.
        FitError: no objective; a column is missing; a value, weight or noise that cannot be, or a run that stands twice
            (names the row); too few runs; a restriction that cannot be (names the parameter); no convergence.
        NotIdentifiable: the runs cannot separate the parameters; the hint says which run would.
    """
    law = get_law(law) if isinstance(law, str) else law
    if not isinstance(law, Law):
        raise LawError(f"a law is a name or isoflop.Law(formula), got {law!r}", hint='fit("chinchilla", runs)')
    objective = LeastSquares() if objective is None else objective
    if not isinstance(objective, Objective):
        raise FitError(
            f"an objective is LeastSquares(), Huber(1e-3), LAD() or Quantile(0.1), got {objective!r}",
            hint="isoflop.fitting has them",
        )
    n_starts = N_STARTS if starts is None else starts
    if n_starts < 1:
        raise FitError(f"starts must be positive, got {n_starts}")
    if not 0 < level < 1:
        raise FitError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")
    constraints = Constraints.of(law, fix, bounds, tie)
    if is_store(data):
        if cluster is not None:
            raise FitError(
                "a store is read in passes: its points have no clusters",
                hint='weights="run" gives each run of the column "run" the weight 1, and standard errors between runs',
            )
        batches = data if isinstance(data, Batches) else Batches(data)
        return _of_store(
            fit_store(law, batches, objective, weights, sigma, constraints, n_starts),
            law,
            objective,
            constraints,
            level,
            n_starts,
        )
    columns, notes = read_data(data, law, weights, sigma, cluster)
    require_enough_runs(law, columns, constraints)
    _require_logarithms(law, columns, objective)
    problem = Problem.of(law, columns, objective, constraints)
    require_identifiable(problem)
    vector, value, certificate = minimise(problem, n_starts)
    params = dict(zip(law.names, problem.natural(vector).tolist(), strict=True)) | dict(constraints.fix)
    spread = np.sqrt(np.diag((covariance if columns.cluster is None else sandwich)(problem, vector)))
    errors = dict(zip(law.names, spread.tolist(), strict=True)) | dict.fromkeys(constraints.fix, 0.0)
    doubts = find_doubts(problem, vector, errors, certificate, constraints)
    return Fit(
        law=law,
        params=params,
        standard_errors=errors,
        objective=value,
        criterion=objective,
        residual_rms=_residual_rms(problem, vector),
        n_runs=columns.n_runs,
        certificate=certificate,
        notes=(*notes, *_notes(doubts, constraints)),
        doubts=doubts,
        excluded=columns.excluded,
        data=columns,
        constraints=constraints,
        level=level,
        n_starts=n_starts,
    )


def _residual_rms(problem: Problem, vector: NDArray[np.float64]) -> float:
    if problem.many:
        return sums_in_memory(problem, vector, np.inf, newton=False).residual_rms
    residuals, _ = problem.residuals(vector)
    return float(np.sqrt(np.average(residuals**2, weights=problem.w)))


def _require_logarithms(law: Law, data: FitData, objective: Objective) -> None:
    rows = np.flatnonzero(data.columns[law.output] <= 0)
    if objective.log and rows.size:
        raise FitError(
            f"column {law.output!r}, row {rows[0]}: {data.columns[law.output][rows[0]]:g} has no logarithm",
            hint="objective=LeastSquares(log=False) compares values as they are",
        )


def _of_store(
    found: Streamed, law: Law, objective: Objective, constraints: Constraints, level: float, n_starts: int
) -> Fit:
    errors = dict(zip(law.names, np.sqrt(np.diag(found.covariance)).tolist(), strict=True))
    problem = Problem.of(law, found.sample, objective, constraints)
    vector = problem.free(np.array([found.params[name] for name in law.names]))
    doubts = find_doubts(problem, vector, errors, found.certificate, constraints)
    return Fit(
        law=law,
        params=found.params,
        standard_errors=errors,
        objective=found.sums.objective,
        criterion=objective,
        residual_rms=found.sums.residual_rms,
        n_runs=found.n_points,
        certificate=found.certificate,
        notes=(*found.notes, *_notes(doubts, constraints)),
        doubts=doubts,
        excluded=(),
        data=found.sample,
        constraints=constraints,
        level=level,
        n_starts=n_starts,
        of_points=found.covariance,
    )


def _notes(doubts: tuple[Doubt, ...], constraints: Constraints) -> tuple[str, ...]:
    restricted = (f"restricted: {constraints}",) if constraints.names else ()
    return (*map(str, doubts), *restricted)
