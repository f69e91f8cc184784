"""A choice as arrays, from what is believed: and what the runs that were chosen are expected to show."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from isoflop.designing.beliefs import Beliefs
from isoflop.designing.candidates import Candidates
from isoflop.designing.choose import Problem
from isoflop.designing.designed import Aim
from isoflop.designing.machine import Costs, Machine
from isoflop.designing.misfit import N_BENDS, Bends
from isoflop.designing.slopes import of_target
from isoflop.designing.target import Target
from isoflop.errors import PlanError

Array = NDArray[np.float64]


def pose(
    known: Beliefs,
    given: Candidates,
    targets: tuple[Target, ...],
    noise: float,
    misfit: float,
    budget: float,
    runs: int,
    replicates: int,
    machine: Machine,
) -> tuple[Problem, int]:
    """The choice, at those draws at which the law and the targets have finite values; and how many these are."""
    bends = Bends.over(given.columns)
    slopes = known.slopes(given.columns, bends, misfit) / noise
    toward = np.stack([_toward(known, target, bends, misfit) for target in targets])
    start = known.information(noise, bends, misfit)
    usable = np.isfinite(slopes).all(axis=(1, 2)) & np.isfinite(toward).all(axis=(0, 2))
    usable &= np.isfinite(start).all(axis=(1, 2))
    if not usable.any():
        raise PlanError(
            f"{', '.join(target.name for target in targets)} cannot be told from {known.name}: it has no value there",
            hint="another target, or less doubt",
        )
    if not toward[:, usable].any(axis=(1, 2)).all():
        raise PlanError(f"a target does not depend on the free parameters of {known.name}", hint="another target")
    problem = Problem(
        slopes=np.ascontiguousarray(slopes[usable]),
        targets=np.ascontiguousarray(toward[:, usable]),
        start=start[usable],
        costs=Costs.of(given.columns, machine),
        budget=budget,
        runs=runs,
        replicates=replicates,
    )
    return problem, int(usable.sum())


def _toward(known: Beliefs, target: Target, bends: Bends, misfit: float) -> Array:
    """d target by the free coordinates and the bends, (draws, q + 7): a loss is as wrong as the law is there."""
    by_law = of_target(_apart(target), known.law, known.coordinates, known.draws)
    if not misfit:
        return by_law
    by_bends = np.zeros((len(by_law), N_BENDS))
    if target.place is not None:
        usable = np.isfinite(by_law).all(axis=1)
        by_bends[usable] = bends.at(*target.place(known.natural[usable]))
    return np.concatenate([by_law, by_bends], axis=1)


def _apart(target: Target) -> Callable[[Array], Array]:
    """The target draw by draw where all of them together have no value: one law in many has no optimum."""

    def scaled(params: Array) -> Array:
        try:
            return target.scaled(params)
        except PlanError:
            return np.array([_or_nothing(target, row[None]) for row in params])

    return scaled


def _or_nothing(target: Target, params: Array) -> float:
    try:
        return float(target.scaled(params)[0])
    except PlanError:
        return math.nan


def expect(
    known: Beliefs, targets: tuple[Target, ...], problem: Problem, chosen: list[int], level: float
) -> tuple[Aim, ...]:
    """Each target now and with the runs that were chosen: typical standard deviations over the draws, as intervals."""
    reach = NormalDist().inv_cdf(0.5 + level / 2)
    before, after = (np.exp(np.log(problem.variances(rows)).mean(axis=1) / 2) for rows in ([], chosen))
    aims = []
    for target, sd_before, sd_after in zip(targets, before, after, strict=True):
        middle = float(target.scaled(known.params)[0])
        ends = (target.natural(middle - reach * sd_after), target.natural(middle + reach * sd_after))
        if known.seen is None:
            drawn = _apart(target)(known.natural)
            quantiles = np.nanquantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
            first = tuple(target.natural(float(end)) for end in quantiles)
            sd_before = float(np.ptp(quantiles)) / (2 * reach)
        else:
            first = (target.natural(middle - reach * sd_before), target.natural(middle + reach * sd_before))
        aims.append(
            Aim(
                target=target.name,
                value=target.natural(middle),
                before=(first[0], first[1]),
                after=ends,
                spread_before=float(sd_before),
                spread_after=float(sd_after),
                relative=target.log,
            )
        )
    return tuple(aims)
