"""Whether a jump of a task's score with scale is more than its metric: the same runs by loss and by score.

If a token is right with probability exp(-L), an answer of k tokens is right with exp(-k L): a loss that falls smoothly
makes a score that jumps (Schaeffer 2023, arXiv 2304.15004). That is so where two things hold, and each is tested
against a step at some scale:

loss    ln L is smooth in ln scale: a parabola, against a parabola with a step (sup F)
score   the score follows the loss: ln(-ln p) = a + b ln L, where b = 1 and a = ln k is the metric's own, against the
        same with a step (sup of efficient scores over their dispersion)

The largest statistic over all places of the step is set beside those of simulated runs without one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import PlanError
from isoflop.planning.page import Shown

Array = NDArray[np.float64]

SOURCE = "Schaeffer 2023 (arXiv 2304.15004)"
_FEWEST = 8
_SIMULATED = 999
_NEWTON = 30
_EDGE = 2
"""A step leaves at least so many runs on either side."""

_LIMIT = 30.0
"""Of ln(-ln p), beyond which p is 0 or 1 to every digit."""


@dataclass(frozen=True)
class Jump:
    """A step that was looked for.

    Attributes:
        statistic: the largest over the places of the step.
        at: scale of the first run beyond it there.
        p_value: share of simulated runs without a step with as large a statistic.
    """

    statistic: float
    at: float
    p_value: float


@dataclass(frozen=True)
class Emergence(Shown):
    """The same runs under a continuous and a discontinuous metric.

    Attributes:
        loss, score: steps looked for in the loss over scale, and in the score over the loss.
        tokens: k, tokens of an answer that the score acts as if it had, exp(a).
        power: b; 1 where the score is exact match of tokens of equal loss.
        sharpness_loss, sharpness_score: the emergence score of Srivastava 2022 (arXiv 2206.04615) of -L and of the
            score: their whole change over the root median square of the change from run to run.
        alpha: error level of both tests together, half of it each.
        runs: how many.
    """

    loss: Jump
    score: Jump
    tokens: float
    power: float
    sharpness_loss: float
    sharpness_score: float
    alpha: float
    runs: int
    source: str = SOURCE

    @property
    def explained(self) -> bool:
        """Whether nothing but the metric is needed to explain the score."""
        return min(self.loss.p_value, self.score.p_value) > self.alpha / 2

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"explained": self.explained}

    def __str__(self) -> str:
        if self.explained:
            verdict = "the score's rise is explained by its metric: no step is needed in loss or score"
        else:
            loss = self.loss.p_value < self.score.p_value
            what, jump = (
                ("the loss itself jumps", self.loss) if loss else ("the score jumps beyond its loss", self.score)
            )
            verdict = f"more than the metric: {what}, at a scale of {jump.at:.3g}"
        link = f"it follows the loss as an answer of {self.tokens:.3g} tokens would, to the power {self.power:.3g}"
        sharp = f"sharpness {self.sharpness_score:.3g} by score, {self.sharpness_loss:.3g} by loss"
        tests = (
            f"step in the loss p = {self.loss.p_value:.2g}, in the score given the loss p = {self.score.p_value:.2g}"
        )
        return "\n".join([f"{self.runs} runs: {verdict}", f"  {link}; {sharp}", f"  {tests}; {self.source}"])


def emergence(
    scale: ArrayLike, loss: ArrayLike, hits: ArrayLike, items: ArrayLike, *, alpha: float = 0.05, seed: int = 0
) -> Emergence:
    """Test whether a score's jump is its metric's.

    Args:
        scale: N, D or C of each run, shape (n,); at least eight distinct values.
        loss: nats per token of the right answers, shape (n,).
        hits: answers that are right, shape (n,).
        items: answers asked for, shape (n,) or one number.
        alpha: error level of both tests together.
        seed: of the simulations.

    Raises:
        PlanError: too few runs, columns that differ in length, values that cannot be, or a score that is 0 or 1 in all
            runs but one.
    """
    x, y, right, asked = _checked(scale, loss, hits, items)
    if not 0 < alpha < 1:
        raise PlanError(f"alpha must lie between 0 and 1, got {alpha}", hint="alpha=0.05")
    rng = np.random.default_rng(seed)
    order = np.argsort(x, kind="stable")
    x, y, right, asked = x[order], y[order], right[order], asked[order]
    steps = _steps(x)
    coefficients = _fit_link(np.log(y), right[None], asked)[0]
    return Emergence(
        _jump(_loss_statistics(x, np.log(y), steps, rng), x, steps),
        _jump(_score_statistics(np.log(y), right, asked, coefficients, steps, rng), x, steps),
        float(np.exp(coefficients[0])),
        float(coefficients[1]),
        _sharpness(-y),
        _sharpness(right / asked),
        alpha,
        x.size,
    )


def _checked(scale: ArrayLike, loss: ArrayLike, hits: ArrayLike, items: ArrayLike) -> tuple[Array, Array, Array, Array]:
    columns = [np.asarray(values, dtype=np.float64) for values in (scale, loss, hits)]
    asked = np.broadcast_to(np.asarray(items, dtype=np.float64), columns[0].shape)
    if any(column.shape != columns[0].shape or column.ndim != 1 for column in (*columns, asked)):
        raise PlanError(f"scale, loss and hits have shapes {', '.join(str(column.shape) for column in columns)}")
    x, y, right = columns
    for name, values, wrong in (
        ("scale", x, ~(np.isfinite(x) & (x > 0))),
        ("loss", y, ~(np.isfinite(y) & (y > 0))),
        ("items", asked, ~(np.isfinite(asked) & (asked >= 1))),
        ("hits", right, ~((right >= 0) & (right <= asked))),
    ):
        if wrong.any():
            raise PlanError(f"{name}, run {np.flatnonzero(wrong)[0]}: {values[wrong][0]:g} cannot be")
    if np.unique(x).size < _FEWEST:
        raise PlanError(f"{np.unique(x).size} scales; a step is told from a bend by {_FEWEST} or more")
    if np.sum((right > 0) & (right < asked)) < 2:
        raise PlanError(
            "the score is 0 or 1 in all runs but one: its rise lies between two of them", hint="add runs there"
        )
    return x, y, right, asked


def _steps(x: Array) -> Array:
    """One row a place of the step: 1 for the runs beyond it; shape (places, n)."""
    starts = np.flatnonzero(np.diff(x) > 0) + 1
    starts = starts[(starts >= _EDGE) & (starts <= x.size - _EDGE)]
    return (np.arange(x.size) >= starts[:, None]).astype(np.float64)


def _loss_statistics(x: Array, ln_loss: Array, steps: Array, rng: np.random.Generator) -> Array:
    """F of a step at every place, of the runs and then of Gauss noise alone, whose size F does not see."""
    t = np.log(x / np.exp(np.log(x).mean()))
    smooth = np.linalg.qr(np.stack([np.ones_like(t), t, t**2], axis=1))[0]
    beyond = steps - (steps @ smooth) @ smooth.T
    length = np.linalg.norm(beyond, axis=1)
    beyond = np.where(length[:, None] > 1e-9, beyond / np.maximum(length, 1e-9)[:, None], 0.0)
    rows = np.vstack([ln_loss, rng.standard_normal((_SIMULATED, t.size))])
    rows = rows - (rows @ smooth) @ smooth.T
    gains = (rows @ beyond.T) ** 2
    left = np.maximum((rows**2).sum(axis=1, keepdims=True) - gains, 1e-300)
    return np.asarray(gains / left * (t.size - 4))


def _score_statistics(
    ln_loss: Array, hits: Array, items: Array, coefficients: Array, steps: Array, rng: np.random.Generator
) -> Array:
    """Squared efficient scores of a step at every place over the dispersion that it leaves, as above."""
    expected = _share(coefficients[None], ln_loss)[0]
    rows = np.vstack([hits, rng.binomial(items.astype(np.int64), expected, (_SIMULATED, hits.size))])
    found = _fit_link(ln_loss, rows, items)
    share, slope, variance = _moments(found, ln_loss, items)
    scores = (rows - items * share) * slope / variance  # of the linear predictor
    weights = slope**2 / variance
    design = np.stack([np.ones_like(ln_loss), ln_loss], axis=1)
    inverse = np.linalg.pinv(np.einsum("ni,rn,nj->rij", design, weights, design))
    cross = np.einsum("sn,rn,ni->rsi", steps, weights, design)
    information = weights @ (steps**2).T - np.einsum("rsi,rij,rsj->rs", cross, inverse, cross)
    gains = (scores @ steps.T) ** 2 / np.maximum(information, 1e-12)
    gains[information < 1e-9] = 0.0
    pearson = ((rows - items * share) ** 2 / variance).sum(axis=1, keepdims=True)
    dispersion = np.maximum(pearson - gains, 0.0) / (hits.size - 3)
    return np.asarray(gains / np.maximum(dispersion, _least_dispersion(hits.size)))


def _least_dispersion(n: int) -> float:
    """A dispersion of binomial counts that n runs fall below once in a hundred times: less is luck, no precision."""
    from scipy.special import chdtri

    return float(chdtri(n - 3, 0.99)) / (n - 3)


def _fit_link(ln_loss: Array, hits: Array, items: Array) -> Array:
    """a and b of ln(-ln p) = a + b ln L by Fisher scoring, for every row of hits (rows, n); shape (rows, 2)."""
    start = -np.log(np.clip((hits + 0.5) / (items + 1.0), 1e-9, 1 - 1e-9))
    design = np.stack([np.ones_like(ln_loss), ln_loss], axis=1)
    found = np.log(start) @ np.linalg.pinv(design).T
    for _ in range(_NEWTON):
        share, slope, variance = _moments(found, ln_loss, items)
        weights = slope**2 / variance
        gradient = ((hits - items * share) * slope / variance) @ design
        information = np.einsum("ni,rn,nj->rij", design, weights, design) + 1e-9 * np.eye(2)
        found = found + np.clip(np.linalg.solve(information, gradient[..., None])[..., 0], -1.0, 1.0)
    return np.asarray(found)


def _share(coefficients: Array, ln_loss: Array) -> Array:
    eta = np.clip(coefficients[:, :1] + coefficients[:, 1:] * ln_loss, -_LIMIT, math.log(_LIMIT))
    return np.asarray(np.exp(-np.exp(eta)))


def _moments(coefficients: Array, ln_loss: Array, items: Array) -> tuple[Array, Array, Array]:
    """p, the slope of the expected hits in the linear predictor, and the variance of the hits, each (rows, n)."""
    share = _share(coefficients, ln_loss)
    variance = np.maximum(items * share * (1 - share), 1e-12)
    return share, items * share * np.log(np.clip(share, 1e-300, 1.0)), variance


def _jump(statistics: Array, x: Array, steps: Array) -> Jump:
    largest = statistics.max(axis=1)
    first = steps[statistics[0].argmax()].argmax()
    return Jump(float(largest[0]), float(x[first]), float(np.mean(largest >= largest[0])))


def _sharpness(values: Array) -> float:
    change = float(values[values.argmax()] - values[values.argmin()]) * np.sign(values.argmax() - values.argmin())
    typical = float(np.sqrt(np.median(np.diff(values) ** 2)))
    return float(change / max(typical, 1e-12))
