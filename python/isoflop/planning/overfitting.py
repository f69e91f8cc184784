"""When training on few tokens stops to pay: Kaplan's rules of overfitting and of the earliest stop."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isoflop.errors import PlanError
from isoflop.fitting.fitted import Fit
from isoflop.laws.catalogue import get_law
from isoflop.laws.conversions import earliest_stop
from isoflop.laws.presets import PRESETS, Preset
from isoflop.planning.page import Shown

SEED_NOISE = 0.02
"""Loss differences below this share are those of seeds (Kaplan 2020, section 4.2)."""

ENOUGH = "kaplan-eq-4-4"
JOINT = "kaplan-table2"
STEPS = "kaplan-table3"
BATCH = "kaplan-table5-batch"
_ENDLESS = 1e40


@dataclass(frozen=True)
class Overfitting(Shown):
    """What a corpus of D unique tokens allows a model of N parameters.

    Attributes:
        n_params, n_tokens: N and D.
        enough_tokens: D from which overfitting drowns in the noise of seeds, 5e3 N**.74 (Kaplan 2020, eq 4.4).
        increase: relative loss over that of endless data, L(N, D)/L(N, inf) - 1 (eq 4.3).
        loss: expected where training on D is stopped early, or as given, nats per token.
        converged: L(N, inf), nats per token.
        earliest_step: steps S_min, at a batch far above critical, before which overfitting does not set in: S_c/
            (L(N, D) - L(N, inf))**(1/alpha_S) (eq 5.7).
        earliest_step_at_batch: the same in steps of the batch, (1 + B_crit(L)/B) times as many; None without one.
        earliest_tokens: the same in tokens; None without a batch.
        batch_tokens: B; None where it was not given.
        laws: the sets or fits that were used, and their sources.
        warnings: what to know before acting on it.
    """

    n_params: float
    n_tokens: float
    enough_tokens: float
    increase: float
    loss: float
    converged: float
    earliest_step: float
    earliest_step_at_batch: float | None
    earliest_tokens: float | None
    batch_tokens: float | None
    laws: dict[str, str]
    warnings: tuple[str, ...]

    @property
    def overfits(self) -> bool:
        """Whether there are fewer tokens than enough."""
        return self.n_tokens < self.enough_tokens

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"overfits": self.overfits, "warnings": list(self.warnings)}

    def __str__(self) -> str:
        verdict = "too few: overfitting will show" if self.overfits else "enough"
        lines = [
            f"{self.n_tokens:.4g} unique tokens for {self.n_params:.4g} parameters: {verdict}",
            f"  enough from          {self.enough_tokens:.4g} tokens",
            f"  loss over endless data  {self.increase:+.2%}: {self.loss:.4f} against {self.converged:.4f} nats",
            f"  no stop before       S_min = {self.earliest_step:.4g} steps",
        ]
        if self.batch_tokens is not None:
            lines.append(
                f"  at B = {self.batch_tokens:.4g}  {self.earliest_step_at_batch:.4g} steps, "
                f"{self.earliest_tokens:.4g} tokens, {(self.earliest_tokens or 0) / self.n_tokens:.3g} epochs"
            )
        lines += [f"{name}: {source}" for name, source in self.laws.items()]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def overfitting(
    n_params: float,
    n_tokens: float,
    *,
    batch_tokens: float | None = None,
    loss: float | None = None,
    joint: str | Fit = JOINT,
    steps: str | Fit = STEPS,
) -> Overfitting:
    """Whether D unique tokens are enough for N, what too few cost, and the step before which there is no need to stop.

    Args:
        n_params: N, non-embedding for Kaplan's sets.
        n_tokens: D, unique.
        batch_tokens: B, to say the steps at this batch.
        loss: the test loss that the run has reached, nats per token, in the place of L(N, D) of the law.
        joint: a set or a fit of the law ``kaplan``, for L(N, D).
        steps: a set or a fit of the law ``kaplan-steps``, for S_c and alpha_S.

    Raises:
        PlanError: N, D, B or the loss is not positive and finite, a set of another law, or a loss that endless data
            would not reach.
    """
    for name, value in (("N", n_params), ("D", n_tokens), ("B", batch_tokens), ("loss", loss)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise PlanError(f"{name} must be positive and finite, got {value}")
    of_data, source, noted = _constants(joint, "kaplan")
    of_steps, steps_source, _ = _constants(steps, "kaplan-steps")
    enough = PRESETS[ENOUGH]
    assert isinstance(enough, Preset)
    law = get_law("kaplan")
    expected, converged = law.predict(of_data, N=n_params, D=np.array([n_tokens, _ENDLESS])).tolist()
    reached = expected if loss is None else loss
    if reached <= converged:
        raise PlanError(
            f"a loss of {reached:.4g} lies at or below {converged:.4g}, what endless data give N = {n_params:.4g}",
            hint="give a fit of the law kaplan to your own runs: joint=fit",
        )
    step = float(earliest_stop(reached, converged, of_steps["S_c"], of_steps["alpha_S"]))
    laws = {ENOUGH: enough.source, _name(joint): source, _name(steps): steps_source}
    at_batch = tokens = None
    if batch_tokens is not None:
        batch = PRESETS[BATCH]
        assert isinstance(batch, Preset)
        critical = float(get_law(batch.law).predict(batch.values, L=reached))
        at_batch = step * (1 + critical / batch_tokens)
        tokens = at_batch * batch_tokens
        laws[BATCH] = batch.source
    return Overfitting(
        n_params,
        n_tokens,
        float(get_law(enough.law).predict(enough.values, N=n_params)),
        reached / converged - 1,
        reached,
        converged,
        step,
        at_batch,
        tokens,
        batch_tokens,
        laws,
        (*noted, *_beyond(n_params, n_tokens, joint)),
    )


def _name(law: str | Fit) -> str:
    return law if isinstance(law, str) else law.law.name


def _constants(given: str | Fit, law: str) -> tuple[dict[str, float], str, tuple[str, ...]]:
    if isinstance(given, Fit):
        if given.law.name != law:
            raise PlanError(f"a fit of {given.law.name}, where one of {law} is needed", hint=f"iso.fit({law!r}, runs)")
        return dict(given.params), f"fit to {given.n_runs} runs", given.notes
    known = [preset.name for preset in PRESETS.values() if isinstance(preset, Preset) and preset.law == law]
    preset = PRESETS.get(given)
    if not isinstance(preset, Preset) or preset.law != law:
        raise PlanError(f"{given!r} is no set of the law {law}", hint=f"sets: {', '.join(known)}, or a fit")
    return dict(preset.values), preset.source, ()


_KAPLAN_N, _KAPLAN_D = (768.0, 1.5e9), (2.2e7, 2.3e10)
"""What Kaplan 2020 trained: section 1.2 and 2."""


def _beyond(n_params: float, n_tokens: float, joint: str | Fit) -> tuple[str, ...]:
    if isinstance(joint, Fit):
        return ()
    ranges = (("N", n_params, _KAPLAN_N), ("D", n_tokens, _KAPLAN_D))
    return tuple(
        f"{name} = {value:.3g} lies outside what Kaplan 2020 trained, {low:.3g} to {high:.3g}"
        for name, value, (low, high) in ranges
        if not low <= value <= high
    )
