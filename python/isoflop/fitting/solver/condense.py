"""Stretches of curves as few points: along a curve one input moves, and a law is smooth in its logarithm.

Of n points of a stretch, at t in [-1, 1] with observations y, sums of squares need no more than sums of F(t)^2, F(t) y
and y^2. F and F^2 are polynomials there but for what :mod:`isoflop.fitting.condensed` bounds, so that Chebyshev nodes
t_q with weights w_q = sum l_q(t_i) and observations sum l_q(t_i) y_i / w_q, l_q Lagrange's polynomials, stand for the
points; what they leave of the squares is a constant. They add up to the same whatever the law, its parameters and how
often it is asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.solver.compile import F8, I8, MATRIX, TENSOR, VECTOR, loop, small, types, unit
from isoflop.fitting.solver.elementary import exp
from isoflop.fitting.solver.polish import BLOCK

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

NODES = 8
PIECE = 64
"""Points that are taken into a stretch together: eight a node at least, so that no weight is negative."""
WIDTH = 0.35
"""Of a stretch, in ln: of x**-2 eight nodes then miss 1e-11."""

_PIECES = BLOCK // PIECE
_LEAST = 1e-3
"""Share of a stretch's points that each node must weigh: where points gather, some would weigh less than nothing."""

_ANGLES = np.pi * (np.arange(NODES) + 0.5) / NODES
AT = np.cos(_ANGLES)
"""The nodes t_q, from the end of a stretch to its beginning."""
LAGRANGE = np.cos(np.outer(_ANGLES, np.arange(NODES))) * np.where(np.arange(NODES) == 0, 1.0, 2.0) / NODES
"""l_q(t) = sum of LAGRANGE[q, k] T_k(t)."""

_FLAGS = types.Array(types.boolean, 1, "C")


@loop
def _all(values: Array, value: float) -> bool:
    others = 0
    for i in range(values.size):
        others += 1 if values[i] != value else 0
    return others == 0


@loop
def _all_between(values: Array, a: float, b: float) -> bool:
    outside = 0
    for i in range(values.size):
        outside += 1 if (values[i] - a) * (b - values[i]) < 0.0 else 0
    return outside == 0


@small
def _stands(z: Array, x: Array, signed: Flags, piece: int, first: int, but: int) -> bool:
    """Whether all inputs but one are in a piece what they are where the stretch begins."""
    b, o, b0, o0 = piece // _PIECES, piece % _PIECES * PIECE, first // _PIECES, first % _PIECES * PIECE
    others = 0
    for m in range(z.shape[1]):
        others += 0 if m == but or _all(z[b, m, o : o + PIECE], z[b0, m, o0]) else 1
    for m in range(x.shape[1]):
        others += 1 if signed[m] and not _all(x[b, m, o : o + PIECE], x[b0, m, o0]) else 0
    return others == 0


@small
def _stretch(z: Array, x: Array, signed: Flags, first: int, pieces: int) -> tuple[int, int]:
    """Where the stretch that begins with a piece ends, and the input that moves along it; at once where none is."""
    b, o = first // _PIECES, first % _PIECES * PIECE
    moves = -1
    if first >= pieces:
        return first, moves
    for m in range(z.shape[1]):
        if z[b, m, o] != z[b, m, o + PIECE - 1]:
            moves = m
    if moves < 0:
        return first, moves
    start = before = z[b, moves, o]
    end = first
    while end < pieces:
        b, o = end // _PIECES, end % _PIECES * PIECE
        last = z[b, moves, o + PIECE - 1]
        if (
            abs(last - start) > WIDTH
            or (before - start) * (last - before) < 0.0
            or not _all_between(z[b, moves, o : o + PIECE], start, last)
            or not _stands(z, x, signed, end, first, moves)
        ):
            break
        before = last
        end += 1
    return end, moves


@loop
def _add_moments(z: Array, y: Array, middle: float, scale: float, level: float, a: Array, b: Array) -> float:
    """Add the sums of T_k(t) to a (NODES,) and of e T_k(t) to b, t = scale (z - middle), e = y - level; that of e^2."""
    a1, a2, a3, a4, a5, a6, a7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    b0, b1, b2, b3, b4, b5, b6, b7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    square = 0.0
    for i in range(z.size):
        t, e = scale * (z[i] - middle), y[i] - level
        twice = 2.0 * t
        t2 = twice * t - 1.0
        t3 = twice * t2 - t
        t4 = twice * t3 - t2
        t5 = twice * t4 - t3
        t6 = twice * t5 - t4
        t7 = twice * t6 - t5
        a1 += t
        a2 += t2
        a3 += t3
        a4 += t4
        a5 += t5
        a6 += t6
        a7 += t7
        b0 += e
        b1 += e * t
        b2 += e * t2
        b3 += e * t3
        b4 += e * t4
        b5 += e * t5
        b6 += e * t6
        b7 += e * t7
        square += e * e
    of_t, of_e = (float(z.size), a1, a2, a3, a4, a5, a6, a7), (b0, b1, b2, b3, b4, b5, b6, b7)
    for k in range(NODES):
        a[k] += of_t[k]
        b[k] += of_e[k]
    return square


@small
def _put_points(
    z: Array, x: Array, y: Array, first: int, end: int,
    out_z: Array, out_x: Array, out_y: Array, w: Array, spread: Array, at: int,
) -> int:  # fmt: skip
    """Copy points as they are; the last few are filled up to NODES with copies that weigh nothing."""
    for i in range(first, first + NODES * -(-(end - first) // NODES)):
        b, o = divmod(min(i, end - 1), BLOCK)
        to_b, to = divmod(at, BLOCK)
        for m in range(z.shape[1]):
            out_z[to_b, m, to] = z[b, m, o]
        for m in range(x.shape[1]):
            out_x[to_b, m, to] = x[b, m, o]
        out_y[to_b, to] = y[b, o]
        w[at] = 1.0 if i < end else 0.0
        spread[at // NODES] = -1.0
        at += 1
    return at


@small
def _put_nodes(
    z: Array, x: Array, y: Array, first: int, end: int, moves: int,
    out_z: Array, out_x: Array, out_y: Array, w: Array, spread: Array, at: int,
) -> tuple[int, float]:  # fmt: skip
    """Write the nodes of a stretch of pieces, where all weigh something; where they end, and the squares left over."""
    block, o, last = first // _PIECES, first % _PIECES * PIECE, PIECE * end - 1
    start, stop, level = z[block, moves, o], z[last // BLOCK, moves, last % BLOCK], y[block, o]
    middle, half, count = 0.5 * (start + stop), 0.5 * (stop - start), float(PIECE * (end - first))
    a, b, square, piece = np.zeros(NODES), np.zeros(NODES), 0.0, first
    while piece < end:
        s, i = piece // _PIECES, piece % _PIECES * PIECE
        some = PIECE * min(end - piece, _PIECES - piece % _PIECES)
        square += _add_moments(z[s, moves, i : i + some], y[s, i : i + some], middle, 1.0 / half, level, a, b)
        piece += some // PIECE
    left = square
    for q in range(NODES):
        weight, value = 0.0, 0.0
        for k in range(NODES):
            weight += LAGRANGE[q, k] * a[k]
            value += LAGRANGE[q, k] * b[k]
        if weight <= _LEAST * count:
            return at, 0.0
        left -= value * value / weight
        to_b, to = divmod(at + q, BLOCK)
        there = middle + half * AT[q]
        for m in range(z.shape[1]):
            out_z[to_b, m, to] = there if m == moves else z[block, m, o]
        for m in range(x.shape[1]):
            out_x[to_b, m, to] = exp(there) if m == moves else x[block, m, o]
        out_y[to_b, to] = level + value / weight
        w[at + q] = weight
    spread[at // NODES] = max(0.0, square - b[0] * b[0] / count)
    return at + NODES, left


@unit(types.Tuple((I8, F8))(TENSOR, TENSOR, MATRIX, I8, _FLAGS, TENSOR, TENSOR, MATRIX, VECTOR, VECTOR, I8))
def condense(
    z: Array, x: Array, y: Array, n: int, signed: Flags,
    out_z: Array, out_x: Array, out_y: Array, w: Array, spread: Array, at: int,
) -> tuple[int, float]:  # fmt: skip
    """Write n points, laid out in blocks, to others from point ``at`` on; where they end, and the squares left over.

    Out: blocks like those of z (blocks, inputs, BLOCK), x and y; weights w (points,); and of every NODES points the sum
    of squares of the observations that they stand for about their mean, -1 where they are points themselves.
    """
    left, first = 0.0, 0
    while PIECE * first < n:
        end, moves = _stretch(z, x, signed, first, n // PIECE)
        before = at
        if end > first:
            at, more = _put_nodes(z, x, y, first, end, moves, out_z, out_x, out_y, w, spread, at)
            left += more
        end = max(end, first + 1)
        if at == before:
            at = _put_points(z, x, y, PIECE * first, min(PIECE * end, n), out_z, out_x, out_y, w, spread, at)
        first = end
    return at, left
