"""The final loss of a run that is not done, from its curve so far and its schedule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isoflop.errors import FitError, NotIdentifiable
from isoflop.fitting.annealing import FORMS, read_schedule
from isoflop.fitting.curves import (
    DELTA,
    FALLEN,
    Curve,
    CurveFit,
    fallen_share,
    fit_curves,
    ln_residuals,
    widening_of,
)
from isoflop.fitting.residuals import Estimate, Rows, least_residuals


@dataclass(frozen=True)
class FinalLoss:
    """The loss at the end of a schedule, predicted from a curve so far.

    Attributes:
        value: nats per token.
        interval: for the loss logged at the last step, if the form holds.
        level: of the interval.
        form: which was used.
        params: of the form.
        seen: share of the schedule's steps that the curve covers.
    """

    value: float
    interval: tuple[float, float]
    level: float
    form: str
    params: dict[str, float]
    seen: float

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.4f} ({low:.4f}, {high:.4f}) from {self.seen:.0%} of the run by the {self.form} form"


def predict_final(
    curve: Curve, *, form: str | None = None, like: CurveFit | None = None, level: float = 0.95
) -> FinalLoss:
    """The loss at the end of ``curve.schedule`` from the points so far.

    Args:
        curve: an unfinished run with its whole schedule.
        form: "steps", "annealing" or "multi-power"; by default that of ``like``, else "annealing" where the learning
            rate still falls and "steps" where it has stayed at its peak and will.
        like: a fit to finished runs, of this model or of smaller ones: L_0 and A are refitted to this curve, the other
            parameters are taken from it. Needed where the learning rate has not fallen yet and will.
        level: of the interval.

    Raises:
        FitError: as :func:`fit_curves`; a form other than that of ``like``.
        NotIdentifiable: the learning rate is still to fall, has not fallen so far, and there is no ``like``.
    """
    if not 0 < level < 1:
        raise FitError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")
    if like is not None and form not in (None, like.form):
        raise FitError(f"form {form!r} asked for, like was fitted by {like.form!r}", hint="give one of them")
    last = np.asarray(curve.schedule).size
    end = read_schedule(curve.schedule, [last], warmup=curve.warmup)
    falls = fallen_share(end) >= FALLEN
    name = like.form if like is not None else form or ("annealing" if falls else "steps")
    if like is not None:
        fitted = _refit(curve, like)
    else:
        try:
            fitted = fit_curves([curve], name)
        except NotIdentifiable as error:
            raise NotIdentifiable(
                f"{error.message}; by the end it will have fallen by {fallen_share(end):.0%}",
                hint="wait until it has, or give like=fit_curves(...) of a run that has annealed",
            ) from None
    value = float(fitted.predict(curve.schedule, [last], warmup=curve.warmup)[0])
    low, high = fitted.interval(curve.schedule, [last], warmup=curve.warmup, level=level)
    seen = float(np.max(np.asarray(curve.steps)) / last)
    return FinalLoss(value, (float(low[0]), float(high[0])), level, name, fitted.params, seen)


def _refit(curve: Curve, like: CurveFit) -> CurveFit:
    """``like`` with L_0 and A fitted to ``curve``; the covariance holds both what moved and what did not."""
    form, part = FORMS[like.form], curve.columns()
    names = list(like.params)
    moved = [names.index("L_0"), names.index("A")]
    held = [i for i in range(len(names)) if i not in moved]

    def solve(kept: dict[str, float]) -> Estimate:
        def rows(p: dict[str, float]) -> Rows:
            residuals, slopes = ln_residuals(form, [part])({**kept, **p})
            return residuals, slopes[moved]

        return least_residuals(
            rows,
            [{"L_0": kept["L_0"], "A": kept["A"]}],
            bounds={name: form.bounds[name] for name in ("L_0", "A")},
            delta=DELTA,
        )

    found = solve(like.params)
    u = like.estimate.coordinates.copy()
    u[moved] = found.coordinates
    widening = widening_of([found.residuals])
    follow = np.zeros((len(names), len(held)))
    follow[held, range(len(held))] = 1.0
    for column, i in enumerate(held):
        step = 0.1 * float(np.sqrt(like.estimate.covariance[i, i])) + 1e-9
        nudged = u.copy()
        nudged[i] += step
        follow[moved, column] = (
            solve(dict(zip(names, np.exp(nudged).tolist(), strict=True))).coordinates - u[moved]
        ) / step
    covariance = like.widening / widening * follow @ like.estimate.covariance[np.ix_(held, held)] @ follow.T
    covariance[np.ix_(moved, moved)] += found.covariance
    estimate = Estimate(
        dict(zip(names, np.exp(u).tolist(), strict=True)),
        u,
        covariance,
        found.residuals,
        found.hit_rate,
        found.condition,
    )
    return CurveFit(like.form, estimate, widening, like.unseen)
