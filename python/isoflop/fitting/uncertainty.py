"""How sure the parameters are: covariance at the optimum and case resampling over runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.checks import fewest_values
from isoflop.fitting.solve import Problem, absent_terms, polish

Array = NDArray[np.float64]

_BATCH = 1_000_000
_BATCH_ROWS = 64


@dataclass(frozen=True)
class Derived:
    """A function of the parameters: its value at the fit and its interval over the draws."""

    value: float
    interval: tuple[float, float]
    level: float


@dataclass(frozen=True)
class Bootstrap:
    """Parameters refitted to resampled runs.

    Attributes:
        names: parameters, the columns of ``draws``.
        draws: one row a resample that could be fitted, shape (n, len(names)).
        failed: resamples that could not be fitted (too few distinct values, or no convergence); they are left out.
        seed: of the resampling.
    """

    names: tuple[str, ...]
    draws: Array
    failed: int
    seed: int

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval of a parameter.

        Raises:
            FitError: no such parameter, a level outside (0, 1), or no resample could be fitted.
        """
        if name not in self.names:
            raise FitError(f"no parameter {name!r}", hint=f"parameters: {', '.join(self.names)}")
        return percentile_interval(self.draws[:, self.names.index(name)], level)

    def __str__(self) -> str:
        lost = f", {self.failed} could not be fitted" if self.failed else ""
        return f"{len(self.draws)} resamples of the runs (seed {self.seed}){lost}"


def percentile_interval(draws: Array, level: float) -> tuple[float, float]:
    """The middle ``level`` of the draws.

    Raises:
        FitError: a level outside (0, 1), or no draws.
    """
    if not 0 < level < 1:
        raise FitError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")
    if not draws.size:
        raise FitError("no resample of the runs could be fitted", hint="add runs")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resample(problem: Problem, starts: Array, n: int, seed: int) -> Bootstrap:
    """Refit ``n`` resamples of the runs from each of ``starts`` (the fit's own vector first), keeping the best."""
    rng = np.random.default_rng(seed)
    runs = problem.y.size
    rows = max(1, min(_BATCH_ROWS, _BATCH // runs))

    def batches() -> Iterator[Array]:
        for first in range(0, n, rows):
            yield rng.multinomial(runs, np.full(runs, 1 / runs), size=min(rows, n - first)).astype(np.float64)

    weights = list(batches())
    kept = []
    for batch, (vectors, values, _, status) in zip(weights, polish(problem, starts, weights), strict=True):
        best = np.argmin(np.where((status == 0) & np.isfinite(values), values, np.inf), axis=1)
        row = np.arange(len(batch))
        good = (status[row, best] == 0) & _enough_values(problem, batch)
        good &= ~absent_terms(problem, vectors[row, best]).any(axis=1)
        kept.append(vectors[row, best][good])
    draws = problem.to_natural(np.concatenate(kept))
    return Bootstrap(problem.law.names, draws, n - len(draws), seed)


def _enough_values(problem: Problem, weights: Array) -> NDArray[np.bool_]:
    """Which resamples still have as many distinct values of each input as the law needs."""
    fewest = fewest_values(problem.law)
    enough = np.ones(len(weights), dtype=bool)
    for z in problem.z:
        values, index = np.unique(z, return_inverse=True)
        if values.size <= 64:
            member = np.eye(values.size)[index]
            enough &= ((weights @ member) > 0).sum(axis=1) >= fewest
    return enough


def covariance(problem: Problem, vector: Array) -> Array:
    """Covariance of the natural parameters in the law's order; NaN for a parameter at a bound.

    Least squares: s^2 (J'J)^-1 with s^2 over n - p. Huber: the same with s^2 = (sum psi^2/(n - p)) / mean(psi')^2
    (Huber 1981, section 7.6). Natural parameters by the delta method.
    """
    residuals, jacobian = problem.residuals(vector)
    moving = problem.moving(vector)
    columns = jacobian[:, moving]
    length = np.linalg.norm(columns, axis=0)
    inverse = np.linalg.pinv(columns / length) / length[:, None]
    psi = np.clip(residuals, -problem.delta, problem.delta)
    inside = float(np.mean(np.abs(residuals) <= problem.delta))
    variance = (psi @ psi) / (residuals.size - moving.size) / max(inside, 1 / residuals.size) ** 2
    in_vector = np.zeros((vector.size, vector.size))
    in_vector[np.ix_(moving, moving)] = variance * inverse @ inverse.T
    uncentre = np.eye(vector.size)
    uncentre[1, 1] = np.exp(problem.level)
    for k, centre in enumerate(problem.centre):
        uncentre[2 + 2 * k, 0 if problem.tied[k] else 3 + 2 * k] = centre
    jacobian = problem.law.form.natural_jacobian(problem.uncentred(vector), problem.law.names) @ uncentre
    natural: Array = jacobian @ in_vector @ jacobian.T
    stuck = {problem.name_of(int(m)) for m in np.flatnonzero(problem.at_bounds(vector))}
    for i, name in enumerate(problem.law.names):
        if name in stuck:
            natural[i], natural[:, i] = np.nan, np.nan
    return natural
