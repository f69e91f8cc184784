"""Where a slice of the loss at one budget is lowest: the vertex of a parabola, and that of two powers and a floor.

Coordinates: u = ln x less its mean over all slices, x being N or D; one slice a budget.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Slice = tuple[Array, Array]
"""u and the loss at it, each of shape (runs,)."""

EXPONENTS = (0.02, 2.0)
_GRID = np.geomspace(0.05, 1.2, 10)


@dataclass(frozen=True)
class Vertex:
    """The lowest place of one slice.

    Attributes:
        u: where; None where the curve has no minimum.
        loss: there.
        sigma: standard error of u; NaN where there are no more runs than coefficients.
        interval: of u, at the level asked for; infinite where the curvature drowns in the noise.
    """

    u: float | None
    loss: float = np.nan
    sigma: float = np.nan
    interval: tuple[float, float] = (-np.inf, np.inf)


def _t(level: float, dof: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(dof, 0.5 + level / 2))


def parabola_vertices(slices: Sequence[Slice], level: float) -> list[Vertex]:
    """Least squares of L = c_0 + c_1 u + c_2 u**2 in each slice; intervals by Fieller's theorem."""
    return [_parabola_vertex(u, loss, level) for u, loss in slices]


def _parabola_vertex(u: Array, loss: Array, level: float) -> Vertex:
    middle = float(u.mean())
    rows = np.vander(u - middle, 3, increasing=True)
    c, *_ = np.linalg.lstsq(rows, loss, rcond=None)
    if c[2] <= 0:
        return Vertex(None)
    place = -c[1] / (2 * c[2])
    lowest = float(c[0] - c[1] ** 2 / (4 * c[2]))
    dof = u.size - 3
    if dof < 1:
        return Vertex(middle + place, lowest)
    covariance = np.linalg.inv(rows.T @ rows) * np.sum((loss - rows @ c) ** 2) / dof
    slope = np.array([0.0, 1.0, 2 * place])
    sigma = float(np.sqrt(slope @ covariance @ slope)) / (2 * c[2])
    # Fieller: all v at which c_1 + 2 c_2 v is within t standard errors of zero, the roots of a quadratic in v.
    t2 = _t(level, dof) ** 2
    a = 4 * (c[2] ** 2 - t2 * covariance[2, 2])
    b = 4 * (c[1] * c[2] - t2 * covariance[1, 2])
    d = b**2 - 4 * a * (c[1] ** 2 - t2 * covariance[1, 1])
    if a <= 0:
        return Vertex(middle + place, lowest, sigma)
    half = np.sqrt(max(d, 0.0))
    return Vertex(
        middle + place, lowest, sigma, (middle + float(-b - half) / (2 * a), middle + float(-b + half) / (2 * a))
    )


def additive_vertices(slices: Sequence[Slice], level: float) -> list[Vertex]:
    """Least squares of L = E_i + A_i exp(-a u) + B_i exp(b u) over all slices at once, a and b shared.

    This is what an additive law looks like at constant compute, whatever its floor: the minimum has no bias of shape.
    Variable projection: the non-negative E_i, A_i, B_i are solved for at every (a, b) that is tried. A law of columns
    has no coefficients for each budget, so its solver is no help here.
    """
    from scipy.optimize import least_squares

    best = min(itertools.product(_GRID, _GRID), key=lambda ab: float(np.sum(_projected(np.array(ab), slices) ** 2)))
    found = least_squares(
        _projected, best, args=(slices,), bounds=EXPONENTS, x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14
    )
    a, b = (float(value) for value in found.x)
    coefficients = [_coefficients(found.x, *part) for part in slices]
    covariance, dof = _covariance(a, b, slices, coefficients)
    vertices = []
    for i, (_, scale_a, scale_b) in enumerate(coefficients):
        if scale_a <= 0 or scale_b <= 0:
            vertices.append(Vertex(None))
            continue
        u = float(np.log(a * scale_a / (b * scale_b)) / (a + b))
        loss = float(coefficients[i][0] + scale_a * np.exp(-a * u) + scale_b * np.exp(b * u))
        gradient = np.zeros(len(covariance))
        gradient[:2] = (1 / a - u) / (a + b), (-1 / b - u) / (a + b)
        gradient[3 + 3 * i : 5 + 3 * i] = 1 / (scale_a * (a + b)), -1 / (scale_b * (a + b))
        if dof < 1:
            vertices.append(Vertex(u, loss))
            continue
        sigma = float(np.sqrt(gradient @ covariance @ gradient))
        half = _t(level, dof) * sigma
        vertices.append(Vertex(u, loss, sigma, (u - half, u + half)))
    return vertices


def _basis(exponents: Array, u: Array) -> Array:
    return np.stack([np.ones_like(u), np.exp(-exponents[0] * u), np.exp(exponents[1] * u)], axis=1)


def _coefficients(exponents: Array, u: Array, loss: Array) -> Array:
    from scipy.optimize import nnls

    basis = _basis(exponents, u)
    scale = np.linalg.norm(basis, axis=0)
    return np.asarray(nnls(basis / scale, loss)[0] / scale)


def _projected(exponents: Array, slices: Sequence[Slice]) -> Array:
    return np.concatenate([loss - _basis(exponents, u) @ _coefficients(exponents, u, loss) for u, loss in slices])


def _covariance(a: float, b: float, slices: Sequence[Slice], coefficients: Sequence[Array]) -> tuple[Array, int]:
    """Of (a, b, E_1, A_1, B_1, E_2, ...), and the degrees of freedom left; zero for a coefficient held at zero."""
    exponents = np.array([a, b])
    size = 2 + 3 * len(slices)
    blocks, residuals = [], []
    for i, ((u, loss), c) in enumerate(zip(slices, coefficients, strict=True)):
        basis = _basis(exponents, u)
        rows = np.zeros((u.size, size))
        rows[:, 0], rows[:, 1] = -c[1] * u * basis[:, 1], c[2] * u * basis[:, 2]
        rows[:, 2 + 3 * i : 5 + 3 * i] = basis * (c > 0)
        blocks.append(rows)
        residuals.append(loss - basis @ c)
    jacobian, left = np.vstack(blocks), np.concatenate(residuals)
    length = np.linalg.norm(jacobian, axis=0)
    free = length > 0
    dof = left.size - int(free.sum())
    covariance = np.zeros((size, size))
    scaled = np.linalg.pinv(jacobian[:, free] / length[free]) / length[free][:, None]
    covariance[np.ix_(free, free)] = scaled @ scaled.T * (left @ left) / max(dof, 1)
    return covariance, dof
