"""Learning rate and batch as rules of the run: powers of N and D of your own, or published laws by name.

The constants are those of :data:`isoflop.laws.PRESETS`; here stands which of them is meant by a name. N are
non-embedding parameters, D tokens.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from isoflop.counting import flops
from isoflop.errors import SpecError, nearest
from isoflop.laws import Preset, get_law, get_preset
from isoflop.laws.presets import FLOP_PER_UNIT
from isoflop.shape import Shape

Positive = Annotated[float, msgspec.Meta(gt=0, le=sys.float_info.max)]


@dataclass(frozen=True, kw_only=True)
class PowerRule:
    """A setting that follows the run: scale * N^a * D^b * B^c, written ``{ scale = 0.22, N = -0.36 }``.

    B are the tokens of a batch, which the learning rate may follow.
    """

    scale: Positive
    N: float = 0.0
    D: float = 0.0
    B: float = 0.0

    def at(self, n_nonembedding: int, tokens: float, batch: float = 1.0) -> float:
        """Its value, infinite where that is past all numbers."""
        try:
            return float(self.scale * n_nonembedding**self.N * tokens**self.D * batch**self.B)
        except OverflowError:
            return math.inf


@dataclass(frozen=True)
class PublishedRule:
    """A published law of a setting: a name of :data:`isoflop.laws.PRESETS`, and how its authors count C, if they do."""

    preset: str
    convention: str = "kaplan-6n"


LEARNING_RATES: Mapping[str, PublishedRule] = {
    "kaplan": PublishedRule("kaplan-eq-d-1"),
    "step-law": PublishedRule("step-law-lr"),
    "deepseek": PublishedRule("deepseek-lr", convention="deepseek"),
    "porian": PublishedRule("porian-lr"),
}
"""Rules of the peak learning rate by name."""

BATCHES: Mapping[str, PublishedRule] = {
    "kaplan": PublishedRule("kaplan-table5-batch"),
    "step-law": PublishedRule("step-law-batch"),
    "deepseek": PublishedRule("deepseek-batch", convention="deepseek"),
    "minicpm": PublishedRule("minicpm-batch"),
}
"""Rules of the batch in tokens by name; those of Kaplan and MiniCPM follow the loss that is expected."""

RULES: Mapping[str, Mapping[str, PublishedRule]] = {"learning_rate": LEARNING_RATES, "batch_tokens": BATCHES}
"""Rules by name, for each setting that may follow one."""

Setting = float | str | PowerRule


def refuse_unknown_rule(setting: str, value: Setting) -> None:
    """Raise SpecError where ``value`` is a name and no rule of ``setting``, "learning_rate" or "batch_tokens"."""
    if isinstance(value, str) and value not in RULES[setting]:
        raise SpecError(f"{setting} = {value!r} is no rule", hint=nearest(value, RULES[setting]))


def value_of(
    setting: str, value: Setting, *, shape: Shape, tokens: float, loss: float | None = None, batch: float | None = None
) -> float:
    """What ``setting`` is for a run of ``shape`` on ``tokens``: its value, or that of its rule.

    Args:
        setting: "learning_rate", the peak, or "batch_tokens".
        value: a number, a :class:`PowerRule`, or a name of :data:`RULES`.
        shape: the model.
        tokens: D.
        loss: nats per token that the run is expected to reach, for rules that follow it.
        batch: B, tokens a step, for rules that follow it.

    Raises:
        SpecError: no rule of that name, a rule that needs ``loss`` or ``batch`` without one, or a rule that gives
            nothing positive and finite, as Kaplan's learning rate above N = 1.2e10.
    """
    if isinstance(value, PowerRule):
        if value.B and batch is None:
            raise SpecError(
                f"{setting} cannot follow B", hint="the learning rate can, or give it powers of N and D alone"
            )
        found = value.at(shape.n_nonembedding, tokens, batch or 1.0)
        return _refuse_no_setting(found, setting, value, shape, hint="another scale, or smaller powers")
    if not isinstance(value, str):
        return value
    refuse_unknown_rule(setting, value)
    rule = RULES[setting][value]
    preset = get_preset(rule.preset)
    assert isinstance(preset, Preset), "a rule names constants of a law"
    law = get_law(preset.law)
    if "L" in law.inputs and loss is None:
        raise SpecError(
            f"{setting} = {value!r} follows the loss: {law.formula}", hint="say expected_loss, in nats per token"
        )
    inputs: dict[str, Callable[[], Any]] = {
        "N": lambda: shape.n_nonembedding,
        "D": lambda: tokens,
        "C": lambda: flops(shape).per_token(rule.convention) * tokens / FLOP_PER_UNIT[preset.c_unit],
        "L": lambda: loss,
    }
    found = float(law.predict(preset.values, **{name: inputs[name]() for name in law.inputs}))
    return _refuse_no_setting(found, setting, value, shape, hint=preset.note)


def _refuse_no_setting(found: float, setting: str, value: Setting, shape: Shape, *, hint: str | None) -> float:
    """What was ``found``. Raises SpecError where it is nothing that is positive and finite."""
    if 0 < found < math.inf:
        return found
    raise SpecError(f"{setting} = {value!r} gives {found:.3g} for N = {shape.n_nonembedding:,}", hint=hint)


def follows_tokens(setting: str, value: Setting) -> bool:
    """Whether ``setting`` is another for another D, all else equal."""
    if isinstance(value, PowerRule):
        return bool(value.D)
    if not isinstance(value, str):
        return False
    refuse_unknown_rule(setting, value)
    preset = get_preset(RULES[setting][value].preset)
    assert isinstance(preset, Preset), "a rule names constants of a law"
    return bool({"D", "C"} & set(get_law(preset.law).inputs))
