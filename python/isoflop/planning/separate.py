"""A law of its own for each of two systems: whether that is needed, what each gains at a loss, and where they cross."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.fitting.fitted import Fit
from isoflop.fitting.uncertainty import Derived, percentile_interval
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, has_optimum, optimum

Array = NDArray[np.float64]

_BEYOND = 1e6
"""How far beyond the largest run a crossing is looked for."""

DIFFERENT = 0.05
"""Below this, the p value of the F test says that one rescaled law is not enough."""

_STEPS = 600
_LOSSES = (0.9, 0.5, 0.1)
"""Where in the losses that both systems reach the gain is read, as shares of the way down."""


@dataclass(frozen=True)
class Crossing:
    """Where two laws meet along their compute optima.

    Attributes:
        compute: FLOPs; infinite where the fits do not cross in the range looked at.
        interval: of it, over the draws that cross; infinite where fewer than half of them do.
        share: of the draws that cross.
        loss: there, nats per token; NaN where the fits do not cross.
        beyond: decades past the largest run; negative among the runs.
    """

    compute: float
    interval: tuple[float, float]
    share: float
    loss: float
    beyond: float


@dataclass(frozen=True)
class Separate:
    """Two fits of one law, one a system.

    Runs of equal size share what the law misses; the test and the intervals here take them for independent, and so err
    to the side of one law for both.

    Attributes:
        names: of the systems, the baseline first.
        fits: of each.
        f_value: of the F test of the shared law against the two, with ``dof`` degrees of freedom.
        dof: constants more, and runs less all constants.
        p_value: how often the shared law alone would give an F as large.
        gains: compute of the baseline over that of the other system at losses (nats per token) that both reach.
        crossing: of the two, between the smallest run and a million times the compute of the largest.
        level: of the intervals, percentiles of resampled runs.
    """

    names: tuple[str, str]
    fits: tuple[Fit, Fit]
    f_value: float
    dof: tuple[int, int]
    p_value: float
    gains: dict[float, Derived]
    crossing: Crossing
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None where there is no number."""
        crossing = vars(self.crossing) | {"interval": list(self.crossing.interval)}
        return {
            "law": self.fits[0].law.name,
            "params": {name: dict(f.params) for name, f in zip(self.names, self.fits, strict=True)},
            "f_value": self.f_value,
            "dof": list(self.dof),
            "p_value": self.p_value,
            "gains": [{"loss": loss, **vars(gain)} for loss, gain in self.gains.items()],
            "crossing": crossing if math.isfinite(self.crossing.compute) else {"share": self.crossing.share},
        }

    def lines(self) -> list[str]:
        """As text."""
        said = "; ".join(f"{gain} at {loss:.3f} nats" for loss, gain in self.gains.items())
        own = f"a law for each against one for both: F({self.dof[0]}, {self.dof[1]}) = {self.f_value:.3g}"
        return [f"{own}, p = {self.p_value:.2g}; gains {said}", self._crossing()]

    def _crossing(self) -> str:
        at = self.crossing
        if not math.isfinite(at.compute):
            return (
                f"these two laws do not cross up to {_BEYOND:.0e} times the largest run; {at.share:.0%} of resamples do"
            )
        where = f"{at.beyond:.1f} decades beyond the runs" if at.beyond > 0 else "among the runs"
        low, high = at.interval
        within = f" [{low:.2g}, {high:.2g}]" if math.isfinite(high) else ""
        found = f"{at.compute:.2g}{within} FLOP and {at.loss:.3f} nats, {where}; {at.share:.0%} of resamples cross"
        shown = self.p_value < DIFFERENT
        return f"their laws cross at {found}" if shown else f"nothing shows that they cross: two laws would, at {found}"


def separately(first: Fit, second: Fit, both: Fit, names: tuple[str, str], level: float) -> Separate:
    """Two laws beside one: the F test of least squares, gains at three losses, and the crossing."""
    from scipy.special import fdtrc

    more = 2 * len(first.law.names) - len(both.law.names)
    left = both.n_runs - 2 * len(first.law.names)
    own = first.objective + second.objective
    f_value = max(both.objective - own, 0.0) / more / (own / left) if own > 0 and left > 0 else math.nan
    computes = _computes(first, second)
    curves = [_frontiers(f, computes) for f in (first, second)]
    return Separate(
        names,
        (first, second),
        f_value,
        (more, left),
        float(fdtrc(more, left, f_value)) if math.isfinite(f_value) else math.nan,
        _gains(first, second, curves, computes, level),
        _crossing(curves, computes, level, _largest(first, second)),
        level,
    )


def _compute(f: Fit) -> Array:
    columns = f.data.columns
    return columns["C"] if "C" in columns else FLOP_PER_PARAM_TOKEN * columns["N"] * columns["D"]


def _largest(first: Fit, second: Fit) -> float:
    return float(max(_compute(first).max(), _compute(second).max()))


def _computes(first: Fit, second: Fit) -> Array:
    smallest = float(min(_compute(first).min(), _compute(second).min()))
    return np.geomspace(smallest, _BEYOND * _largest(first, second), _STEPS)


def _frontiers(f: Fit, computes: Array) -> Array:
    """The least loss of every budget, first by the fit and then by its draws, shape (1 + draws, budgets)."""
    draws = np.vstack([[f.params[name] for name in f.law.names], f.bootstrap().draws])
    if has_optimum(f.law):
        return optimum(f.law, draws, computes).loss
    columns = list(draws.T[:, :, None])
    return np.asarray(np.broadcast_to(f.law.code.evaluate(columns, [computes]), (len(draws), computes.size)))


def _gains(first: Fit, second: Fit, curves: list[Array], computes: Array, level: float) -> dict[float, Derived]:
    """Of the losses on both frontiers at the runs' budgets, at three."""
    tops, ends = [], []
    for f, rows in zip((first, second), curves, strict=True):
        seen = (computes >= _compute(f).min()) & (computes <= _compute(f).max())
        tops.append(float(rows[0][seen].max()))
        ends.append(float(rows[0][seen].min()))
    high, low = min(tops), max(ends)
    if low >= high:
        return {}
    pairs = list(zip(*curves, strict=False))
    gains = {}
    for share in _LOSSES:
        loss = low + share * (high - low)
        of = np.array([_needed(a, loss, computes) / _needed(b, loss, computes) for a, b in pairs])
        drawn = of[1:][np.isfinite(of[1:])]
        gains[loss] = Derived(float(of[0]), percentile_interval(drawn, level), level)
    return gains


def _needed(losses: Array, loss: float, computes: Array) -> float:
    """FLOPs that reach a loss; NaN where the law does not."""
    return float(np.exp(np.interp(-loss, -losses, np.log(computes), left=np.nan, right=np.nan)))


def _crossing(curves: list[Array], computes: Array, level: float, largest: float) -> Crossing:
    n = min(len(rows) for rows in curves)
    gap = curves[1][:n] - curves[0][:n]
    found = np.array([_first_zero(row, computes) for row in gap])
    drawn = found[1:][np.isfinite(found[1:])]
    share = drawn.size / max(n - 1, 1)
    interval = percentile_interval(drawn, level) if share >= 0.5 else (math.nan, math.inf)
    at = float(found[0])
    loss = float(np.interp(np.log(at), np.log(computes), curves[0][0])) if math.isfinite(at) else math.nan
    return Crossing(at, interval, share, loss, math.log10(at / largest))


def _first_zero(gap: Array, computes: Array) -> float:
    changes = np.flatnonzero(np.sign(gap[1:]) != np.sign(gap[:-1]))
    if not changes.size:
        return math.inf
    i = changes[0]
    along = gap[i] / (gap[i] - gap[i + 1])
    return float(np.exp(np.log(computes[i]) + along * np.log(computes[i + 1] / computes[i])))
