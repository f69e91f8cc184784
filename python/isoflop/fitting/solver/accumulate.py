"""Sums over a chunk of points at one parameter vector, and the step that they ask for.

Columns are laid out once, as logarithms in blocks that are worked on in cache; a pass over them takes, per point, the
logarithm of the law's value and the law's exponentials once, or twice where second derivatives are asked for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.solver.compile import B1, F8, I8, LAW, MATRIX, RHO, TENSOR, VECTOR, loop, types, unit
from isoflop.fitting.solver.descend import moving, newton_step, reduce
from isoflop.fitting.solver.elementary import log
from isoflop.fitting.solver.polish import BLOCK
from isoflop.fitting.solver.sums import DERIVATIVES, ROWS, jacobian_rows, rho

Array = NDArray[np.float64]
Compiled = Any

TOTALS = 6
"""Of rho; w; w s^2; w r^2; w psi^2; w where |r| <= delta."""

_SUM = types.FunctionType(DERIVATIVES)
_FLAGS = types.Array(types.boolean, 1, "C")


@loop
def _logarithms(values: Array, out: Array) -> None:
    others = 0
    for i in range(values.size):
        others += 1 if values[i] != values[0] else 0
    if others == 0:
        # along a curve the model's size stays
        out[:] = log(values[0])
        return
    for i in range(values.size):
        out[i] = log(values[i])


@loop
def _good(values: Array, signed: bool) -> bool:
    bad = 0
    for i in range(values.size):
        bad += 0 if (values[i] > 0.0 or signed) and abs(values[i]) < math.inf else 1
    return bad == 0


@unit(I8(MATRIX, _FLAGS, B1, B1, TENSOR, TENSOR, MATRIX))
def lay_out(
    raw: Array, signed: NDArray[np.bool_], reads_x: bool, logs: bool, z: Array, x: Array, y: Array
) -> int:  # fmt: skip
    """Fill z, x (blocks, inputs, BLOCK) and y (blocks, BLOCK) from raw (inputs + 1, n), the output last.

    Columns that are ``signed`` may have any sign. z holds logarithms of inputs that have them, y of outputs where
    ``logs``. Returns -1, or the first row of a block with a bad value.
    """
    k, n = z.shape[1], raw.shape[1]
    column = np.empty(BLOCK)
    for b in range(y.shape[0]):
        first = b * BLOCK
        count = min(BLOCK, n - first)
        for m in range(k + 1):
            column[:count] = raw[m, first : first + count]
            # the last block is filled up with copies that will weigh nothing
            column[count:] = raw[m, first]
            if not _good(column, signed[m]):
                return first
            if m == k:
                if logs:
                    _logarithms(column, y[b])
                else:
                    y[b, :] = column
                continue
            if signed[m]:
                z[b, m, :] = 0.0
            else:
                _logarithms(column, z[b, m])
            if reads_x:
                x[b, m, :] = column
    return -1


@loop
def _centred(values: Array, centre: float, out: Array) -> None:
    for i in range(values.size):
        out[i] = values[i] - centre


@loop
def _add_squares(r: Array, w: Array, s: Array, totals: Array) -> None:
    weight, known, square = 0.0, 0.0, 0.0
    for i in range(r.size):
        weight += w[i]
        known += w[i] * s[i] * s[i]
        square += w[i] * r[i] * r[i]
    totals[0] += 0.5 * square
    totals[1] += weight
    totals[2] += known
    totals[3] += square
    totals[4] += square
    totals[5] += weight


@loop
def _add_totals(r: Array, w: Array, s: Array, delta: float, up: float, down: float, totals: Array) -> None:
    totals[0] += rho(r, w, delta, up, down)
    weight, known, square, pull, inside = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(r.size):
        bent = min(abs(r[i]), delta)
        weight += w[i]
        known += w[i] * s[i] * s[i]
        square += w[i] * r[i] * r[i]
        pull += w[i] * bent * bent
        inside += w[i] if abs(r[i]) <= delta else 0.0
    totals[1] += weight
    totals[2] += known
    totals[3] += square
    totals[4] += pull
    totals[5] += inside


ACCUMULATE = types.void(
    _SUM, LAW[1], LAW[2], VECTOR, VECTOR, TENSOR, TENSOR, MATRIX, VECTOR, VECTOR, I8, *RHO, B1, VECTOR, TENSOR, VECTOR
)  # fmt: skip


@unit(ACCUMULATE)
def accumulate(
    derivatives: Compiled, jacobian: Compiled, curvature: Compiled, u: Array, centre: Array,
    z: Array, x: Array, y: Array, w: Array, s: Array, n: int,
    delta: float, up: float, down: float, logs: bool, newton: bool, g: Array, h: Array, totals: Array,
) -> None:  # fmt: skip
    """Add the sums of a chunk of n points, laid out in blocks, to g (p,), h (2, p, p) and totals.

    Weights w and one over the noise s are (n,), or empty where all are 1.
    """
    k, p = z.shape[1], u.size
    squares = delta == math.inf and up == 1.0 and down == 1.0
    zb, sb, wb = np.empty((1, k, BLOCK)), np.ones((1, BLOCK)), np.ones((1, BLOCK))
    j, rows = np.zeros((jacobian_rows(p), BLOCK)), np.empty((ROWS, BLOCK))
    gb, hb = np.empty(p), np.empty((2, p, p))
    for b in range(y.shape[0]):
        first = b * BLOCK
        count = min(BLOCK, n - first)
        if w.size > 0:
            wb[0, :count] = w[first : first + count]
        if s.size > 0:
            sb[0, :count] = s[first : first + count]
        wb[0, count:] = 0.0
        for m in range(k):
            _centred(z[b, m], centre[m], zb[0, m])
        derivatives(
            jacobian, curvature, u, zb, x[b : b + 1], y[b : b + 1], sb, wb, delta, up, down, logs, newton,
            j, rows, gb, hb,
        )  # fmt: skip
        for m in range(p):
            g[m] += gb[m]
            for q in range(m + 1):
                h[0, m, q] += hb[0, m, q]
                h[1, m, q] += hb[1, m, q]
        if squares:
            _add_squares(rows[1], wb[0], sb[0], totals)
        else:
            _add_totals(rows[1], wb[0], sb[0], delta, up, down, totals)


@unit(types.Tuple((F8, B1))(VECTOR, TENSOR, MATRIX, VECTOR, VECTOR, VECTOR, F8, F8, VECTOR))
def propose(
    g_u: Array, h_u: Array, f: Array, v: Array, lower: Array, upper: Array, best: float, mu: float, trial: Array
) -> tuple[float, bool]:
    """Fill ``trial`` with the step from v (q,) of damping mu; the largest cosine at v, and whether there is a step."""
    q = v.size
    g, h, low, step = np.empty(q), np.empty((2, q, q)), np.empty((q, q)), np.empty(q)
    free = np.empty(q, dtype=np.int64)
    reduce(g_u, h_u, f, g, h)
    count, cosine = moving(v, lower, upper, g, h[1], best, free)
    return cosine, newton_step(h, mu, g, free, count, v, lower, upper, low, step, trial)
