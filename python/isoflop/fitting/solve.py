"""The minimisation: a law and its data in the solver's centred coordinates, many starts, and what they agree on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting.data import FitData
from isoflop.fitting.objective import Objective
from isoflop.fitting.starts import grid_starts
from isoflop.laws.law import Law

Array = NDArray[np.float64]

AGREE = 1e-6
"""Starts whose objectives differ by less than this, relatively, found the same optimum."""

_THREADS = 2
_ABSENT = 1e-9
_BEYOND = 300.0


@dataclass(frozen=True)
class Certificate:
    """How sure the optimum is.

    Attributes:
        starts: starts polished to the end.
        hit_rate: share of them that reached the best objective to one part in a million.
        spread: largest objective a converged start ended at over the best one, less one; 0 where all agree.
        condition: condition number of J'J at the optimum, columns scaled to one length and inputs centred.
        gradient: largest cosine between the residuals and a column of the Jacobian; 0 at an exact optimum.
        at_bounds: parameters that ended at a bound of their domain.
        converged: the solver's own verdict; a fit that is not converged is never returned.
    """

    starts: int
    hit_rate: float
    spread: float
    condition: float
    gradient: float
    at_bounds: tuple[str, ...]
    converged: bool


@dataclass(frozen=True)
class Problem:
    """ln L and ln inputs of the runs, both centred, with bounds of the solver's vector.

    Attributes:
        law: the law to fit.
        z: ln of each term's input less its mean, shape (terms, n).
        y: ln L less its mean, shape (n,).
        centre: the means taken off the inputs, shape (terms,).
        level: the mean taken off ln L.
        lower, upper: bounds of the vector, shape (p,).
        tied: which terms have the outer exponent as their own, shape (terms,).
        delta: where rho turns linear.
    """

    law: Law
    z: Array
    y: Array
    centre: Array
    level: float
    lower: Array
    upper: Array
    tied: NDArray[np.bool_]
    delta: float

    @classmethod
    def of(cls, law: Law, data: FitData, objective: Objective) -> Problem:
        """Centre the data's logarithms."""
        logs = np.array([np.log(data.columns[term.input]) for term in law.form.terms])
        y = np.log(data.columns["L"])
        centre, level = logs.mean(axis=1), float(y.mean())
        lower, upper = law.form.bounds()
        z = np.ascontiguousarray(logs - centre[:, None])
        return cls(law, z, y - level, centre, level, lower, upper, np.array(law.form.tied), objective.delta)

    def centred(self, vectors: Array) -> Array:
        """Vectors (..., p) taken from one unit of inputs and loss to the centre of the data."""
        moved = vectors.copy()
        moved[..., 1] *= np.exp(-self.level)
        moved[..., 2::2] -= vectors[..., 3::2] * self.centre + self.level
        return moved

    def uncentred(self, vectors: Array) -> Array:
        """The way back."""
        moved = vectors.copy()
        moved[..., 1] *= np.exp(self.level)
        moved[..., 2::2] += vectors[..., 3::2] * self.centre + self.level
        return moved

    def to_natural(self, vectors: Array) -> Array:
        """Centred vectors (..., p) as natural parameters in the law's order (..., len(law.names))."""
        natural = self.law.form.to_natural(self.uncentred(vectors))
        return np.stack([natural[name] for name in self.law.names], axis=-1)

    def name_of(self, entry: int) -> str:
        """Parameter that an entry of the vector stands for."""
        form = self.law.form
        outer_and_floor = (form.outer or "", form.floor or "")
        if entry < 2:
            return outer_and_floor[entry]
        term = form.terms[(entry - 2) // 2]
        return term.exponent if entry % 2 else term.coefficient

    def at_bounds(self, vector: Array) -> NDArray[np.bool_]:
        """Entries that are free to move but ended at a bound."""
        return (self.lower < self.upper) & ((vector <= self.lower) | (vector >= self.upper))

    def moving(self, vector: Array) -> NDArray[np.int64]:
        """Entries strictly inside their bounds."""
        return np.flatnonzero((vector > self.lower) & (vector < self.upper))

    def residuals(self, vector: Array) -> tuple[Array, Array]:
        """r = ln Lhat - ln L (n,) and its Jacobian by the vector (n, p)."""
        a = vector[0]
        exponents = (vector[2::2, None] - vector[3::2, None] * self.z) / a
        powers = np.exp(exponents)
        inner = vector[1] + powers.sum(axis=0)
        share = powers / inner
        # of a tied term only k/a moves with a: its g/a stays 1
        moved = np.where(self.tied[:, None], vector[2::2, None] / a, exponents)
        jacobian = np.zeros((self.y.size, vector.size))
        jacobian[:, 0] = np.log(inner) - (share * moved).sum(axis=0)
        jacobian[:, 1] = a / inner
        jacobian[:, 2::2] = share.T
        jacobian[:, 3::2] = np.where(self.tied, 0.0, -share.T * self.z.T)
        return a * np.log(inner) - self.y, jacobian


def polish(
    problem: Problem, starts: Array, weights: Iterable[Array]
) -> Iterator[tuple[Array, Array, Array, NDArray[np.int64]]]:
    """Minimise from every start (S, p) under every row of each batch of weights (R, n).

    Yields, a batch at a time and in order: vectors (R, S, p), objectives, cosines and status (R, S), 0 for converged.
    """
    from isoflop.fitting.kernel import polish_all

    starts = np.ascontiguousarray(starts)

    def run(batch: Array) -> tuple[Array, Array, Array, NDArray[np.int64]]:
        shape = (len(batch), len(starts))
        vectors, values, cosines = np.empty((*shape, starts.shape[1])), np.empty(shape), np.empty(shape)
        status = np.empty(shape, dtype=np.int64)
        p = problem
        polish_all(starts, p.z, p.y, batch, p.lower, p.upper, p.tied, p.delta, vectors, values, cosines, status)
        return vectors, values, cosines, status

    batches = [np.ascontiguousarray(batch) for batch in weights]
    if len(batches) == 1:
        yield run(batches[0])
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(run, batches)


def starting_points(problem: Problem, count: int) -> Array:
    """The grid's best starts and some spread over it, shape (count, p)."""
    return grid_starts(problem.z, problem.y, problem.lower, problem.upper, problem.tied, count)


def minimise(problem: Problem, n_starts: int) -> tuple[Array, float, Certificate]:
    """The best vector over the starts, its objective and its certificate.

    Raises:
        FitError: the best start did not converge.
        NotIdentifiable: the loss does not depend on an input, so a coefficient runs to zero.
    """
    starts = starting_points(problem, n_starts)
    ((vectors, values, cosines, status),) = polish(problem, starts, [np.ones((1, problem.y.size))])
    values = np.where(np.isfinite(values[0]), values[0], np.inf)
    # rounding of ln L alone gives this much: below it all objectives are the same
    noise = problem.y.size * (1e-14 * (1 + abs(problem.level) + float(np.abs(problem.y).max()))) ** 2
    same = values <= values.min() * (1 + AGREE) + noise
    converged = status[0] == 0
    best = int(np.argmin(np.where(same & converged, values, np.inf)))
    vector, value = vectors[0, best], float(values[best])
    _require_all_terms(problem, vectors[0, int(np.argmin(values))])
    if not (same & converged).any():
        raise FitError(
            f"{problem.law.name}: the best of {len(starts)} starts did not converge (cosine {cosines[0].min():.1e})",
            hint="plot the runs: the law may not be of their form; or give more starts",
        )
    settled = values[converged]
    certificate = Certificate(
        starts=len(starts),
        hit_rate=float((same & converged).mean()),
        spread=0.0 if value <= noise else float(settled.max() / value - 1.0),
        condition=condition(problem, vector),
        gradient=float(cosines[0, best]) if value > noise else 0.0,
        at_bounds=tuple(problem.name_of(int(m)) for m in np.flatnonzero(problem.at_bounds(vector))),
        converged=True,
    )
    return vector, value, certificate


def condition(problem: Problem, vector: Array) -> float:
    """Condition number of J'J over the entries inside their bounds, columns scaled to one length."""
    _, jacobian = problem.residuals(vector)
    columns = jacobian[:, problem.moving(vector)]
    singular = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), compute_uv=False)
    return float((singular[0] / max(singular[-1], 1e-300)) ** 2)


def absent_terms(problem: Problem, vectors: Array) -> NDArray[np.bool_]:
    """Whether a term has run out of the law, shape (..., terms): too small to see, or its scale beyond any number."""
    a, k, g = vectors[..., :1], vectors[..., 2::2], vectors[..., 3::2]
    largest = (k + np.abs(g) * np.abs(problem.z).max(axis=1)) / a
    scale = problem.uncentred(vectors)[..., 2::2]
    if problem.law.form.outer:
        scale = scale / g
    absent: NDArray[np.bool_] = ~((largest > np.log(_ABSENT)) & (np.abs(scale) < _BEYOND))
    return absent


def _require_all_terms(problem: Problem, vector: Array) -> None:
    for term, absent in zip(problem.law.form.terms, absent_terms(problem, vector), strict=True):
        if absent:
            raise NotIdentifiable(
                f"{problem.law.name}: {term.coefficient} runs out of bounds, the loss of these runs does not fall with"
                f" {term.input} as the law says",
                hint=f"add runs that differ more in {term.input}, or fit a law without it",
            )
