"""Covariance of the parameters at the optimum: under one spread for all runs, or robust to runs that differ.

Both by the delta method from the solver's coordinates, in which the objective is nearest to a parabola.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.bend import run_bends, share_inside, sparsity
from isoflop.fitting.descent import covariance_of
from isoflop.fitting.passes import sums_in_memory
from isoflop.fitting.problem import Problem
from isoflop.fitting.rho import psi

Array = NDArray[np.float64]

_SATURATED = 1e-6
"""A run whose leverage is nearer to 1 than this determines a direction alone: it says nothing of its own noise."""


@dataclass(frozen=True)
class Linear:
    """The fit near its optimum, as a regression on the Jacobian.

    Attributes:
        residuals: shape (n,).
        weights: shape (n,).
        columns: the Jacobian times root weights, in the coordinates that move, shape (n, m).
        inverse: pseudo-inverse of the columns, shape (m, n).
        slope: d natural / d moving coordinates, shape (p, m).
        undetermined: parameters at a bound or unseen.
    """

    residuals: Array
    weights: Array
    columns: Array
    inverse: Array
    slope: Array
    undetermined: tuple[str, ...]

    @classmethod
    def of(cls, problem: Problem, vector: Array) -> Linear:
        """At a vector of free coordinates."""
        residuals, jacobian = problem.residuals(vector)
        columns = np.sqrt(problem.w)[:, None] * jacobian
        length = np.linalg.norm(columns, axis=0)
        moving = problem.moving(vector)
        unseen = [int(m) for m in moving if not length[m] > 0]
        moving = moving[length[moving] > 0]
        columns, length = columns[:, moving], length[moving]
        u = problem.coordinates.expand(vector)
        slope = problem.law.code.natural_jacobian(u, problem.coordinates.centre) @ problem.coordinates.spread
        stuck = [name for m in (*problem.at_bounds(vector), *unseen) for name in problem.names_of(int(m))]
        inverse = np.linalg.pinv(columns / length) / length[:, None]
        return cls(residuals, problem.w, columns, inverse, slope[:, moving], tuple(stuck))

    @property
    def leverage(self) -> Array:
        """How much of each run's residual its own parameters take away, shape (n,)."""
        return np.asarray(np.einsum("nm,mn->n", self.columns, self.inverse))

    def natural(self, inner: Array, names: tuple[str, ...]) -> Array:
        """A covariance of the moving coordinates as one of natural parameters; NaN for one that is undetermined."""
        out: Array = self.slope @ inner @ self.slope.T
        for i, name in enumerate(names):
            if name in self.undetermined:
                out[i], out[:, i] = np.nan, np.nan
        return out


def covariance(problem: Problem, vector: Array) -> Array:
    """Covariance of the natural parameters in the law's order; NaN for one at a bound or unseen, 0 for a fixed one.

    Least squares: s^2 (J'WJ)^-1 with s^2 over n - p, or s = 1 where the noise is known. Huber: the same with
    s^2 = (sum psi^2/(n - p)) / mean(psi')^2 (Huber 1981, section 7.6), the mean over Hall and Sheather's bandwidth
    where delta is narrower. Quantiles: tau (1 - tau)/f(0)^2, the density of the residuals at 0 over that bandwidth
    (Koenker 2005, section 3.4).
    """
    if problem.many:
        here, squares = (
            sums_in_memory(problem, vector, delta, newton=False) for delta in (problem.criterion.delta, np.inf)
        )
        found = covariance_of(problem, vector, here, squares, problem.n_used, known_scale=problem.scale_is_known)
        return in_natural(problem, vector, found)
    linear = Linear.of(problem, vector)
    inner = _variance(problem, linear) * linear.inverse @ linear.inverse.T
    return linear.natural(inner, problem.law.names)


def in_natural(problem: Problem, vector: Array, in_free: Array) -> Array:
    """A covariance (q, q) of free coordinates as one of natural parameters, (p, p); NaN for one at a bound."""
    u = problem.coordinates.expand(vector)
    slope = problem.law.code.natural_jacobian(u, problem.coordinates.centre) @ problem.coordinates.spread
    natural: Array = slope @ in_free @ slope.T
    stuck = {name for m in problem.at_bounds(vector) for name in problem.names_of(int(m))}
    for i, name in enumerate(problem.law.names):
        if name in stuck:
            natural[i], natural[:, i] = np.nan, np.nan
    return natural


def sandwich(problem: Problem, vector: Array) -> Array:
    """Covariance that holds where runs differ in noise, and, where they have clusters, where those of one are alike.

    The sum over clusters (or runs) of squared influences, each as if its cluster had been left out: HC3 of MacKinnon
    and White 1985 and its cluster form, CR3 (Cameron and Miller 2015, section VI.B), times (G - 1)/G. Where rho has a
    corner, each run's bend is a kernel about its own residual (Powell 1991; Koenker 2005, section 3.4.2): a noisy run
    bends the objective less. Shape and NaN as :func:`covariance`.
    """
    linear = Linear.of(problem, vector)
    inner = _influences(problem, linear)
    groups = len(inner)
    return linear.natural((groups - 1) / groups * inner.T @ inner, problem.law.names)


def influences(problem: Problem, vector: Array) -> Array:
    """How far each run, or cluster where there are any, pulls the natural parameters, shape (groups, p)."""
    linear = Linear.of(problem, vector)
    return np.asarray(_influences(problem, linear) @ linear.slope.T)


def _influences(problem: Problem, linear: Linear) -> Array:
    """Of each cluster on the moving coordinates, had it been left out, shape (groups, m)."""
    root = np.sqrt(linear.weights)
    scores = root * psi(linear.residuals, problem.criterion.delta, problem.criterion.sides)
    bends = run_bends(problem.criterion, problem.w, linear.residuals)
    white = _whitening(np.sqrt(bends)[:, None] * linear.columns)
    columns = linear.columns @ white
    cluster = problem.data.cluster
    used = np.flatnonzero(linear.weights > 0)
    if cluster is None:
        # a leverage of 1 leaves a residual of 0, and no pull
        left = np.maximum(1.0 - bends * np.einsum("nm,nm->n", columns, columns), _SATURATED)
        return np.asarray(-(columns * (scores / left)[:, None])[used] @ white.T)
    pulls = []
    # by the eigenvectors of what a cluster bends: as small as the parameters are few, however long its curve
    for group in np.unique(cluster[used]):
        rows = used[cluster[used] == group]
        share, axes = np.linalg.eigh(columns[rows].T @ (bends[rows, None] * columns[rows]))
        left = 1.0 - share
        pulled = axes.T @ (columns[rows].T @ scores[rows])
        pulls.append(-axes @ np.divide(pulled, left, where=left > _SATURATED, out=np.zeros_like(left)))
    return np.array(pulls) @ white.T


def _whitening(columns: Array) -> Array:
    """W with W W' the pseudo-inverse of columns' columns, shape (m, rank)."""
    length = np.linalg.norm(columns, axis=0)
    length[length == 0] = 1.0
    _, values, axes = np.linalg.svd(columns / length, full_matrices=False)
    keep = values > values.max(initial=0.0) * max(columns.shape) * np.finfo(float).eps
    return np.asarray((axes[keep] / values[keep, None]).T / length[:, None])


def _variance(problem: Problem, linear: Linear) -> float:
    """Variance of the residual of a run of weight 1, as the criterion sees it."""
    w, n, free = problem.w, problem.n_used, linear.columns.shape[1]
    delta = problem.criterion.delta
    if delta > 0.0:
        if problem.scale_is_known:
            return 1.0
        slope = psi(linear.residuals, delta)
        return float(w @ slope**2 / (n - free) / share_inside(problem.criterion, problem.w, linear.residuals) ** 2)
    up, down = problem.criterion.sides
    tau = down / (up + down)
    return float(tau * (1 - tau) * sparsity(problem.criterion, problem.w, linear.residuals) ** 2 * n / (n - free))
