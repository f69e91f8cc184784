"""Learning rate, batch and warm-up of a planned run: published rules side by side, each with where it was seen to hold.

The critical batch comes from a measured noise scale where there is one: S/S_min = 1 + B_crit/B steps and
E/E_min = 1 + B/B_crit tokens, with B_crit = B_noise (McCandlish 2018, arXiv 1812.06162, section 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isoflop.errors import PlanError
from isoflop.laws.catalogue import get_law
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN
from isoflop.laws.presets import FLOP_PER_UNIT, Preset, get_preset
from isoflop.planning.basis import with_constants
from isoflop.planning.evidence import BATCHES, LEARNING_RATES, WARM_UPS, Rule
from isoflop.planning.page import Shown

_LONG = 0.1
"""A warm-up that takes more than this share of a run distorts small runs (Porian 2024)."""

_UNCONFIRMED = "not confirmed against its paper"

_NOISE = "McCandlish 2018 (arXiv 1812.06162), section 2.2"


@dataclass(frozen=True)
class Suggested:
    """What one rule says of this run.

    Attributes:
        name: of the rule.
        value: learning rate, or tokens of a batch; None where the rule gives nothing positive.
        preset, formula, source: of its constants.
        runs: what they were fitted to.
        warnings: where the run lies outside of that, and what is not confirmed.
    """

    name: str
    value: float | None
    preset: str
    formula: str
    source: str
    runs: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Noise:
    """What a measured noise scale says of the batch.

    Attributes:
        critical: B_crit = B_noise, tokens.
        steps: over the least, S/S_min = 1 + B_crit/B.
        tokens: over the least, E/E_min = 1 + B/B_crit.
    """

    critical: float
    steps: float
    tokens: float
    source: str = _NOISE


@dataclass(frozen=True)
class Warmed:
    """A warm-up of someone's runs, in this one: ``share`` of its steps."""

    name: str
    steps: float
    share: float
    source: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Rates(Shown):
    """Learning rate, batch and warm-up of a planned run, by every rule.

    Attributes:
        n_params, n_tokens, compute: N (non-embedding), D and C = 6 N D.
        loss: expected, nats per token, for the rules that follow it.
        loss_source: where that comes from.
        batch_tokens: B that noise and warm-ups are said for.
        learning_rates, batches: what each rule says.
        noise: None where no noise scale was measured.
        warm_ups: of published runs.
    """

    n_params: float
    n_tokens: float
    compute: float
    loss: float
    loss_source: str
    batch_tokens: float
    learning_rates: tuple[Suggested, ...]
    batches: tuple[Suggested, ...]
    noise: Noise | None
    warm_ups: tuple[Warmed, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        sizes = f"{self.n_params:.4g} parameters, {self.n_tokens:.4g} tokens, {self.compute:.4g} FLOP"
        lines = [f"{sizes}; a loss of {self.loss:.4g} nats expected ({self.loss_source})"]
        for title, rows in (("peak learning rate", self.learning_rates), ("batch, tokens", self.batches)):
            lines += [title, *(line for row in rows for line in _said(row))]
        if self.noise is not None:
            lines.append(
                f"critical batch {self.noise.critical:.4g} tokens, measured: at B = {self.batch_tokens:.4g} "
                f"{self.noise.steps:.3g}x the least steps and {self.noise.tokens:.3g}x the least tokens; {_NOISE}"
            )
        lines.append(f"linear warm-up, at B = {self.batch_tokens:.4g}")
        for row in self.warm_ups:
            lines.append(f"  {row.name:<17}{row.steps:>9.4g} steps, {row.share:.2%} of the run; {row.source}")
            lines += [f"    warning: {warning}" for warning in row.warnings]
        return "\n".join(lines)


def rates(
    n_params: float,
    n_tokens: float,
    *,
    batch_tokens: float | None = None,
    loss: float | None = None,
    noise_scale: float | None = None,
    law: str = "chinchilla-besiroglu",
) -> Rates:
    """Every rule's learning rate and batch for a run, and what it warms up for.

    Args:
        n_params: N, non-embedding.
        n_tokens: D.
        batch_tokens: B; Step Law's unless given.
        loss: expected at the end, nats per token; that of ``law`` unless given.
        noise_scale: B_noise = tr(Sigma)/|G|**2 in tokens, as measured near the end of a run like this one.
        law: a published set that gives a loss of N and D.

    Raises:
        PlanError: a value that is not positive and finite, or a law without a loss of N and D.
    """
    given = {"N": n_params, "D": n_tokens, "B": batch_tokens, "loss": loss, "noise_scale": noise_scale}
    for name, value in given.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise PlanError(f"{name} must be positive and finite, got {value}")
    compute = FLOP_PER_PARAM_TOKEN * n_params * n_tokens
    source = "given"
    if loss is None:
        basis = with_constants(law)
        params = dict(zip(basis.law.names, basis.params[0].tolist(), strict=True))
        loss, source = float(basis.law.predict(params, N=n_params, D=n_tokens)), basis.name
    at = {"N": n_params, "D": n_tokens, "C": compute, "L": loss}
    batches = tuple(_suggested(rule, at) for rule in BATCHES)
    batch = batch_tokens or next(row.value for row in batches if row.preset == "step-law-batch" and row.value)
    noise = None
    if noise_scale is not None:
        noise = Noise(noise_scale, 1 + noise_scale / batch, 1 + batch / noise_scale)
    learning_rates = tuple(_suggested(rule, at) for rule in LEARNING_RATES)
    warmed = _warmed(n_params, n_tokens, batch)
    return Rates(n_params, n_tokens, compute, loss, source, batch, learning_rates, batches, noise, warmed)


def _suggested(rule: Rule, at: dict[str, float]) -> Suggested:
    preset = get_preset(rule.preset)
    assert isinstance(preset, Preset), "a rule names constants of a law"
    law = get_law(preset.law)
    units = {"C": FLOP_PER_UNIT[preset.c_unit]}
    value = float(law.predict(preset.values, **{name: at[name] / units.get(name, 1.0) for name in law.inputs}))
    warnings = [
        f"{name} = {at[name]:.3g} lies {_beyond(at[name], low, high):.1f} decades outside {low:.3g} to {high:.3g}"
        for name, (low, high) in rule.ranges.items()
        if not low <= at[name] <= high
    ]
    warnings += [] if rule.ranges else ["nobody attests the range of its runs"]
    warnings += [] if preset.verified else [_UNCONFIRMED]
    if value <= 0:
        warnings.append(f"gives {value:.3g}: {preset.note}")
    return Suggested(
        rule.name, value if value > 0 else None, preset.name, law.formula, preset.source, rule.runs, tuple(warnings)
    )


def _beyond(value: float, low: float, high: float) -> float:
    return float(np.log10(low / value if value < low else value / high))


def _warmed(n_params: float, n_tokens: float, batch: float) -> tuple[Warmed, ...]:
    rows = []
    for each in WARM_UPS:
        steps = each.in_steps(n_params, batch)
        share = steps * batch / n_tokens
        warnings = [f"more than {_LONG:.0%} of the run"] if share > _LONG else []
        warnings += [] if each.verified else [_UNCONFIRMED]
        rows.append(Warmed(each.name, steps, share, each.source, tuple(warnings)))
    return tuple(rows)


def _said(row: Suggested) -> Sequence[str]:
    value = "none" if row.value is None else f"{row.value:.3g}"
    first = f"  {row.name:<17}{value:>9}  {row.preset}: {row.source}"
    return [first, *(f"    warning: {said}" for said in row.warnings)]
