"""Learning curves: a form of the loss along a run, fitted to one or more curves of one model.

Intervals hold three things: the noise of a point; the parameters' covariance, widened by (1 + r)/(1 - r) because
points of one curve are not independent (r correlates neighbouring residuals); and the form's own error, measured by
predicting the end of each curve from the others, or what is known of a single curve from its first part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import FitError, NotIdentifiable, nearest
from isoflop.fitting.annealing import FORMS, Features, Form, read_schedule
from isoflop.fitting.columns import checked
from isoflop.fitting.residuals import Estimate, Rows, least_residuals

Array = NDArray[np.float64]

DELTA = 1e-3
"""Huber's delta on log loss, as in Luo 2025."""

FALLEN = 0.4
"""A learning rate that has fallen by less than this share of its peak does not show what annealing gains."""

_CORRELATION = 0.98
_BACKTESTS = (1 / 2, 2 / 3, 5 / 6)
_END = 0.1
_FEWEST = 8

Part = tuple[Features, Array]
"""What the forms read at the points of a curve, and ln L there."""


@dataclass(frozen=True)
class Curve:
    """Part or all of one run.

    Attributes:
        steps: of the points, shape (p,); the first step of the run is 1.
        loss: nats per token, shape (p,).
        schedule: learning rate of step 1, 2, ... to the planned end, shape (T,).
        warmup: steps of warm-up.
    """

    steps: ArrayLike
    loss: ArrayLike
    schedule: ArrayLike
    warmup: int = 0

    def columns(self) -> Part:
        """What the forms read at the points after the warm-up, and ln L there.

        Raises:
            FitError: an impossible value or schedule, or hardly a point after the warm-up.
        """
        columns = checked({"steps": self.steps, "loss": self.loss})
        after = columns["steps"] > self.warmup
        if after.sum() < _FEWEST:
            raise FitError(f"{after.sum()} points after the warm-up; a curve needs {_FEWEST}", hint="log more often")
        features = read_schedule(self.schedule, columns["steps"][after], warmup=self.warmup)
        return features, np.log(columns["loss"][after])


@dataclass(frozen=True)
class CurveFit:
    """A form fitted to curves of one model.

    Attributes:
        form: its name.
        estimate: parameters with their covariance; residuals are of ln L.
        widening: factor on the parameters' variance for the correlation along curves.
        unseen: errors of ln L at ends of curves, or parts of one, that a fit has not seen; the form's own error.
    """

    form: str
    estimate: Estimate
    widening: float
    unseen: tuple[float, ...]

    @property
    def params(self) -> dict[str, float]:
        """By name."""
        return self.estimate.params

    def predict(self, schedule: ArrayLike, at: ArrayLike, *, warmup: int = 0) -> Array:
        """Loss (nats per token) at steps of a schedule."""
        return FORMS[self.form].value(self.params, read_schedule(schedule, at, warmup=warmup))

    def interval(
        self, schedule: ArrayLike, at: ArrayLike, *, warmup: int = 0, level: float = 0.95
    ) -> tuple[Array, Array]:
        """Where a point logged at those steps would lie."""
        features = read_schedule(schedule, at, warmup=warmup)

        def ln_loss(u: Array) -> Array:
            params = dict(zip(self.params, np.exp(u).tolist(), strict=True))
            return np.log(FORMS[self.form].value(params, features))

        return _band(ln_loss, self, level)


def fit_curves(curves: Sequence[Curve], form: str = "multi-power") -> CurveFit:
    """Fit a form to one or more curves of one model by Huber (delta 1e-3) of log loss.

    Raises:
        FitError: no such form, no curve, an impossible value, or fewer points than the form needs.
        NotIdentifiable: no curve's learning rate falls by two fifths, so what annealing gains cannot be told.
    """
    if form not in FORMS:
        raise FitError(f"no form {form!r}", hint=nearest(form, FORMS))
    if not curves:
        raise FitError("no curve", hint="fit_curves([Curve(steps, loss, schedule, warmup)])")
    chosen = FORMS[form]
    parts = [curve.columns() for curve in curves]
    if chosen.anneals and max(fallen_share(features) for features, _ in parts) < FALLEN:
        raise NotIdentifiable(
            f"{form}: the learning rate has fallen by less than {FALLEN:.0%} of its peak in every curve, "
            f"so {chosen.anneals} cannot be told",
            hint="add a curve that has annealed, or use form='steps' for a schedule that stays as it is",
        )
    everything = np.concatenate([ln_loss for _, ln_loss in parts])
    starts = chosen.starts(parts[0][0], float(np.exp(everything.max())), float(np.exp(everything.min())))
    estimate = _solve(chosen, parts, starts)
    lengths = [ln_loss.size for _, ln_loss in parts]
    widening = widening_of(np.split(estimate.residuals, np.cumsum(lengths)[:-1]))
    return CurveFit(form, estimate, widening, _unseen(chosen, parts, estimate.params))


def fallen_share(features: Features) -> float:
    """Share of the peak by which the learning rate has fallen at the last of the points."""
    return float(features.fallen.max(initial=0.0)) / features.peak


def _solve(form: Form, parts: list[Part], starts: list[dict[str, float]]) -> Estimate:
    return least_residuals(ln_residuals(form, parts), starts, bounds=form.bounds, delta=DELTA)


def _unseen(form: Form, parts: list[Part], start: dict[str, float]) -> tuple[float, ...]:
    """Errors of ln L over ends of curves, each predicted by a fit that has not seen it."""
    if len(parts) == 1:
        features, ln_loss = parts[0]
        cuts = [features.at <= share * features.at[-1] for share in _BACKTESTS]
        trials = [([(features.select(first), ln_loss[first])], parts[0]) for first in cuts]
    else:
        trials = [([other for other in parts if other is not part], part) for part in parts]
    errors = []
    for known, (features, ln_loss) in trials:
        told = not form.anneals or max((fallen_share(seen) for seen, _ in known), default=0.0) >= FALLEN / 2
        if not told or sum(rows.size for _, rows in known) <= len(form.bounds):
            continue
        found = _solve(form, known, [start])
        end = np.arange(ln_loss.size) >= min((1 - _END) * ln_loss.size, ln_loss.size - 1)
        unseen, _ = ln_residuals(form, [(features, ln_loss)])(found.params)
        errors.append(float(np.mean(unseen[end])))
    return tuple(errors)


def ln_residuals(form: Form, parts: list[Part]) -> Callable[[dict[str, float]], Rows]:
    """Of ln L over the points of all parts, and their slopes, as a function of the form's parameters."""

    def rows(params: dict[str, float]) -> Rows:
        each = []
        for features, ln_loss in parts:
            value, slopes = form.slopes(params, features)
            floor = 1e-6 * np.abs(value).max()
            held = np.maximum(value, floor)
            each.append((np.log(held) - ln_loss, np.where(value > floor, slopes / held, 0.0)))
        return np.concatenate([residuals for residuals, _ in each]), np.concatenate([s for _, s in each], axis=1)

    return rows


def widening_of(curves: Sequence[Array]) -> float:
    """(1 + r)/(1 - r) with r the correlation of neighbouring residuals over all curves, none below zero."""
    pairs = sum(float(rows[:-1] @ rows[1:]) for rows in curves)
    squares = sum(float(rows @ rows) for rows in curves)
    r = min(max(pairs / squares, 0.0), _CORRELATION) if squares > 0 else 0.0
    return (1 + r) / (1 - r)


def _band(ln_loss: Callable[[Array], Array], fitted: CurveFit, level: float) -> tuple[Array, Array]:
    from scipy.special import stdtrit

    u, estimate = fitted.estimate.coordinates, fitted.estimate
    steps = 1e-5 * np.maximum(1.0, np.abs(u)) * np.eye(u.size)
    gradient = np.stack([(ln_loss(u + h) - ln_loss(u - h)) / (2 * h.max()) for h in steps], axis=1)
    variance = fitted.widening * np.einsum("pi,ij,pj->p", gradient, estimate.covariance, gradient)
    freedom = max(estimate.residuals.size / fitted.widening - u.size, 2.0)
    half = float(stdtrit(freedom, 0.5 + level / 2)) * np.sqrt(variance + estimate.rms**2)
    if fitted.unseen:
        form_error = np.sqrt(np.mean(np.square(fitted.unseen)))
        half = np.hypot(half, float(stdtrit(len(fitted.unseen), 0.5 + level / 2)) * form_error)
    middle = ln_loss(u)
    return np.exp(middle - half), np.exp(middle + half)
