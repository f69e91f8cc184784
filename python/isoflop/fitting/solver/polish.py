"""Many fits of one law: every start, under every row of weights and observations.

Points that weigh nothing are dropped and the rest laid in blocks, so that a block's Jacobian stays in the first-level
cache; the same block code serves a resample of a hundred runs and a table of millions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.solver.compile import I8, LAW, MAP, MATRIX, RHO, TENSOR, VECTOR, VERTEX, small, types, unit
from isoflop.fitting.solver.descend import CONVERGED, DESCEND, LOOSE, STALLED, SUMS

Array = NDArray[np.float64]
Compiled = Any

BLOCK = 512

_STAGES = 11
_UNITS = (*SUMS, types.FunctionType(DESCEND), types.FunctionType(VERTEX))


@small
def _total(w: Array) -> float:
    total = 0.0
    for b in range(w.shape[0]):
        for i in range(w.shape[1]):
            total += w[b, i]
    return total


@small
def _minimise(
    objective: Compiled, derivatives: Compiled, descend: Compiled, to_vertex: Compiled,
    value: Compiled, jacobian: Compiled, curvature: Compiled, u0: Array, f: Array, lower: Array, upper: Array,
    z: Array, x: Array, y: Array, s: Array, w: Array,
    delta: float, up: float, down: float, logs: bool, iterations: int, v: Array,
) -> tuple[float, float, int]:  # fmt: skip
    """Descend; where ``delta`` is 0, by sums of ever smaller delta, each tried for the vertex that it points to."""
    stages = 1 if delta > 0.0 else _STAGES
    best, cosine, status = math.inf, math.inf, STALLED
    typical = 0.0
    for stage in range(stages):
        here = delta if stages == 1 else math.inf if stage == 0 else max(typical * 10.0 ** (1 - stage), 1e-15)
        best, cosine, status = descend(
            objective, derivatives, value, jacobian, curvature, u0, f, lower, upper, z, x, y, s, w,
            here, up, down, logs, iterations, v,
        )  # fmt: skip
        if stages == 1:
            break
        if stage == 0 and status != CONVERGED:
            return math.inf, cosine, status
        best, excess = to_vertex(jacobian, u0, f, lower, upper, z, x, y, s, w, up, down, logs, v)
        if stage == 0:
            typical = best / _total(w)
        if excess <= LOOSE:
            return best, max(excess, 0.0), CONVERGED
    return best, cosine, status


@unit(VERTEX, "units")
def no_vertex(
    jacobian: Compiled, u0: Array, f: Array, lower: Array, upper: Array, z: Array, x: Array, y: Array, s: Array,
    w: Array, up: float, down: float, logs: bool, v: Array,
) -> tuple[float, float]:  # fmt: skip
    """In place of what looks for a vertex, where ``delta`` is above 0 and nothing does."""
    return math.inf, math.inf


@small
def _used(w: Array, used: NDArray[np.int64]) -> int:
    """Fill ``used`` with the points that weigh something; how many."""
    count = 0
    for i in range(w.size):
        if w[i] > 0.0:
            used[count] = i
            count += 1
    return count


POLISH = types.void(
    *_UNITS, *LAW, MATRIX, *MAP, MATRIX, MATRIX, MATRIX, VECTOR, MATRIX, *RHO, I8,
    TENSOR, MATRIX, MATRIX, types.int64[:, ::1],
)  # fmt: skip


@unit(POLISH)
def polish_all(
    objective: Compiled, derivatives: Compiled, descend: Compiled, to_vertex: Compiled,
    value: Compiled, jacobian: Compiled, curvature: Compiled, starts: Array,
    u0: Array, f: Array, lower: Array, upper: Array, z: Array, x: Array, y: Array, s: Array, w: Array,
    delta: float, up: float, down: float, logs: bool, iterations: int,
    vectors: Array, values: Array, cosines: Array, status: NDArray[np.int64],
) -> None:  # fmt: skip
    """From every start (S, q) under every row of weights w (R, n) and observations y (1 or R, n).

    In: z (inputs, n), x (inputs or 0, n), s (n,). Out: vectors (R, S, q), and (R, S) each of objectives, cosines and
    status.
    """
    used = np.empty(w.shape[1], dtype=np.int64)
    for k in range(w.shape[0]):
        count = _used(w[k], used)
        blocks = max(1, -(-count // BLOCK))
        size = 8 * max(1, -(-count // (8 * blocks)))
        zb, xb = np.empty((blocks, z.shape[0], size)), np.empty((blocks, x.shape[0], size))
        yb, sb, wb = np.empty((blocks, size)), np.empty((blocks, size)), np.empty((blocks, size))
        for i in range(blocks * size):
            b, at = i // size, i % size
            # the last block is filled up with copies that weigh nothing
            row = used[min(i, count - 1)] if count > 0 else 0
            for m in range(z.shape[0]):
                zb[b, m, at] = z[m, row]
            for m in range(x.shape[0]):
                xb[b, m, at] = x[m, row]
            yb[b, at] = y[k % y.shape[0], row]
            sb[b, at] = s[row]
            wb[b, at] = w[k, row] if i < count else 0.0
        for c in range(starts.shape[0]):
            for m in range(starts.shape[1]):
                vectors[k, c, m] = starts[c, m]
            values[k, c], cosines[k, c], status[k, c] = _minimise(
                objective, derivatives, descend, to_vertex, value, jacobian, curvature, u0, f, lower, upper,
                zb, xb, yb, sb, wb, delta, up, down, logs, iterations, vectors[k, c],
            )  # fmt: skip
