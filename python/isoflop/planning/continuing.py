"""Whether to go on with a run: what the next FLOPs buy there, at the compute optimum, and in a model begun anew."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.fitting.curves import Curve, CurveFit
from isoflop.fitting.final_loss import FinalLoss, predict_final
from isoflop.fitting.fitted import Fit
from isoflop.fitting.prediction import INTERPOLATION, labels
from isoflop.fitting.regression import fit_power
from isoflop.laws.law import Law
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, losses, optimum
from isoflop.laws.presets import PF_DAY, Preset
from isoflop.planning.basis import Basis, with_constants
from isoflop.planning.page import Shown, finite

Array = NDArray[np.float64]

_STEP = 1e-3
"""In ln C, of the differences that give slopes."""

_QUANTITIES = ("slope", "optimal_slope", "ratio", "optimal_params", "overtaken")
_FURTHEST = 1e6
_BEYOND = 1e300
"""Stands for what is infinite while quantiles of draws are taken."""
_BUDGETS = 256
_TAIL = 0.5
"""The measured slope is that of this last share of a curve's points."""

_FEWEST = 8


@dataclass(frozen=True)
class Continuing(Shown):
    """What more compute buys in a run of N parameters that has seen D tokens.

    Attributes:
        n_params, n_tokens: N, and D so far.
        compute: FLOPs so far, 6 N D.
        loss: now, nats per token: measured where a curve or a loss was given, else the law's.
        slope: nats that the loss falls by for one PF-day more, at the run's N, by the law.
        measured_slope: the same by the run's own curve, with its interval (t over the points, taken for independent);
            None without a curve. Where the learning rate falls, annealing is in it.
        optimal_slope: the same along the compute optimum, at the run's compute.
        ratio: slope over optimal slope: below one, the run is past the length that its size deserves.
        optimal_params: compute-optimal N at the run's compute.
        overtaken: FLOPs with which a model of optimal size, begun anew, ends below what the run reaches with as many
            more; None where that needs more than a million times the run's compute so far.
        intervals: of slope, optimal_slope, ratio, optimal_params and overtaken (infinite where None); None for
            published sets.
        level: of the intervals.
        final: the loss foreseen at the end of the run's schedule; None without a curve.
        law, source: of the constants.
        warnings: what to know before acting on it.
    """

    n_params: float
    n_tokens: float
    compute: float
    loss: float
    slope: float
    measured_slope: tuple[float, tuple[float, float]] | None
    optimal_slope: float
    ratio: float
    optimal_params: float
    overtaken: float | None
    intervals: dict[str, tuple[float, float]] | None
    level: float
    final: FinalLoss | None
    law: str
    source: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        record = asdict(self) | {"warnings": list(self.warnings)}
        if self.intervals is not None:
            record["intervals"] = finite(self.intervals)
        return record

    def __str__(self) -> str:
        head = f"{self.n_params:.4g} parameters after {self.n_tokens:.4g} tokens ({self.compute / PF_DAY:.4g} PF-days)"
        sized = f"{self.optimal_params:.4g}{self._within('optimal_params')} parameters"
        rows = [
            ("loss now", f"{self.loss:.4f} nats/token"),
            ("one PF-day more", f"-{self.slope:.3g}{self._within('slope')} nats by the law"),
            ("at the optimum", f"-{self.optimal_slope:.3g}{self._within('optimal_slope')} nats, with {sized}"),
            ("ratio", f"{self.ratio:.3g}{self._within('ratio')}"),
        ]
        if self.measured_slope is not None:
            slope, (low, high) = self.measured_slope
            rows.insert(2, ("", f"-{slope:.3g} [{low:.3g}, {high:.3g}] nats by the run's own curve"))
        if self.final is not None:
            rows.append(("end foreseen", str(self.final)))
        if self.overtaken is None:
            rows.append(("begun anew", f"no model overtakes it within {_FURTHEST:.0e} times its compute"))
        else:
            times = f"{self.overtaken / self.compute:.3g}{self._within('overtaken', self.compute)}x"
            more = f"{self.overtaken / PF_DAY:.4g} PF-days ({times} what it took so far)"
            rows.append(("begun anew", f"a model of optimal size is the better use of more than {more}"))
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{width}}  {value}" for name, value in rows]
        below = [f"{self.law}: {self.source}", *(f"warning: {warning}" for warning in self.warnings)]
        return "\n".join([head, *lines, *below])

    def _within(self, name: str, unit: float = 1.0) -> str:
        """The interval of a quantity, as it stands behind it."""
        low, high = (self.intervals or {}).get(name, (math.nan, math.nan))
        return "" if math.isnan(low) else f" [{low / unit:.3g}, {high / unit:.3g}]"


def continuing(
    n_params: float,
    n_tokens: float,
    *,
    law: str | Fit | Preset = "chinchilla-besiroglu",
    loss: float | None = None,
    curve: Curve | None = None,
    like: CurveFit | None = None,
    level: float = 0.95,
) -> Continuing:
    """What the next PF-day buys in this run, against the compute optimum and against a model begun anew.

    A measured loss moves the law up or down for this run; its shape is the law's.

    Args:
        n_params: N, counted as the law counts it.
        n_tokens: D that the run has seen.
        law: a fit of a law in N and D, or the name of a published set.
        loss: of the run now, nats per token; the last of the curve unless given.
        curve: the run's points so far and its whole schedule, for the loss at its end.
        like: a fit to finished curves, as :func:`isoflop.fitting.predict_final` takes it.
        level: of the intervals.

    Raises:
        PlanError: N, D or the loss is not positive and finite, or a law that cannot trade N against D.
        FitError: a curve that cannot be read.
        NotIdentifiable: what annealing gains cannot be told from the curve.
    """
    for name, value in (("N", n_params), ("D", n_tokens), ("loss", loss)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise PlanError(f"{name} must be positive and finite, got {value}")
    basis = with_constants(law)
    compute = FLOP_PER_PARAM_TOKEN * n_params * n_tokens
    expected = basis.loss(n_params, n_tokens)
    final = measured = None
    if curve is not None:
        final = predict_final(curve, like=like, level=level)
        measured, last = _measured(curve, compute, level)
        loss = last if loss is None else loss
    now = expected if loss is None else loss

    def answers(draws: Array) -> Array:
        return _answers(basis.law, draws, n_params, n_tokens, loss)

    own = dict(zip(_QUANTITIES, answers(basis.params)[0].tolist(), strict=True))
    found = basis.intervals(_QUANTITIES, answers, level)
    if found is not None:
        found = {name: (low, high if high < _BEYOND / 10 else math.inf) for name, (low, high) in found.items()}
    best = float(optimum(basis.law, basis.params, np.array([compute])).loss[0, 0])
    notes = [*basis.notes, *_outside(basis, n_params, n_tokens)]
    if now < best * (1 - 1e-9):
        notes.append(f"the run is better than the law's optimum at its compute, {best:.4f} nats")
    return Continuing(
        n_params, n_tokens, compute, now, own["slope"], measured, own["optimal_slope"], own["ratio"],
        own["optimal_params"], own["overtaken"] if own["overtaken"] < _BEYOND else None, found, level, final,
        basis.name, basis.source, tuple(notes),
    )  # fmt: skip


def _answers(law: Law, draws: Array, n_params: float, n_tokens: float, loss: float | None) -> Array:
    """The quantities (draws, 5)."""
    compute = FLOP_PER_PARAM_TOKEN * n_params * n_tokens
    around = compute * np.exp([-_STEP, _STEP])
    per_pf_day = PF_DAY / (2 * _STEP * compute)
    run = _along(law, draws, n_params, around / (FLOP_PER_PARAM_TOKEN * n_params))
    best = optimum(law, draws, np.array([around[0], compute, around[1]]))
    slope, optimal = (run[:, 0] - run[:, 1]) * per_pf_day, (best.loss[:, 0] - best.loss[:, 2]) * per_pf_day
    more = _overtaken(law, draws, n_params, n_tokens, loss)
    return np.stack([slope, optimal, slope / optimal, best.n_params[:, 1], more], axis=1)


def _outside(basis: Basis, n_params: float, n_tokens: float) -> list[str]:
    if basis.fit is None:
        return []
    point = {"N": np.array([n_params]), "D": np.array([n_tokens])}
    return [label for label in labels(basis.fit.data.columns, point) if label != INTERPOLATION]


def _along(law: Law, draws: Array, n_params: float, tokens: Array) -> Array:
    """The law's loss of the run at other D, (draws, tokens)."""
    shape = (len(draws), tokens.size)
    return losses(law, draws, np.full(shape, math.log(n_params)), np.broadcast_to(np.log(tokens), shape))


def _measured(curve: Curve, compute: float, level: float) -> tuple[tuple[float, tuple[float, float]], float]:
    """Nats a PF-day at the end of a curve, with its interval, and the loss there by its power law."""
    features, ln_loss = curve.columns()
    tail = slice(min(int(_TAIL * features.at.size), features.at.size - _FEWEST), None)
    line = fit_power(features.at[tail], np.exp(ln_loss[tail]))
    last = float(line.predict(features.at[-1]))
    low, high = line.interval(level)
    scale = last / compute * PF_DAY
    return (-line.exponent * scale, (-high * scale, -low * scale)), last


def _overtaken(law: Law, draws: Array, n_params: float, n_tokens: float, loss: float | None) -> Array:
    """The least extra compute (draws,), in FLOPs, with which a model begun anew is at least as good as the run."""
    compute = FLOP_PER_PARAM_TOKEN * n_params * n_tokens
    more = np.geomspace(1e-3, _FURTHEST, _BUDGETS) * compute
    now = _along(law, draws, n_params, np.array([n_tokens]))
    run = _along(law, draws, n_params, n_tokens + more / (FLOP_PER_PARAM_TOKEN * n_params))
    worse = optimum(law, draws, more).loss - run - (0.0 if loss is None else loss - now)
    first = np.argmax(worse <= 0, axis=1)
    rows = np.arange(len(draws))
    before, after = worse[rows, np.maximum(first - 1, 0)], worse[rows, first]
    share = np.divide(before, before - after, out=np.ones_like(after), where=(first > 0) & (before > after))
    at = np.exp(np.log(more[np.maximum(first - 1, 0)]) * (1 - share) + np.log(more[first]) * share)
    return np.where((worse <= 0).any(axis=1), at, _BEYOND)
