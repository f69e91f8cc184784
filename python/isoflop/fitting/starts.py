"""Where the solver starts: points spread evenly over the nonlinear coordinates, the linear ones solved exactly there.

Given the nonlinear coordinates, the output is linear in the rest, so that rows divided by the observation turn small
residuals of logarithms into linear least squares with bounds (variable projection). A law without linear parameters is
screened by a few steps of the solver instead.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.objective import LeastSquares
from isoflop.fitting.problem import Problem

Array = NDArray[np.float64]

ROWS = 256
"""Runs that starts are judged on, taken evenly."""

_POINTS = {0: 1, 1: 200, 2: 576}
_MORE = 2048
_KEPT = 128
_STEPS = 6
_APART = 0.15
_SMALL = 1e-3
_SCALES = (-10.0, 25.0)
"""Range of ln(scale/x0): N_c of Kaplan's laws lies up to 20 e-folds above the models of the fit."""


def starting_points(problem: Problem, count: int, rows: int = ROWS) -> Array:
    """``count`` vectors of free coordinates, judged on some ``rows``; shape (count, q).

    The best ones apart from each other, then some spread by rank.
    """
    linear = _linear(problem)
    v, cube = scattered(problem, _POINTS.get(len(problem.coordinates.members) - len(linear), _MORE))
    few = _fewer_rows(problem, rows)
    if linear:
        values = _project(few, v, linear)
        return v[_choose(values, cube, count)]
    # squares have few minima, which a few steps come near; sums that bend have others, seen where they are not stepped
    bent = v[_choose(_stepped(few, v.copy(), 0), cube, count // 2)] if np.isfinite(problem.criterion.delta) else v[:0]
    few = replace(few, criterion=LeastSquares(log=problem.criterion.log))
    values = _stepped(few, v, 0)
    best = np.argsort(values, kind="stable")[: max(_KEPT, 4 * count)]
    v, cube = v[best], cube[best]
    values = _stepped(few, v, _STEPS)
    return np.concatenate([v[_choose(values, cube, count - len(bent))], bent])


def scattered(problem: Problem, count: int) -> tuple[Array, Array]:
    """Vectors (count, q) spread evenly over the nonlinear coordinates, the linear ones 0 (a term is 1 where centred),
    and their shares of each range.
    """
    linear = _linear(problem)
    nonlinear = [k for k in range(len(problem.coordinates.members)) if k not in linear]
    cube = _even_points(count, len(nonlinear))
    v = np.zeros((len(cube), len(problem.coordinates.members)))
    for column, k in enumerate(nonlinear):
        v[:, k] = _spread(problem, k, cube[:, column])
    return v, cube


def _stepped(problem: Problem, v: Array, steps: int) -> Array:
    """Move v (G, q) a few steps of the solver; the objectives (G,)."""
    from isoflop.fitting.solve import polish

    polished = polish(problem, v, problem.w[None], iterations=steps)
    v[:] = polished.vectors[0]
    return np.where(np.isfinite(polished.values[0]), polished.values[0], np.inf)


def _linear(problem: Problem) -> list[int]:
    """Free coordinates in which the output is linear (a scale: in its exponential)."""
    c, linear = problem.coordinates, set(problem.law.code.LINEAR)
    return [k for k, group in enumerate(c.members) if c.plain[k] and group[0] in linear]


def _even_points(count: int, dims: int) -> Array:
    """Additive recurrence on the generalised golden ratio: even in every projection; shape (count, dims)."""
    golden = 1.5
    for _ in range(60):
        golden = (1.0 + golden) ** (1.0 / (dims + 1))
    steps = golden ** -np.arange(1.0, dims + 1)
    return np.asarray((0.5 + np.arange(count)[:, None] * steps) % 1.0)


def _spread(problem: Problem, k: int, share: Array) -> Array:
    """A free coordinate at shares (n,) of its range."""
    c = problem.coordinates
    first = c.members[k][0]
    low, high = c.lower[k], c.upper[k]
    if problem.law.code.START[first]:
        low, high = np.clip(_declared(problem, first, k), low, high)
        if low > 0 and not problem.law.code.LOG[first]:
            return np.asarray(low * (high / low) ** share)
        return np.asarray(low + share * (high - low))
    if problem.law.code.LOG[first]:
        middle = np.where(problem.law.code.LOG, 0.0, 0.3)
        shift = float(c.contract(middle)[k])
        low, high = (
            bound if np.isfinite(bound) else shift + reach for bound, reach in zip((low, high), _SCALES, strict=True)
        )
        return np.asarray(low + share * (high - low))
    if low >= 0.0:
        # a floor is a part of the smallest output, an exponent a part of its largest
        smallest = float(np.exp(problem.y.min())) if problem.criterion.log else float(np.abs(problem.y).min())
        high = high if np.isfinite(high) else max(smallest, low + 1e-300)
        low = max(low, 6e-3 * high)
        return np.asarray(low * (high / low) ** share)
    low, high = max(low, -5.0), min(high, 5.0)
    return np.asarray(low + share * (high - low))


def _declared(problem: Problem, parameter: int, k: int) -> Array:
    """The two ends of the law's own range for a parameter, as free coordinate k."""
    law, c = problem.law, problem.coordinates
    start = law.code.START[parameter]
    column = problem.data.columns[start] if isinstance(start, str) else np.array(start)
    natural = np.tile(np.where(law.code.LOG, 1.0, 0.3), (2, 1))
    natural[:, parameter] = column.min(), column.max()
    with np.errstate(divide="ignore"):
        ends = c.contract(law.code.inner(natural, c.centre))[:, k]
    return np.asarray(ends)


def _fewer_rows(problem: Problem, count: int) -> Problem:
    used = np.flatnonzero(problem.w > 0)
    rows = used[np.unique(np.linspace(0, used.size - 1, min(used.size, count)).astype(np.int64))]

    def take(a: Array) -> Array:
        return np.ascontiguousarray(a[..., rows])

    p = problem
    return Problem(p.law, p.data, p.criterion, p.coordinates, take(p.z), take(p.x), take(p.y), take(p.s), take(p.w))


def _project(problem: Problem, v: Array, linear: list[int]) -> Array:
    """Fill the linear coordinates of v (G, q) by bounded least squares; its residuals (G,)."""
    from isoflop.fitting.solver.screen import normal_equations

    c = problem.coordinates
    log = np.array(problem.law.code.LOG)
    which = np.array([c.members[k][0] for k in linear], dtype=np.int64)
    y = np.exp(problem.y) if problem.criterion.log else problem.y
    scale = np.sqrt(problem.w) * problem.s / (y if problem.criterion.log else 1.0)
    size = len(linear)
    gram, moment, square = np.empty((len(v), size, size)), np.empty((len(v), size)), np.empty(len(v))
    u = np.ascontiguousarray(c.expand(v))
    normal_equations(problem.kernels.jacobian, u, problem.z, problem.x, y, scale, which, log, gram, moment, square)
    positive = log[which] | (c.lower[linear] >= 0.0)
    with np.errstate(all="ignore"):  # a point where powers overflow is never chosen
        values, solution = _bounded(gram, moment, square, positive)
    # a term that the projection drops is started small, not absent, so that the solver can bring it back
    least = _SMALL * float(np.median(np.abs(y)))
    for column, k in enumerate(linear):
        found = solution[:, column]
        found = np.log(np.maximum(found, least)) if log[which[column]] else found
        v[:, k] = np.clip(found, c.lower[k], c.upper[k])
    return values


def _bounded(gram: Array, moment: Array, square: Array, positive: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Least residual (G,) and its unknowns (G, k), those marked not negative; by all active sets."""
    size = gram.shape[-1]
    best, unknowns = np.where(np.isfinite(square), square, np.inf), np.zeros(moment.shape)
    for count in range(1, size + 1):
        for active in itertools.combinations(range(size), count):
            index = np.array(active)
            block = gram[:, index[:, None], index]
            scale = 1 / np.sqrt(np.einsum("mii->mi", block))
            block = block * scale[:, :, None] * scale[:, None, :] + 1e-13 * np.eye(count)
            usable = np.isfinite(block).all(axis=(1, 2))
            block[~usable] = np.eye(count)
            solution = np.linalg.solve(block, (moment[:, index] * scale)[:, :, None])[:, :, 0] * scale
            residual = square - np.einsum("mi,mi->m", solution, moment[:, index])
            better = usable & ((solution >= 0) | ~positive[index]).all(axis=1) & (residual < best)
            best[better] = residual[better]
            unknowns[better] = 0.0
            unknowns[np.ix_(better, index)] = solution[better]
    return best, unknowns


def _choose(values: Array, cube: Array, count: int) -> NDArray[np.int64]:
    """Half of them the best that lie apart in the cube, the rest evenly spaced by rank."""
    ranked = np.argsort(values, kind="stable")
    ranked = ranked[np.isfinite(values[ranked])]
    ranked = ranked if ranked.size else np.arange(values.size)
    chosen: list[int] = []
    near = ranked[: 40 * count]
    while near.size and len(chosen) < max(1, count // 2):
        chosen.append(int(near[0]))
        near = near[np.abs(cube[near] - cube[near[0]]).max(axis=1, initial=0.0) > _APART]
    rest = ranked[~np.isin(ranked, chosen)]
    spread = rest[np.linspace(0, rest.size - 1, max(0, min(count - len(chosen), rest.size))).astype(np.int64)]
    return np.concatenate([np.array(chosen, dtype=np.int64), spread])
