"""How little the shape matters at one N: losses of models of a size, deep and narrow to shallow and wide.

Kaplan 2020 (arXiv 2001.08361), section 3.1 and figure 5: over a wide range of n_layer, d_model and heads the loss of
models of one N differs by a few percent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting.columns import checked

Array = NDArray[np.float64]

_ONE_SIZE = 1.15
"""Models whose N differs by less than this factor from the next one's are of one size."""


@dataclass(frozen=True)
class ShapePenalty:
    """One shape against the best of its size.

    Attributes:
        n_params: N.
        aspect: d_model / n_layer.
        loss: geometric mean over its seeds, nats per token.
        penalty: loss over that of the best shape of its size, less 1.
        sigma: standard error of the penalty, from the scatter of seeds; NaN where no shape has two.
        n_runs: seeds.
    """

    n_params: float
    aspect: float
    loss: float
    penalty: float
    sigma: float
    n_runs: int


@dataclass(frozen=True)
class ShapeScan:
    """All shapes, by size and then aspect; ``noise`` is the standard deviation of ln L between seeds."""

    shapes: tuple[ShapePenalty, ...]
    noise: float

    def widest(self, within: float) -> tuple[float, float]:
        """The least and the largest aspect ratio, over all sizes, of shapes whose penalty is at most ``within``."""
        good = [shape.aspect for shape in self.shapes if shape.penalty <= within]
        return min(good), max(good)

    @property
    def worst(self) -> ShapePenalty:
        """The shape with the largest penalty."""
        return max(self.shapes, key=lambda shape: shape.penalty)


def shape_scan(n_params: ArrayLike, aspect: ArrayLike, loss: ArrayLike) -> ShapeScan:
    """Compare the shapes of each size.

    Args:
        n_params: N of each run, shape (runs,). Sizes within 15 % of the next one's are one size; the loss is brought to
            the N of the best shape by nothing: choose shapes of nearly equal N.
        aspect: d_model / n_layer of each run; runs of one N and one aspect differ in their seed.
        loss: at the end, nats per token.

    Raises:
        FitError: columns of different lengths, or a value that is not positive and finite.
        NotIdentifiable: no size has two shapes.
    """
    columns = checked({"N": n_params, "aspect": aspect, "L": loss})
    n, ratio, log_loss = columns["N"], columns["aspect"], np.log(columns["L"])
    if not n.size:
        raise FitError("no runs to compare the shapes of")
    order = np.argsort(n, kind="stable")
    size = np.empty(n.size, int)
    size[order] = np.r_[0, np.cumsum(n[order][1:] / n[order][:-1] > _ONE_SIZE)]
    keys, shape = np.unique(np.c_[size, n, ratio], axis=0, return_inverse=True)
    seeds = np.bincount(shape)
    means = np.bincount(shape, log_loss) / seeds
    free = n.size - len(keys)
    noise = float(np.sqrt(np.sum((log_loss - means[shape]) ** 2) / free)) if free else float("nan")
    found = []
    for of in np.unique(keys[:, 0]):
        rows = np.flatnonzero(keys[:, 0] == of)
        if rows.size < 2:
            continue
        best = rows[np.argmin(means[rows])]
        for row in rows[np.argsort(keys[rows, 2])]:
            error = 0.0 if row == best else noise * np.sqrt(1 / seeds[row] + 1 / seeds[best])
            found.append(
                ShapePenalty(
                    n_params=float(keys[row, 1]),
                    aspect=float(keys[row, 2]),
                    loss=float(np.exp(means[row])),
                    penalty=float(np.expm1(means[row] - means[best])),
                    sigma=float(error),
                    n_runs=int(seeds[row]),
                )
            )
    if not found:
        raise NotIdentifiable("no two shapes of one size", hint="give each N a deep and a wide shape")
    return ShapeScan(tuple(found), noise)
