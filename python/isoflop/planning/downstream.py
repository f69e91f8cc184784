"""A task's score of a planned run in two steps: N and D to a loss, and the loss to an error or an accuracy."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError, nearest
from isoflop.fitting.fitted import Fit
from isoflop.fitting.prediction import INTERPOLATION, labels
from isoflop.fitting.uncertainty import percentile_interval
from isoflop.laws.catalogue import LAWS
from isoflop.laws.law import Law
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN
from isoflop.laws.presets import PRESETS, Preset
from isoflop.planning.page import Shown

Array = NDArray[np.float64]

LINKS = ("gadre-error", "sigmoid")
"""Laws of a score from a loss."""


@dataclass(frozen=True)
class Downstream(Shown):
    """A score that is expected of a run.

    Attributes:
        n_params, n_tokens: N and D.
        loss: expected, nats per token.
        score: expected.
        output: what the score is: "error" or "accuracy".
        loss_interval, score_interval: of both steps, where they are fits; None where neither is.
        level: of the intervals.
        loss_law, link: names of the laws or sets.
        sources: of their constants.
        warnings: what to know before acting on it.
    """

    n_params: float
    n_tokens: float
    loss: float
    score: float
    output: str
    loss_interval: tuple[float, float] | None
    score_interval: tuple[float, float] | None
    level: float
    loss_law: str
    link: str
    sources: tuple[str, str]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        def within(interval: tuple[float, float] | None) -> str:
            return "" if interval is None else f" [{interval[0]:.4g}, {interval[1]:.4g}]"

        lines = [
            f"{self.n_params:.4g} parameters on {self.n_tokens:.4g} tokens",
            f"  loss   {self.loss:.4f}{within(self.loss_interval)} nats/token",
            f"  {self.output:<6} {self.score:.4f}{within(self.score_interval)}",
            *(f"{name}: {source}" for name, source in zip((self.loss_law, self.link), self.sources, strict=True)),
        ]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def downstream(
    n_params: float,
    n_tokens: float,
    *,
    loss_law: str | Fit = "gadre-c4",
    link: str | Fit = "gadre-error-c4",
    level: float = 0.95,
) -> Downstream:
    """The score expected of N parameters trained on D tokens.

    Args:
        n_params: N, counted as the law of the loss counts it.
        n_tokens: D.
        loss_law: a fit of a law of L in N and D, or in C and D/N as ``gadre``, or the name of such a set.
        link: a fit of ``sigmoid`` or ``gadre-error`` to losses and scores of models, or the name of such a set. Its
            loss is of the same evaluation as that of ``loss_law``.
        level: of the intervals, percentiles over the draws of the fits.

    Raises:
        PlanError: a size or level that cannot be, no such set, or laws that do not lead from N and D to a score.
    """
    for name, value in (("N", n_params), ("D", n_tokens)):
        if not (math.isfinite(value) and value > 0):
            raise PlanError(f"{name} must be positive and finite, got {value}")
    if not 0 < level < 1:
        raise PlanError(f"level must lie between 0 and 1, got {level}", hint="level=0.95")
    at = {"N": n_params, "D": n_tokens, "C": FLOP_PER_PARAM_TOKEN * n_params * n_tokens, "M": n_tokens / n_params}
    first, second = _step(loss_law), _step(link)
    if first.law.output != "L" or not set(first.law.inputs) <= set(at):
        raise PlanError(f"{first.name} gives no loss of N and D: {first.law.formula}", hint="gadre-c4, chinchilla-...")
    if second.law.name not in LINKS:
        raise PlanError(
            f"{second.name} gives no score of a loss: {second.law.formula}", hint=f"laws: {', '.join(LINKS)}"
        )
    losses = first.law.code.evaluate(list(first.draws.T), [np.float64(at[name]) for name in first.law.inputs])
    losses = np.broadcast_to(losses, len(first.draws))
    n = max(len(losses), len(second.draws))
    paired, constants = losses[np.arange(n) % len(losses)], second.draws[np.arange(n) % len(second.draws)]
    scores = np.broadcast_to(second.law.code.evaluate(list(constants.T), [paired]), n)
    uncertain = [step.fit is not None for step in (first, second)]
    return Downstream(
        n_params,
        n_tokens,
        float(losses[0]),
        float(scores[0]),
        second.law.output,
        percentile_interval(losses[1:], level) if uncertain[0] else None,
        percentile_interval(scores[1:], level) if any(uncertain) else None,
        level,
        first.name,
        second.name,
        (first.source, second.source),
        (*_outside(first, at), *_outside(second, {"L": float(losses[0])}), *_notes(first, second)),
    )


@dataclass(frozen=True)
class _Step:
    """A law with draws of its constants, the best first, shape (1 + draws, p)."""

    name: str
    law: Law
    draws: Array
    fit: Fit | None
    source: str
    note: str


def _step(given: str | Fit) -> _Step:
    if isinstance(given, Fit):
        draws = np.vstack([[given.params[name] for name in given.law.names], given.bootstrap().draws])
        return _Step(given.law.name, given.law, draws, given, f"fit to {given.n_runs} runs", "")
    preset = PRESETS.get(given)
    if not isinstance(preset, Preset) or preset.law not in LAWS:
        known = [name for name, each in PRESETS.items() if isinstance(each, Preset) and each.law in (*LINKS, "gadre")]
        raise PlanError(f"{given!r} is no set of a law that leads from N and D to a score", hint=nearest(given, known))
    law = LAWS[preset.law]
    return _Step(given, law, np.array([[preset.values[name] for name in law.names]]), None, preset.source, preset.note)


def _outside(step: _Step, at: dict[str, float]) -> list[str]:
    if step.fit is None:
        return []
    point = {name: np.array([value]) for name, value in at.items() if name in step.fit.data.columns}
    return [f"{step.name}: {label}" for label in labels(step.fit.data.columns, point) if label != INTERPOLATION]


def _notes(first: _Step, second: _Step) -> list[str]:
    said = [f"{step.name}: {step.note}" for step in (first, second) if step.note]
    if first.fit is None and second.fit is None and first.name.split("-")[-1] not in second.name:
        said.append(f"the loss of {second.name} may be of another evaluation than that of {first.name}")
    return said
