"""Damped Newton steps inside bounds: the Hessian where it is positive definite, else the Gauss-Newton matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.solver.compile import BLOCKS, F8, I8, LAW, MAP, RHO, VECTOR, small, types, unit
from isoflop.fitting.solver.sums import DERIVATIVES, OBJECTIVE, ROWS, jacobian_rows

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Compiled = Any

CONVERGED, STALLED, EXHAUSTED = 0, 1, 2

SUMS = (types.FunctionType(OBJECTIVE), types.FunctionType(DERIVATIVES))
DESCEND = types.Tuple((F8, F8, I8))(*SUMS, *LAW, *MAP, *BLOCKS, *RHO, I8, VECTOR)

TIGHT = 1e-9
LOOSE = 1e-6


@small
def expand(u0: Array, f: Array, v: Array, u: Array) -> None:
    """u = u0 + F v."""
    for m in range(u.size):
        total = u0[m]
        for a in range(v.size):
            total += f[m, a] * v[a]
        u[m] = total


@small
def solve(matrix: Array, scale: Array, mu: float, rhs: Array, free: Indices, n_free: int, low: Array, x: Array) -> bool:
    """Solve (matrix + mu diag(scale)) x = rhs on the free entries by Cholesky; False where not positive definite."""
    for i in range(n_free):
        for k in range(i + 1):
            total = matrix[free[i], free[k]]
            if i == k:
                total += mu * scale[free[i], free[i]]
            size = total
            for m in range(k):
                total -= low[i, m] * low[k, m]
            if i == k:
                if not total > 1e-13 * size:
                    return False
                low[i, i] = math.sqrt(total)
            else:
                low[i, k] = total / low[k, k]
    for i in range(n_free):
        total = rhs[free[i]]
        for m in range(i):
            total -= low[i, m] * x[m]
        x[i] = total / low[i, i]
    for i in range(n_free - 1, -1, -1):
        total = x[i]
        for m in range(i + 1, n_free):
            total -= low[m, i] * x[m]
        x[i] = total / low[i, i]
    return True


@small
def reduce(g_u: Array, h_u: Array, f: Array, g: Array, h: Array) -> None:
    """Derivatives by v of those by u: F' g and F' H F, lower triangles."""
    p, q = f.shape
    for a in range(q):
        g[a] = 0.0
        for m in range(p):
            g[a] += f[m, a] * g_u[m]
    for kind in range(2):
        for a in range(q):
            for b in range(a + 1):
                total = 0.0
                for m in range(p):
                    if f[m, a] != 0.0:
                        for k in range(p):
                            total += f[m, a] * h_u[kind, max(m, k), min(m, k)] * f[k, b]
                h[kind, a, b] = total


@small
def moving(v: Array, lower: Array, upper: Array, g: Array, gn: Array, best: float, free: Indices) -> tuple[int, float]:
    """Fill ``free`` with the coordinates that no bound stops; how many, and the largest cosine among them."""
    count = 0
    cosine = 0.0
    for m in range(v.size):
        pinned = lower[m] == upper[m] or (v[m] <= lower[m] and g[m] >= 0.0) or (v[m] >= upper[m] and g[m] <= 0.0)
        if not pinned and gn[m, m] > 0.0:
            free[count] = m
            count += 1
            cosine = max(cosine, abs(g[m]) / math.sqrt(gn[m, m] * 2.0 * best + 1e-300))
    return count, cosine


@small
def newton_step(
    h: Array, mu: float, g: Array, free: Indices, n_free: int, v: Array, lower: Array, upper: Array,
    low: Array, step: Array, trial: Array,
) -> bool:  # fmt: skip
    """Fill ``trial`` with a damped step from ``v`` inside the bounds; False where no matrix is positive definite."""
    solved = False
    for kind in range(2):
        solved = solved or solve(h[kind], h[1], mu, g, free, n_free, low, step)
    for m in range(v.size):
        trial[m] = v[m]
    for i in range(n_free if solved else 0):
        m = free[i]
        trial[m] = min(max(v[m] - step[i], lower[m]), upper[m])
    return solved


@small
def _rounding(y: Array, s: Array, w: Array, logs: bool) -> float:
    """A sum of squares that rounding of the observations alone makes."""
    weight = 0.0
    largest = 0.0
    for b in range(y.shape[0]):
        for i in range(y.shape[1]):
            weight += w[b, i] * s[b, i] * s[b, i]
            largest = max(largest, abs(y[b, i]))
    unit = 4e-15 * (1.0 + largest if logs else largest)
    return 0.5 * weight * unit * unit


@unit(DESCEND, "units")
def descend(
    objective: Compiled, derivatives: Compiled, value: Compiled, jacobian: Compiled, curvature: Compiled,
    u0: Array, f: Array, lower: Array, upper: Array, z: Array, x: Array, y: Array, s: Array, w: Array,
    delta: float, up: float, down: float, logs: bool, iterations: int, v: Array,
) -> tuple[float, float, int]:  # fmt: skip
    """Minimise from ``v`` in place; the objective, the largest cosine of residuals and a column, and the status."""
    p, q = f.shape
    u, rows = np.empty(p), np.empty((ROWS, y.shape[1]))
    for m in range(q):
        v[m] = min(max(v[m], lower[m]), upper[m])
    expand(u0, f, v, u)
    best = objective(value, u, z, x, y, s, w, delta, up, down, logs, rows)
    if not best < math.inf:
        return best, math.inf, STALLED
    if iterations == 0:
        return best, math.inf, EXHAUSTED
    g_u, h_u, j = np.empty(p), np.empty((2, p, p)), np.zeros((jacobian_rows(p), y.shape[1]))
    g, h, step, trial, low = np.empty(q), np.empty((2, q, q)), np.empty(q), np.empty(q), np.empty((q, q))
    free = np.empty(q, dtype=np.int64)
    exact = _rounding(y, s, w, logs)
    mu = 1e-3
    cosine = math.inf
    for _ in range(iterations):
        expand(u0, f, v, u)
        derivatives(jacobian, curvature, u, z, x, y, s, w, delta, up, down, logs, True, j, rows, g_u, h_u)
        reduce(g_u, h_u, f, g, h)
        n_free, cosine = moving(v, lower, upper, g, h[1], best, free)
        if cosine <= TIGHT or best <= exact:
            return best, cosine, CONVERGED
        accepted = False
        while mu < 1e12 and not accepted:
            solved = newton_step(h, mu, g, free, n_free, v, lower, upper, low, step, trial)
            if solved:
                expand(u0, f, trial, u)
                found = objective(value, u, z, x, y, s, w, delta, up, down, logs, rows)
                accepted = found < best
            if accepted:
                for m in range(q):
                    v[m] = trial[m]
                best = found
                mu = max(mu * 0.1, 1e-15)
            else:
                mu *= 5.0
        if not accepted:
            return best, cosine, CONVERGED if cosine <= LOOSE else STALLED
    return best, cosine, CONVERGED if cosine <= LOOSE else EXHAUSTED
