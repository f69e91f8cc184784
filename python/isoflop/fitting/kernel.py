"""The solver, compiled: damped Newton steps with bounds for ln L = a ln(E + sum_k exp((k_k - g_k z_k)/a)).

Importing this module imports numba and compiles on first use (cached on disk), so it is imported where a fit runs.
Vectors are laid out ``[a, E, k_1, g_1, k_2, g_2, ...]``, as in :mod:`isoflop.laws.power_sum`; a tied term has g = a.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

CONVERGED, STALLED, EXHAUSTED = 0, 1, 2

_V, _M, _T = "f8[::1]", "f8[:,::1]", "f8[:,:,::1]"

_TIGHT = 1e-9
_LOOSE = 1e-6
_ITERATIONS = 400


@njit(f"f8({_V},{_M},{_V},{_V},f8)", cache=True, nogil=True, error_model="numpy")
def _objective(v: Array, z: Array, y: Array, w: Array, delta: float) -> float:
    """Weighted sum of rho(r), r = ln Lhat - ln L; rho is r^2/2 up to delta and linear beyond."""
    terms, n = z.shape
    total = 0.0
    for i in range(n):
        if w[i] == 0.0:
            continue
        inner = v[1]
        for k in range(terms):
            inner += math.exp((v[2 + 2 * k] - v[3 + 2 * k] * z[k, i]) / v[0])
        r = abs(v[0] * math.log(inner) - y[i]) if inner > 0.0 else math.inf
        total += w[i] * (0.5 * r * r if r <= delta else delta * (r - 0.5 * delta))
    return total


@njit(f"void({_V},{_M},{_V},{_V},b1[::1],f8,{_V},{_M},{_M})", cache=True, nogil=True, error_model="numpy")
def _derivatives(
    v: Array, z: Array, y: Array, w: Array, tied: Flags, delta: float, g: Array, gn: Array, h: Array
) -> None:
    """Fill the gradient ``g``, the reweighted Gauss-Newton matrix ``gn`` and the Hessian ``h`` (lower triangles)."""
    terms, n = z.shape
    p = 2 + 2 * terms
    a = v[0]
    u, share = np.empty(terms), np.empty(terms)
    dm, j = np.empty(p), np.empty(p)
    for m in range(p):
        g[m] = 0.0
        for q in range(p):
            gn[m, q] = 0.0
            h[m, q] = 0.0
    for i in range(n):
        if w[i] == 0.0:
            continue
        inner = v[1]
        for k in range(terms):
            u[k] = (v[2 + 2 * k] - v[3 + 2 * k] * z[k, i]) / a
            share[k] = math.exp(u[k])
            inner += share[k]
        # dm is the gradient of m = ln(inner), j of ln Lhat = a m
        dm[0] = 0.0
        dm[1] = 1.0 / inner
        for k in range(terms):
            share[k] /= inner
            if tied[k]:
                u[k] = v[2 + 2 * k] / a
            dm[0] -= share[k] * u[k] / a
            dm[2 + 2 * k] = share[k] / a
            dm[3 + 2 * k] = 0.0 if tied[k] else -share[k] * z[k, i] / a
        value = math.log(inner)
        j[0] = value + a * dm[0]
        for m in range(1, p):
            j[m] = a * dm[m]
        r = a * value - y[i]
        inside = abs(r) <= delta
        psi = w[i] * (r if inside else math.copysign(delta, r))
        weight = w[i] * (1.0 if inside else delta / abs(r))
        slope = w[i] if inside else 0.0
        for k in range(terms):
            c = 2 + 2 * k
            x = 0.0 if tied[k] else -z[k, i]
            bent = psi * share[k] / a
            h[0, 0] += bent * (u[k] * u[k] + 2.0 * u[k])
            h[c, 0] -= bent * (u[k] + 1.0)
            h[c + 1, 0] -= bent * x * (u[k] + 1.0)
            h[c, c] += bent
            h[c + 1, c] += bent * x
            h[c + 1, c + 1] += bent * x * x
        h[0, 0] += 2.0 * psi * dm[0]
        for m in range(1, p):
            h[m, 0] += psi * dm[m]
        for m in range(p):
            g[m] += psi * j[m]
            for q in range(m + 1):
                square = j[m] * j[q]
                gn[m, q] += weight * square
                h[m, q] += slope * square - psi * a * dm[m] * dm[q]


@njit(f"b1({_M},{_M},f8,{_V},i8[::1],i8,{_M},{_V})", cache=True, nogil=True, error_model="numpy")
def _solve(
    matrix: Array, scale: Array, mu: float, rhs: Array, free: NDArray[np.int64], n_free: int, low: Array, x: Array
) -> bool:
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


@njit(f"Tuple((f8,f8,i8))({_V},{_M},{_V},{_V},{_V},{_V},b1[::1],f8,{_V})", cache=True, nogil=True, error_model="numpy")
def _polish(
    start: Array, z: Array, y: Array, w: Array, lower: Array, upper: Array, tied: Flags, delta: float, v: Array
) -> tuple[float, float, int]:
    """Minimise from ``start`` into ``v``; objective, largest cosine of residual and column, status."""
    p = start.size
    g, x, trial = np.empty(p), np.empty(p), np.empty(p)
    gn, h, low = np.empty((p, p)), np.empty((p, p)), np.empty((p, p))
    free = np.empty(p, dtype=np.int64)
    weight = 0.0
    largest = 0.0
    for i in range(y.size):
        weight += w[i]
        largest = max(largest, abs(y[i]))
    for m in range(p):
        v[m] = min(max(start[m], lower[m]), upper[m])
    for k in range(tied.size):
        if tied[k]:
            v[3 + 2 * k] = v[0]
    value = _objective(v, z, y, w, delta)
    # residuals below this are rounding of ln L, not misfit
    exact = 0.5 * weight * (4e-15 * (1.0 + largest)) ** 2
    mu = 1e-3
    cosine = math.inf
    for _ in range(_ITERATIONS):
        _derivatives(v, z, y, w, tied, delta, g, gn, h)
        n_free = 0
        cosine = 0.0
        for m in range(p):
            pinned = lower[m] == upper[m] or (v[m] <= lower[m] and g[m] >= 0.0) or (v[m] >= upper[m] and g[m] <= 0.0)
            if not pinned and gn[m, m] > 0.0:
                free[n_free] = m
                n_free += 1
                cosine = max(cosine, abs(g[m]) / math.sqrt(gn[m, m] * 2.0 * value + 1e-300))
        if cosine <= _TIGHT or value <= exact:
            return value, cosine, 0
        accepted = False
        while mu < 1e12:
            # the Hessian where it is positive definite, else the Gauss-Newton matrix
            solved = _solve(h, gn, mu, g, free, n_free, low, x) or _solve(gn, gn, mu, g, free, n_free, low, x)
            if solved:
                for m in range(p):
                    trial[m] = v[m]
                for i in range(n_free):
                    m = free[i]
                    trial[m] = min(max(v[m] - x[i], lower[m]), upper[m])
                for k in range(tied.size):
                    if tied[k]:
                        trial[3 + 2 * k] = trial[0]
                candidate = _objective(trial, z, y, w, delta)
                if candidate < value:
                    for m in range(p):
                        v[m] = trial[m]
                    value = candidate
                    mu = max(mu * 0.1, 1e-15)
                    accepted = True
                    break
            mu *= 5.0
        if not accepted:
            return value, cosine, 0 if cosine <= _LOOSE else 1
    return value, cosine, 0 if cosine <= _LOOSE else 2


@njit(
    f"void({_M},{_M},{_V},{_M},{_V},{_V},b1[::1],f8,{_T},{_M},{_M},i8[:,::1])",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def polish_all(
    starts: Array, z: Array, y: Array, w: Array, lower: Array, upper: Array, tied: Flags, delta: float,
    vectors: Array, values: Array, cosines: Array, status: NDArray[np.int64],
) -> None:  # fmt: skip
    """Every start under every row of weights: starts (S, p), w (R, n), out vectors (R, S, p) and the rest (R, S)."""
    for r in range(w.shape[0]):
        for s in range(starts.shape[0]):
            values[r, s], cosines[r, s], status[r, s] = _polish(
                starts[s], z, y, w[r], lower, upper, tied, delta, vectors[r, s]
            )
