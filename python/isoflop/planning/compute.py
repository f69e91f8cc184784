"""Compute budgets as people write them, in FLOPs."""

from __future__ import annotations

import math
import re

from isoflop.errors import PlanError
from isoflop.laws.presets import PF_DAY

_HOW = 'write FLOPs or PF-days: "5.76e23 FLOP", "1e24", 1e24 or "300 PF-days"'

_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21, "y": 1e24}

_QUANTITY = re.compile(r"([-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(.*)", re.IGNORECASE)
_FLOP = re.compile(r"([kmgtpezy]?)flops?", re.IGNORECASE)
_DAY = re.compile(r"(?:pf|pflops?|pflop/s|petaflops?|petaflop/s)[\s-]*(?:days?|d)", re.IGNORECASE)


def parse_compute(compute: str | float) -> float:
    """Training compute in FLOPs.

    Args:
        compute: a number of FLOPs, or text: a number with or without FLOP(s) (k to Y before it) or PF-days
            (1e15 FLOP/s for a day, 8.64e19 FLOPs).

    Raises:
        PlanError: not a positive finite amount of compute; the hint says how to write one.
    """
    if isinstance(compute, bool) or not isinstance(compute, (str, int, float)):
        raise PlanError(f"cannot read a compute budget from {compute!r}", hint=_HOW)
    if isinstance(compute, str):
        flops = _parse_text(compute)
    else:
        try:
            flops = float(compute)
        except OverflowError:
            flops = math.inf
    if not (math.isfinite(flops) and flops > 0):
        raise PlanError(f"a compute budget must be positive and finite, got {compute!r}", hint=_HOW)
    return flops


def _parse_text(text: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise PlanError(f"cannot read a compute budget from {text!r}", hint=_HOW)
    number, unit = float(match[1].replace(",", "")), match[2]
    if not unit:
        return number
    if flop := _FLOP.fullmatch(unit):
        return number * _PREFIX[flop[1].lower()]
    if _DAY.fullmatch(unit):
        return number * PF_DAY
    if re.fullmatch(r".*flops?(/s|ps| per second)", unit, re.IGNORECASE):
        raise PlanError(f"{unit!r} in {text!r} is a rate, a budget is an amount", hint=_HOW)
    raise PlanError(f"unknown unit {unit!r} in {text!r}", hint=_HOW)
