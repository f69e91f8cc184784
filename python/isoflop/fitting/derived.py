"""Intervals of a fit's parameters and of what follows from them: resampled, robust, or by likelihood ratio."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError, nearest
from isoflop.fitting.covariance import influences, sandwich
from isoflop.fitting.resampling import KINDS
from isoflop.fitting.uncertainty import (
    N_DRAWS,
    NORMAL,
    Derived,
    corrected_interval,
    percentile_interval,
    reach_of,
    require_level,
)

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]
Vectorised = Callable[[Array], Array]
"""Natural parameters (draws, p) to a quantity (draws, k)."""

_STEP = 1e-3
"""Of derivatives by a parameter, in standard errors."""


def parameter(fit: Fit, name: str, level: float | None, kind: str | None) -> Derived:
    """A parameter with its interval.

    Raises:
        FitError: no such parameter or kind.
    """
    if name not in fit.law.names:
        raise FitError(f"no parameter {name!r}", hint=f"parameters: {', '.join(fit.law.names)}")
    level = fit.level if level is None else level
    at = fit.law.names.index(name)
    if name in fit.constraints.fix:
        return Derived(fit.params[name], (fit.params[name],) * 2, level, "fixed")
    if kind == "profile":
        return Derived(fit.params[name], fit.profile(name, level).interval, level, kind)
    if kind == "sandwich" and fit.law.code.LOG[at]:
        # a scale is moved by its logarithm: so is its interval
        logs = intervals(fit, lambda p: np.log(p[:, [at]]), level, kind)[0]
        return Derived(fit.params[name], (math.exp(logs.interval[0]), math.exp(logs.interval[1])), level, kind)
    return intervals(fit, lambda p: p[:, [at]], level, kind)[0]


def derive(fit: Fit, fn: Callable[[Mapping[str, float]], float], level: float | None, kind: str | None) -> Derived:
    """A function of the parameters by name with its interval.

    Raises:
        FitError: the function asks for a parameter that is not there, or gives NaN or no number.
    """
    names = fit.law.names

    def value(row: list[float]) -> float:
        params = dict(zip(names, row, strict=True))
        try:
            found = float(fn(params))
        except KeyError as error:
            missing = str(error.args[0]) if error.args else ""
            what = f"fn asks for {missing!r}, no parameter of {fit.law.name}"
            raise FitError(what, hint=nearest(missing, names)) from error
        except TypeError as error:
            raise FitError(f"fn must turn a mapping of parameters into a number: {error}") from error
        if math.isnan(found):
            where = ", ".join(f"{name} = {number:g}" for name, number in params.items())
            raise FitError(f"fn is NaN at {where}", hint="a quantity must have a value wherever parameters may lie")
        return found

    def rows(draws: Array) -> Array:
        return np.array([[value(row)] for row in draws.tolist()], dtype=np.float64)

    return intervals(fit, rows, level, kind)[0]


def predicted(
    fit: Fit, level: float | None, kind: str | None, new_run: bool, columns: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Low and high of the output at columns of inputs; ``new_run`` adds the scatter of runs about the law."""
    shape = fit.predict(**columns).shape
    inputs = [np.broadcast_to(np.asarray(columns[name], dtype=np.float64), shape).ravel() for name in fit.law.inputs]
    law, size = fit.law, int(np.prod(shape))

    def rows(draws: Array) -> Array:
        values = law.code.evaluate(list(draws.T[:, :, None]), [x[None] for x in inputs])
        return np.array(np.broadcast_to(values, (len(draws), size)), dtype=np.float64)

    found = intervals(fit, rows, level, kind)
    ends = np.array([derived.interval for derived in found])
    if new_run:
        # errors of the law and of the run are independent: their reaches add as squares
        centre = np.array([derived.value for derived in found])
        reach = _scatter(fit, fit.level if level is None else level)
        if fit.criterion.log:
            ends, centre = np.log(ends), np.log(centre)
        ends = centre[:, None] + np.array([-1.0, 1.0]) * np.hypot(ends - centre[:, None], reach)
        ends = np.exp(ends) if fit.criterion.log else ends
    return ends[:, 0].reshape(shape), ends[:, 1].reshape(shape)


def _scatter(fit: Fit, level: float) -> float:
    """How far a run lies from the law, as the criterion compares them, at a level."""
    from scipy.special import stdtrit

    r, _ = fit.problem.residuals(fit.vector)
    r = r / fit.problem.s
    free = fit.problem.moving(fit.vector).size
    n = fit.problem.n_used
    return float(stdtrit(n - free, 0.5 + level / 2) * np.sqrt(np.average(r**2, weights=fit.problem.w) * n / (n - free)))


def intervals(
    fit: Fit, fn: Vectorised, level: float | None, kind: str | None, n_draws: int | None = None
) -> list[Derived]:
    """Intervals of every column of ``fn``, of any kind that :meth:`Fit.interval` takes."""
    level = fit.level if level is None else level
    require_level(level)
    kind = kind or fit.default_kind
    own = np.array([[fit.params[name] for name in fit.law.names]])
    values = fn(own)[0]
    if fit.of_points is not None and kind in ("profile", "sandwich"):
        raise FitError(f"a store is read in passes: no interval of kind {kind!r}", hint='kind="normal"')
    if kind == "profile":
        from isoflop.fitting.region import region

        def one(i: int) -> Callable[[Array], float]:
            return lambda p: float(fn(p[None])[0, i])

        ends = [region(fit.problem, fit.vector, one(i), level) for i in range(values.size)]
        return [Derived(float(v), pair, level, kind) for v, pair in zip(values, ends, strict=True)]
    if kind == "sandwich":
        return _robust(fit, fn, own[0], values, level)
    if kind == NORMAL:
        draws = fn(fit.bootstrap(n_draws or N_DRAWS, kind=kind).draws)
        ends = [percentile_interval(draws[:, i], level) for i in range(values.size)]
        return [Derived(float(v), pair, level, kind) for v, pair in zip(values, ends, strict=True)]
    if kind not in KINDS:
        raise FitError(f"no interval of kind {kind!r}", hint=nearest(kind, (*KINDS, NORMAL, "profile", "sandwich")))
    under = resampled(fit, level, kind, n_draws)
    draws, pulls = fn(under.draws), under.pulls
    slopes = _slopes(fn, own[0], under.steps) if len(pulls) > 1 else np.zeros((own.size, values.size))
    return [
        Derived(float(v), corrected_interval(draws[:, i], float(v), pulls @ slopes[:, i], under.reach), level, kind)
        for i, v in enumerate(values)
    ]


@dataclass(frozen=True)
class Resampled:
    """What the interval of anything that follows from the parameters rests on, where runs were resampled.

    Attributes:
        draws: parameters of every resample, shape (n, p).
        pulls: of each run or cluster on the parameters, shape (groups, p); one row of zeros where they are not runs.
        steps: of derivatives by a parameter, shape (p,); 0 for one that does not move.
        reach: in standard errors.
    """

    draws: Array
    pulls: Array
    steps: Array
    reach: float


def resampled(fit: Fit, level: float, kind: str, n_draws: int | None = None) -> Resampled:
    """See :class:`Resampled`; ``kind`` is one of those that resample."""
    draws = fit.bootstrap(n_draws or N_DRAWS, kind=kind).draws
    groups, dof = _groups(fit, kind)
    pulls = np.zeros((1, len(fit.law.names)))
    if kind in ("case", "cluster"):
        pulls = influences(fit.problem, fit.vector)
    return Resampled(draws, pulls, _steps(fit), reach_of(level, groups, dof))


def _groups(fit: Fit, kind: str) -> tuple[int, int]:
    """What spreads and how many of it are free: of resampled residuals their leverage is already taken away."""
    free = fit.problem.moving(fit.vector).size
    left = max(fit.problem.n_used - free, 1)
    if kind == "cluster":
        groups = _n_clusters(fit)
        return groups, max(groups - free, 1)
    return (fit.problem.n_used, left) if kind == "case" else (left, left)


def _n_clusters(fit: Fit) -> int:
    cluster = fit.data.cluster
    assert cluster is not None
    return int(np.unique(cluster[fit.problem.w > 0]).size)


def _robust(fit: Fit, fn: Vectorised, own: Array, values: Array, level: float) -> list[Derived]:
    from scipy.special import stdtrit

    slopes = _slopes(fn, own, _steps(fit))
    spread = np.nan_to_num(sandwich(fit.problem, fit.vector))
    errors = np.sqrt(np.einsum("pk,pq,qk->k", slopes, spread, slopes))
    dof = _groups(fit, "case")[1] if fit.data.cluster is None else _n_clusters(fit) - 1
    reach = float(stdtrit(dof, 0.5 + level / 2)) * errors
    return [
        Derived(float(v), (float(v - r), float(v + r)), level, "sandwich") for v, r in zip(values, reach, strict=True)
    ]


def _steps(fit: Fit) -> Array:
    """The error of each parameter, but small beside its value: a scale may be known to a factor only."""
    own = np.array([fit.params[name] for name in fit.law.names])
    errors = np.array([fit.standard_errors[name] for name in fit.law.names])
    return np.asarray(np.minimum(_STEP * np.nan_to_num(errors), 1e-4 * np.abs(own)))


def _slopes(fn: Vectorised, own: Array, steps: Array) -> Array:
    """d fn/d natural parameter at the fit by central differences, shape (p, k); 0 for one that does not move."""
    moved = np.flatnonzero(steps > 0)
    shifts = np.diag(steps)[moved]
    out = np.zeros((own.size, fn(own[None]).shape[1]))
    if moved.size:
        out[moved] = (fn(own + shifts) - fn(own - shifts)) / (2 * steps[moved, None])
    return out
