"""Training compute that rules name, and what of it a training crosses: facts about texts, no legal advice."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any

from isoflop.planning.compute import parse_compute
from isoflop.planning.page import Shown


@dataclass(frozen=True)
class Threshold:
    """An amount of training compute that a rule names.

    Attributes:
        flops: what is greater than it crosses it.
        since, until: when the rule begins and ceases to apply; None: it has not ceased.
        counts: what the rule adds up.
        verified: read in the text of the rule, or in several that agree.
    """

    key: str
    name: str
    flops: float
    since: date
    counts: str
    source: str
    note: str
    verified: bool
    until: date | None = None

    def applies(self, on: date) -> bool:
        return self.since <= on and (self.until is None or on < self.until)


@dataclass(frozen=True)
class Crossing(Shown):
    """A threshold beside a training: ``share`` of it that is used, and whether it is in force on the day asked for."""

    threshold: Threshold
    share: float
    crossed: bool
    in_force: bool

    def __str__(self) -> str:
        of, state = self.threshold, "above" if self.crossed else "below"
        when = "" if self.in_force else ", not in force"
        return f"{state} {of.flops:.0e} FLOP of {of.name} ({self.share:.3g} times it{when}): {of.source}; {of.note}"


_TABLE: dict[str, Any] = tomllib.loads(files(__package__).joinpath("thresholds.toml").read_text(encoding="utf-8"))

AS_OF = str(_TABLE.pop("as_of"))
"""When the rules were read."""

THRESHOLDS: Mapping[str, Threshold] = {key: Threshold(key=key, **values) for key, values in _TABLE.items()}
"""Every rule by key."""


def crossings(*stages: str | float, on: date | None = None) -> list[Crossing]:
    """Every threshold beside the compute of all ``stages`` of a model's training added up, on a day (today if None).

    Rules count training cumulatively: give pre-training, fine-tuning and reinforcement learning, each as
    :func:`parse_compute` reads it.

    Raises:
        PlanError: an unreadable amount.
    """
    total, day = sum(parse_compute(stage) for stage in stages), on or date.today()
    return [Crossing(each, total / each.flops, total > each.flops, each.applies(day)) for each in THRESHOLDS.values()]
