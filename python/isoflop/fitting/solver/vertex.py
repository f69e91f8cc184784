"""Where a sum of absolute residuals is least: on as many points as there are free coordinates, a vertex."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.solver.compile import VERTEX, small, unit
from isoflop.fitting.solver.descend import expand, solve
from isoflop.fitting.solver.sums import residuals

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Compiled = Any

_TURNS = 6
_ON_THE_LAW = 1e-11


@small
def _rows(
    jacobian: Compiled, u0: Array, f: Array, v: Array, z: Array, x: Array, y: Array, s: Array, logs: bool,
    r: Array, j: Array,
) -> None:  # fmt: skip
    """Residuals r (n,) and their derivatives by v, j (n, q), of all points of the blocks in turn."""
    p, q = f.shape
    size = y.shape[1]
    u, block, values = np.empty(p), np.empty((p, size)), np.empty(size)
    expand(u0, f, v, u)
    for b in range(z.shape[0]):
        jacobian(u, z[b], x[b], values, block)
        residuals(values, y[b], s[b], logs, r[b * size : (b + 1) * size])
        for i in range(size):
            scale = s[b, i] / values[i] if logs else s[b, i]
            for a in range(q):
                total = 0.0
                for m in range(p):
                    total += f[m, a] * block[m, i]
                j[b * size + i, a] = scale * total


@small
def _inside(lower: Array, upper: Array, v: Array, free: Indices) -> int:
    """Fill ``free`` with the coordinates strictly inside their bounds; how many."""
    count = 0
    for a in range(v.size):
        if lower[a] < v[a] < upper[a]:
            free[count] = a
            count += 1
    return count


@small
def _through(r: Array, j: Array, w: Array, free: Indices, n_free: int, chosen: Indices) -> int:
    """The ``n_free`` points nearest to the law whose derivatives are independent; how many there are."""
    used = np.zeros(w.size, dtype=np.bool_)
    basis, row = np.empty((n_free, n_free)), np.empty(n_free)
    found = 0
    for _ in range(8 * n_free):
        nearest = -1
        for i in range(r.size):
            if w[i] > 0.0 and not used[i] and (nearest < 0 or abs(r[i]) < abs(r[nearest])):
                nearest = i
        if nearest < 0 or found == n_free:
            break
        used[nearest] = True
        length, left = 0.0, 0.0
        for a in range(n_free):
            row[a] = j[nearest, free[a]]
            length += row[a] * row[a]
        for b in range(found):
            along = 0.0
            for a in range(n_free):
                along += row[a] * basis[b, a]
            for a in range(n_free):
                row[a] -= along * basis[b, a]
        for a in range(n_free):
            left += row[a] * row[a]
        if left > 1e-14 * length:
            for a in range(n_free):
                basis[found, a] = row[a] / math.sqrt(left)
            chosen[found] = nearest
            found += 1
    return found


@small
def _absolute(r: Array, w: Array, up: float, down: float) -> float:
    """Sum of w |r|, predictions above the observation weighing ``up`` and below it ``down``."""
    total = 0.0
    for i in range(r.size):
        total += w[i] * (up if r[i] > 0.0 else -down) * r[i]
    return total


@small
def _pull(r: Array, j: Array, w: Array, up: float, down: float, free: Indices, n_free: int, out: Array) -> float:
    """Less the gradient of the points off the law, into ``out``; the weight of those on it."""
    on = 0.0
    for a in range(n_free):
        out[a] = 0.0
    for i in range(r.size):
        weight = w[i] * (up if r[i] > 0.0 else -down)
        if abs(r[i]) > _ON_THE_LAW:
            for a in range(n_free):
                out[a] -= weight * j[i, free[a]]
        else:
            on += abs(weight)
    return on


@unit(VERTEX, "units")
def to_vertex(
    jacobian: Compiled, u0: Array, f: Array, lower: Array, upper: Array, z: Array, x: Array, y: Array, s: Array,
    w: Array, up: float, down: float, logs: bool, v: Array,
) -> tuple[float, float]:  # fmt: skip
    """Move ``v`` in place onto the nearest vertex, where the sum of w |r| is not larger there.

    Returns the sum, and the largest excess of a multiplier over its point's weight, at most 0 at a minimum; infinite
    where ``v`` has stayed.
    """
    n, q = w.size, v.size
    flat, moved = np.empty(n), np.empty(q)
    r, j = np.empty(n), np.empty((n, q))
    free, every, chosen = np.empty(q, dtype=np.int64), np.empty(q, dtype=np.int64), np.empty(q, dtype=np.int64)
    square, low, rhs, step = np.zeros((q, q)), np.empty((q, q)), np.empty(q), np.empty(q)
    before, after, on = 0.0, 0.0, 0.0
    for i in range(n):
        flat[i] = w[i // w.shape[1], i % w.shape[1]]
    for a in range(q):
        moved[a], every[a] = v[a], a
    n_free = _inside(lower, upper, v, free)
    found = n_free
    for turn in range(_TURNS + 1):
        _rows(jacobian, u0, f, moved, z, x, y, s, logs, r, j)
        if turn == 0:
            found = _through(r, j, flat, free, n_free, chosen)
            before = _absolute(r, flat, up, down)
        if turn == 0 and found < n_free:
            break
        for a in range(n_free):
            rhs[a] = 0.0
            for k in range(n_free):
                rhs[a] += j[chosen[k], free[a]] * r[chosen[k]]
            for b in range(a + 1):
                square[a, b] = 0.0
                for k in range(n_free):
                    square[a, b] += j[chosen[k], free[a]] * j[chosen[k], free[b]]
        if turn == _TURNS:
            after = _absolute(r, flat, up, down)
            on = _pull(r, j, flat, up, down, free, n_free, rhs)
        if not solve(square, square, 0.0, rhs, every, n_free, low, step):
            found = -1
            break
        if turn < _TURNS:
            for a in range(n_free):
                moved[free[a]] = min(max(moved[free[a]] - step[a], lower[free[a]]), upper[free[a]])
    if found < n_free or not after <= before:
        return before, math.inf
    for a in range(q):
        v[a] = moved[a]
    for k in range(n_free):
        on -= flat[chosen[k]] * (up if r[chosen[k]] > 0.0 else down)
    excess = -math.inf
    for k in range(n_free):
        multiplier = 0.0
        for a in range(n_free):
            multiplier += j[chosen[k], free[a]] * step[a]
        # copies of a point share its multiplier
        bound = flat[chosen[k]] * (up if multiplier > 0.0 else down) + max(on, 0.0)
        excess = max(excess, abs(multiplier) / bound - 1.0)
        if abs(r[chosen[k]]) > _ON_THE_LAW:
            return after, math.inf
    return after, excess
