"""What is known before the next runs: draws of a law's parameters, what the runs so far say, and the noise of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.designing.inputs import Columns, completed, require_designable
from isoflop.designing.misfit import N_BENDS, Bends
from isoflop.designing.slopes import natural, of_runs
from isoflop.errors import LawError, PlanError
from isoflop.fitting.constraints import Constraints, Coordinates
from isoflop.fitting.fitted import Fit
from isoflop.laws.catalogue import LAWS, get_law
from isoflop.laws.law import Law
from isoflop.laws.presets import Preset, get_preset

Array = NDArray[np.float64]

DOUBT = 0.3
"""Of constants that are only presumed, unless another doubt is given."""

_FLOOR = 0.3
"""A floor, in nats per token, that is doubted like one of this size where it is found or presumed to be smaller."""

_VAGUE = 10.0
"""How many times the doubt the prior of the analysis is: runs are chosen as if next to nothing were known."""


@dataclass(frozen=True)
class Beliefs:
    """A law whose constants are known more or less.

    Attributes:
        law: the law.
        name, source: where its constants come from.
        n_convention: which parameters N counts; empty where unknown.
        coordinates: its free coordinates.
        params: the likeliest natural parameters, (1, p).
        draws: free coordinates that may be true as well, (draws, q).
        prior: precision of the free coordinates before any run, (q, q).
        seen: columns of the runs so far; None where there are none.
        weights: how much each of them says, (runs,).
        noise: standard deviation of a run's ln loss about the law; None where nobody knows.
    """

    law: Law
    name: str
    source: str
    n_convention: str
    coordinates: Coordinates
    params: Array
    draws: Array
    prior: Array
    seen: Columns | None
    weights: Array
    noise: float | None

    @property
    def natural(self) -> Array:
        """The draws as natural parameters, (draws, p)."""
        return natural(self.law, self.coordinates, self.draws)

    def information(self, noise: float, bends: Bends, misfit: float) -> Array:
        """Precision of the free coordinates, and then of the bends, before the next runs, (draws, q + 7, q + 7)."""
        known = np.concatenate([np.diag(self.prior), np.full(N_BENDS if misfit else 0, misfit**-2.0 if misfit else 0)])
        start = np.repeat(np.diag(known)[None], len(self.draws), axis=0)
        if self.seen is None:
            return start
        slopes = self.slopes(self.seen, bends, misfit)
        weighed = slopes * self.weights[None, :, None] / noise**2
        return np.asarray(start + np.swapaxes(weighed, 1, 2) @ slopes)

    def slopes(self, runs: Columns, bends: Bends, misfit: float) -> Array:
        """d ln L by the free coordinates and, where the law may be wrong, by the bends: (draws, runs, q + 7)."""
        by_law = of_runs(self.law, self.coordinates, self.draws, runs)
        if not misfit:
            return by_law
        by_bends = bends.at(runs["N"], runs["D"])
        return np.concatenate([by_law, np.broadcast_to(by_bends, (len(by_law), *by_bends.shape))], axis=-1)


def believe(
    law: str | Fit | Preset | Law,
    start: Mapping[str, float] | None,
    about: Columns,
    *,
    doubt: float,
    draws: int,
    seed: int,
) -> Beliefs:
    """Beliefs from a fit, a published set, or a law with ``start``, the constants to begin with.

    Constants of a fit are drawn from its bootstrap. Presumed ones are doubted, each by itself: the logarithm of every
    scale by ``doubt``, the scale being referred to the middle of the candidates ``about``, so that it is the size of a
    term there, and every other constant by that share of itself.

    Raises:
        LawError: no such law or set, or a constant that is missing or unknown.
        PlanError: a law whose runs cannot be chosen, or a set of no law of losses.
    """
    if isinstance(law, Fit):
        return _of_fit(law, doubt, draws, seed)
    found, constants, name, source, convention = _presumed(law, start)
    require_designable(found)
    params = np.array([[constants[each] for each in found.names]])
    centre = np.array([float(np.log(about[each]).mean()) for each in found.inputs])
    coordinates = Coordinates.of(found, np.where(found.code.CENTRED, centre, 0.0), Constraints())
    middle = coordinates.contract(found.code.inner(params, coordinates.centre))[0]
    scale = _doubted(found, coordinates, middle, doubt)
    drawn = middle + scale * np.random.default_rng(seed).standard_normal((draws, middle.size))
    return Beliefs(
        law=found,
        name=name,
        source=source,
        n_convention=convention,
        coordinates=coordinates,
        params=params,
        draws=_inside(coordinates, drawn),
        prior=np.diag((_VAGUE * scale) ** -2.0),
        seen=None,
        weights=np.empty(0),
        noise=None,
    )


def _presumed(
    law: str | Preset | Law, start: Mapping[str, float] | None
) -> tuple[Law, Mapping[str, float], str, str, str]:
    if start is not None:
        found = get_law(law) if isinstance(law, str) else law
        if not isinstance(found, Law):
            raise PlanError(f"{found.name} has its own constants", hint="leave start out")
        for given in set(start) ^ set(found.names):
            raise LawError(f"start must name every constant of {found.name} and no other: {given}", hint=found.formula)
        return found, start, found.name, "constants given to begin with", ""
    if isinstance(law, Law) or law in LAWS:
        raise PlanError(
            f"{law if isinstance(law, str) else law.name} is a law without constants",
            hint="design from a fit or a published set, or give start={...}, constants to begin with",
        )
    preset = get_preset(law) if isinstance(law, str) else law
    if not isinstance(preset, Preset) or preset.law not in LAWS:
        raise PlanError(f"{preset.name} is no law of N and D with constants", hint="isoflop laws lists them")
    return LAWS[preset.law], preset.values, preset.name, preset.source, preset.n_convention


def _of_fit(fit: Fit, doubt: float, draws: int, seed: int) -> Beliefs:
    require_designable(fit.law)
    problem = fit.problem
    coordinates = problem.coordinates
    params = np.array([[fit.params[name] for name in fit.law.names]])
    middle = problem.free(params)[0]
    kept = fit.bootstrap().draws
    rng = np.random.default_rng(seed)
    picked = problem.free(kept[rng.permutation(len(kept))[: max(0, draws - 1)]]) if len(kept) else middle[None][:0]
    drawn = np.vstack([middle, picked[np.isfinite(picked).all(axis=1)]])
    data = fit.data
    weights = np.ones(data.n_runs) if data.weights is None else data.weights / data.weights.mean()
    if data.cluster is not None:  # the points of one run say together what one says
        weights = weights / np.bincount(data.cluster)[data.cluster]
    sigma = 1.0 if data.sigma is None else float(np.median(data.sigma))
    if data.sigma is not None:
        weights = weights * (sigma / data.sigma) ** 2
    outputs = 1.0 if fit.criterion.log else float(np.abs(data.columns[fit.law.output]).mean())
    spare = max(1, fit.n_runs - middle.size)
    return Beliefs(
        law=fit.law,
        name=fit.law.name,
        source=f"fit to {fit.n_runs} runs" + (f" of {data.source}" if data.source else ""),
        n_convention=data.n_convention,
        coordinates=coordinates,
        params=params,
        draws=_inside(coordinates, drawn),
        prior=np.diag((_VAGUE * _doubted(fit.law, coordinates, middle, doubt)) ** -2.0),
        seen=completed({name: data.columns[name] for name in data.columns if name != fit.law.output}, fit.law),
        weights=weights,
        noise=fit.residual_rms * sigma / outputs * math.sqrt(fit.n_runs / spare),
    )


def _doubted(law: Law, coordinates: Coordinates, middle: Array, doubt: float) -> Array:
    """Standard deviation of each free coordinate."""
    first = [members[0] for members in coordinates.members]
    log = np.array([law.code.LOG[i] for i in first])
    least = np.array([_FLOOR if law.parameters[i].role == "floor" else 1e-3 for i in first])
    return np.asarray(doubt * np.where(log, 1.0, np.maximum(np.abs(middle), least)))


def _inside(coordinates: Coordinates, drawn: Array) -> Array:
    """No draw at or beyond a bound, where an exponent or a floor would be no more."""
    low, high = coordinates.lower, coordinates.upper
    return np.asarray(np.clip(drawn, np.where(np.isfinite(low), low + 1e-3, low), high))
