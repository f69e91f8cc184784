"""Where the solver starts: a grid over the exponents, with everything that is linear given them solved exactly.

For fixed a and g_k the law is linear in E and exp(k_k/a): L**(1/a) = E + sum_k exp(k_k/a) x_k**(-g_k/a). Dividing it
by L**(1/a) turns small residuals of log loss into linear least squares with nonnegative unknowns (variable projection).
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_RUNS = 256
_CHUNK = 2_000_000
_POINTS = {1: 200, 2: 24}


def grid_starts(z: Array, y: Array, lower: Array, upper: Array, tied: NDArray[np.bool_], count: int) -> Array:
    """``count`` solver's vectors, best first, then spread over the whole grid; shape (count, p).

    Args:
        z: centred log inputs, shape (terms, n).
        y: centred log loss, shape (n,).
        lower, upper: bounds of the solver's vector; equal where fixed.
        tied: which terms have g = a.
    """
    rows = np.unique(np.linspace(0, y.size - 1, min(y.size, _RUNS)).astype(np.int64))
    z, y = z[:, rows], y[rows]
    terms = z.shape[0]
    exponents = [0, *(3 + 2 * k for k in range(terms))]
    free = [m for m in exponents if lower[m] < upper[m]]
    points = _POINTS.get(len(free), 10)
    axes = [np.geomspace(max(lower[m], 0.03), upper[m], points) if m in free else lower[m : m + 1] for m in exponents]
    grid = np.array(list(itertools.product(*axes)))
    grid[:, 1:][:, tied] = grid[:, :1]
    with_floor = bool(upper[1] > 0)
    values, linear = np.empty(len(grid)), np.zeros((len(grid), 1 + terms))
    step = max(1, _CHUNK // (y.size * (1 + terms)))
    for first in range(0, len(grid), step):
        part = slice(first, first + step)
        with np.errstate(all="ignore"):  # a grid point where powers overflow is never chosen
            values[part], linear[part] = _project(grid[part], z, y, with_floor)
    vectors = np.zeros((len(grid), 2 + 2 * terms))
    vectors[:, exponents] = grid
    if with_floor:
        vectors[:, 1] = linear[:, 0]
    # a term that the projection drops is started small, not absent, so that the solver can bring it back
    vectors[:, 2::2] = grid[:, :1] * np.log(np.maximum(linear[:, 1:], 1e-3))
    return vectors[_choose(values, [len(axis) for axis in axes], count)]


def _project(grid: Array, z: Array, y: Array, with_floor: bool) -> tuple[Array, Array]:
    """Least weighted residual and nonnegative unknowns (E, exp(k_k/a)) at grid points; by all active sets."""
    terms = z.shape[0]
    inverse = np.exp(-y[None] / grid[:, :1])
    powers = grid[:, 1:] / grid[:, :1]
    columns = [inverse, *(np.exp(-powers[:, k, None] * z[k]) * inverse for k in range(terms))]
    design = np.stack(columns, axis=1)
    gram = design @ design.transpose(0, 2, 1)
    target = design.sum(axis=2)
    best = np.full(len(grid), np.inf)
    linear = np.zeros((len(grid), 1 + terms))
    choices = range(0 if with_floor else 1, 1 + terms)
    for size in range(1, len(choices) + 1):
        for active in itertools.combinations(choices, size):
            index = np.array(active)
            block = gram[:, index[:, None], index]
            scale = 1 / np.sqrt(np.einsum("mii->mi", block))
            block = block * scale[:, :, None] * scale[:, None, :] + 1e-13 * np.eye(size)
            solution = np.linalg.solve(block, (target[:, index] * scale)[:, :, None])[:, :, 0] * scale
            residual = y.size - np.einsum("mi,mi->m", solution, target[:, index])
            residual = residual * grid[:, 0] ** 2
            better = (solution >= 0).all(axis=1) & (residual < best)
            best[better] = residual[better]
            linear[better] = 0.0
            linear[np.ix_(better, index)] = solution[better]
    return best, linear


def _choose(values: Array, shape: list[int], count: int) -> NDArray[np.int64]:
    """The local minima of the grid, best first, then points evenly spaced by rank."""
    table = values.reshape(shape)
    lowest = np.ones(table.shape, dtype=bool)
    for axis in range(table.ndim):
        down = np.diff(table, axis=axis)
        pad = [(1, 0) if i == axis else (0, 0) for i in range(table.ndim)]
        lowest &= np.pad(down <= 0, pad, constant_values=True)
        lowest &= np.pad(down >= 0, [(b, a) for a, b in pad], constant_values=True)
    minima = np.flatnonzero(lowest.ravel() & np.isfinite(values))
    minima = minima[np.argsort(values[minima], kind="stable")][: max(1, count // 2)]
    ranked = np.argsort(values, kind="stable")
    ranked = ranked[~np.isin(ranked, minima)]
    spread = ranked[np.linspace(0, ranked.size - 1, max(0, min(count - minima.size, ranked.size))).astype(np.int64)]
    return np.concatenate([minima, spread])
