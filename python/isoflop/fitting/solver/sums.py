"""Sums over blocks of points, for any law: the objective, its gradient and its second derivatives.

Per point and step of the solver: the law's exponentials twice (value at the trial, Jacobian where it is accepted), a
third time for its second derivatives, and two logarithms. Products are summed two rows of the Jacobian by four at a
time, so that the sums stay in registers: of 14 for four parameters 1.5 ns a point instead of 5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.solver.compile import B1, BLOCKS, F8, LAW, MATRIX, RHO, TENSOR, VECTOR, loop, small, types, unit
from isoflop.fitting.solver.elementary import log

Array = NDArray[np.float64]
Compiled = Any

OBJECTIVE = F8(LAW[0], VECTOR, *BLOCKS, *RHO, MATRIX)
DERIVATIVES = types.void(LAW[1], LAW[2], VECTOR, *BLOCKS, *RHO, B1, MATRIX, MATRIX, VECTOR, TENSOR)

ROWS = 5
"""Rows of a block that :func:`derivatives` works in: values, residuals, and what each point weighs in g and h."""


@loop
def residuals(f: Array, y: Array, s: Array, logs: bool, r: Array) -> None:
    """r = s (ln f - y), or s (f - y)."""
    if logs:
        for i in range(f.size):
            r[i] = s[i] * (log(f[i]) - y[i])
    else:
        for i in range(f.size):
            r[i] = s[i] * (f[i] - y[i])


@loop
def rho(r: Array, w: Array, delta: float, up: float, down: float) -> float:
    """Sum of w rho(r) over a block."""
    total = 0.0
    for i in range(r.size):
        size = abs(r[i])
        bent = min(size, delta)
        total += w[i] * (up if r[i] > 0.0 else down) * bent * (size - 0.5 * bent)
    return total


@unit(OBJECTIVE, "units")
def objective(
    value: Compiled, u: Array, z: Array, x: Array, y: Array, s: Array, w: Array,
    delta: float, up: float, down: float, logs: bool, rows: Array,
) -> float:  # fmt: skip
    """Sum of w rho(r), rho = r^2/2 up to delta and delta (|r| - delta/2) beyond; infinite where there is no value."""
    f, r = rows[0], rows[1]
    total = 0.0
    for b in range(z.shape[0]):
        value(u, z[b], x[b], f)
        residuals(f, y[b], s[b], logs, r)
        total += rho(r, w[b], delta, up, down)
    return total if total < math.inf else math.inf


@small
def jacobian_rows(p: int) -> int:
    """Rows to allocate, as zeros, for the Jacobian of p parameters: fours."""
    return 4 * ((p + 3) // 4)


@loop
def _slopes_of_squares(f: Array, r: Array, s: Array, w: Array, logs: bool, out: Array) -> None:
    """Of rho = r^2/2, by f: w rho', and what products of the Jacobian weigh in the two matrices."""
    pull, bend, square = out[2], out[3], out[4]
    if logs:
        for i in range(f.size):
            inverse = 1.0 / f[i]
            weight = w[i] * s[i] * inverse
            pull[i] = weight * r[i]
            bend[i] = weight * inverse * (s[i] - r[i])
            square[i] = weight * inverse * s[i]
    else:
        for i in range(f.size):
            weight = w[i] * s[i]
            pull[i] = weight * r[i]
            bend[i] = weight * s[i]
            square[i] = weight * s[i]


@loop
def _slopes(
    f: Array, r: Array, s: Array, w: Array, delta: float, up: float, down: float, logs: bool, out: Array
) -> None:
    """The same of a rho that bends at delta."""
    pull, bend, square = out[2], out[3], out[4]
    for i in range(f.size):
        size = abs(r[i])
        weight = w[i] * (up if r[i] > 0.0 else down) * s[i]
        inverse = 1.0 / f[i] if logs else 1.0
        within = size <= delta
        pull[i] = weight * inverse * (r[i] if within else math.copysign(delta, r[i]))
        whole = weight * s[i] * inverse * inverse
        bend[i] = (whole if within else 0.0) - (pull[i] * inverse if logs else 0.0)
        square[i] = whole * (1.0 if within else delta / size)


@loop
def _add_gradient(pull: Array, j: Array, g: Array) -> None:
    """g += j pull, four rows at a time."""
    for m in range(0, g.size, 4):
        j0, j1, j2, j3 = j[m], j[m + 1], j[m + 2], j[m + 3]
        t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
        for i in range(pull.size):
            t0 += pull[i] * j0[i]
            t1 += pull[i] * j1[i]
            t2 += pull[i] * j2[i]
            t3 += pull[i] * j3[i]
        found = (t0, t1, t2, t3)
        for k in range(min(4, g.size - m)):
            g[m + k] += found[k]


@loop
def _add_products(weight: Array, j: Array, h: Array) -> None:
    """h += j diag(weight) j', its lower triangle, two rows by four at a time."""
    p = h.shape[0]
    for m in range(0, p, 2):
        a, b = j[m], j[m + 1]
        for q in range(0, m + 2, 4):
            j0, j1, j2, j3 = j[q], j[q + 1], j[q + 2], j[q + 3]
            a0, a1, a2, a3, b0, b1, b2, b3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(weight.size):
                x, y = weight[i] * a[i], weight[i] * b[i]
                a0 += x * j0[i]
                a1 += x * j1[i]
                a2 += x * j2[i]
                a3 += x * j3[i]
                b0 += y * j0[i]
                b1 += y * j1[i]
                b2 += y * j2[i]
                b3 += y * j3[i]
            upper, lower = (a0, a1, a2, a3), (b0, b1, b2, b3)
            for k in range(min(4, m + 1 - q)):
                h[m, q + k] += upper[k]
            if m + 1 < p:
                for k in range(min(4, m + 2 - q)):
                    h[m + 1, q + k] += lower[k]


@unit(DERIVATIVES, "units")
def derivatives(
    jacobian: Compiled, curvature: Compiled, u: Array, z: Array, x: Array, y: Array, s: Array, w: Array,
    delta: float, up: float, down: float, logs: bool, newton: bool, j: Array, rows: Array, g: Array, h: Array,
) -> None:  # fmt: skip
    """Fill the gradient by u (p,) and h (2, p, p): Hessian and reweighted Gauss-Newton matrix, lower triangles.

    Without ``newton`` the second stands for the first. j and rows are room to work in: (jacobian_rows(p), size), zero
    below row p, and (ROWS, size).
    """
    f, r, pull, bend, square = rows[0], rows[1], rows[2], rows[3], rows[4]
    squares = delta == math.inf and up == 1.0 and down == 1.0
    for m in range(g.size):
        g[m] = 0.0
        for q in range(m + 1):
            h[0, m, q] = 0.0
            h[1, m, q] = 0.0
    for b in range(z.shape[0]):
        jacobian(u, z[b], x[b], f, j)
        residuals(f, y[b], s[b], logs, r)
        if squares:
            _slopes_of_squares(f, r, s[b], w[b], logs, rows)
        else:
            _slopes(f, r, s[b], w[b], delta, up, down, logs, rows)
        _add_gradient(pull, j, g)
        _add_products(square, j, h[1])
        if newton:
            _add_products(bend, j, h[0])
            curvature(u, z[b], x[b], pull, h[0])
    if not newton:
        for m in range(g.size):
            for q in range(m + 1):
                h[0, m, q] = h[1, m, q]
