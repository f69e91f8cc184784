"""Profiles of the objective: one parameter held at value after value, the others refitted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.constraints import Constraints
from isoflop.fitting.covariance import covariance
from isoflop.fitting.likelihood import log_likelihood, threshold
from isoflop.fitting.problem import Problem
from isoflop.fitting.solve import polish

Array = NDArray[np.float64]

_WALK = 40
_STRIDE = 0.5
_EXACT = 1e-4
_FARTHEST = 690.0  # of a logarithm whose exponential is a float


@dataclass(frozen=True)
class Profile:
    """The least objective at each value of one parameter, all others refitted.

    Attributes:
        name: the parameter.
        values: of it, rising, shape (k,).
        objective: least sum at each, shape (k,).
        ratio: twice the fall of the log likelihood from its best, shape (k,).
        interval: where the ratio stays below the level's threshold; an end that the data do not close is that of the
            parameter's domain.
        closed: whether the data close the lower and the upper end.
        level: of the interval.
    """

    name: str
    values: Array
    objective: Array
    ratio: Array
    interval: tuple[float, float]
    closed: tuple[bool, bool]
    level: float

    def __str__(self) -> str:
        low, high = self.interval
        said = {(True, True): "", (False, True): ", open below", (True, False): ", open above"}
        return f"{self.name} in ({low:.4g}, {high:.4g}), {self.level:.0%} by likelihood ratio" + said.get(
            self.closed, ", open on both sides: the runs do not determine it"
        )


def profile(problem: Problem, constraints: Constraints, vector: Array, name: str, level: float) -> Profile:
    """Walk from the optimum to both sides until the likelihood ratio passes the level's threshold.

    Raises:
        FitError: no such parameter, or one that is fixed.
    """
    law = problem.law
    if name not in law.names:
        raise FitError(f"no parameter {name!r}", hint=f"parameters: {', '.join(law.names)}")
    if name in constraints.fix:
        raise FitError(f"{name} is fixed: it has no profile", hint="fit it without fix=")
    at = law.names.index(name)
    log = bool(law.code.LOG[at])
    best = problem.natural(vector)
    free = problem.moving(vector).size
    allowed = threshold(problem, free, level)
    least = problem.total(vector)
    top = log_likelihood(problem, least)
    error = float(np.sqrt(covariance(problem, vector)[at, at]))
    low, high = _domain(problem, constraints, name)
    centre = math.log(best[at]) if log else float(best[at])
    ends = (math.log(low) if low > 0 else -math.inf, math.log(high)) if log else (low, high)
    stride = _STRIDE * (error / best[at] if log else error)
    stride = stride if math.isfinite(stride) and stride > 0 else 0.05
    stride = min(stride, 1.0 if log else 0.25 * max(abs(centre), 0.1))

    def fixed(value: float, start: Array) -> tuple[float, float, Array]:
        """Sum, ratio and natural parameters at a value, from those of a neighbour."""
        natural = math.exp(value) if log else value
        there = Problem.of(law, problem.data, problem.criterion, _held(constraints, name, natural))
        if not there.coordinates.members:
            raise FitError(f"{name} is the only free parameter", hint="its standard error says all")
        moved = there.free(start)
        found = polish(there, np.clip(moved, there.coordinates.lower, there.coordinates.upper)[None], there.w[None])
        total = float(found.values[0, 0])
        return total, 2 * (top - log_likelihood(there, total)), there.natural(found.vectors[0, 0])

    seen: dict[float, tuple[float, float, Array]] = {centre: (least, 0.0, best)}
    interval, closed = [], []
    for side, end in ((-1, ends[0]), (1, ends[1])):
        inner, step, stopped = centre, stride, False
        for _ in range(_WALK):
            trial = inner + side * step
            stopped = side * (trial - end) >= 0
            trial = end if stopped else trial
            if not math.isfinite(trial) or (log and abs(trial) > _FARTHEST) or (not log and trial == inner):
                break
            seen[trial] = fixed(trial, seen[inner][2])
            if not seen[trial][1] < allowed or stopped:
                break
            inner, step = trial, step * (1.0 if seen[trial][1] > 0.02 * allowed * len(seen) else 1.5)
        outer = trial
        shut = outer in seen and seen[outer][1] > allowed
        if shut:
            outer = _crossing(fixed, seen, inner, outer, allowed)
        closed.append(shut)
        interval.append(outer if shut else end)
    values = np.array(sorted(seen))
    turned = [math.exp(v) if log else v for v in interval]
    return Profile(
        name=name,
        values=np.exp(values) if log else values,
        objective=np.array([seen[v][0] for v in values]),
        ratio=np.array([seen[v][1] for v in values]),
        interval=(turned[0], turned[1]),
        closed=(closed[0], closed[1]),
        level=level,
    )


def _crossing(
    fixed: Callable[[float, Array], tuple[float, float, Array]],
    seen: dict[float, tuple[float, float, Array]],
    inner: float,
    outer: float,
    allowed: float,
) -> float:
    """Where the ratio passes the threshold, by the secant of its root, which is nearly straight, inside a bracket."""
    for _ in range(30):
        a, b = (math.sqrt(max(seen[v][1], 0.0)) for v in (inner, outer))
        share = (math.sqrt(allowed) - a) / (b - a) if math.isfinite(b) and b > a else 0.5
        trial = inner + min(max(share, 0.05), 0.95) * (outer - inner)
        seen[trial] = fixed(trial, seen[inner][2])
        if abs(math.sqrt(max(seen[trial][1], 0.0)) - math.sqrt(allowed)) < _EXACT:
            return trial
        inner, outer = (trial, outer) if seen[trial][1] < allowed else (inner, trial)
    return outer


def _domain(problem: Problem, constraints: Constraints, name: str) -> tuple[float, float]:
    described = {p.name: p.domain for p in problem.law.parameters}
    return constraints.bounds.get(name, described[name])


def _held(constraints: Constraints, name: str, value: float) -> Constraints:
    """The same restrictions with one parameter, and those tied to it, fixed."""
    alike = next((group for group in constraints.tie if name in group), (name,))
    return Constraints(
        {**constraints.fix, **dict.fromkeys(alike, value)},
        {key: ends for key, ends in constraints.bounds.items() if key != name},
        tuple(group for group in constraints.tie if name not in group),
    )
