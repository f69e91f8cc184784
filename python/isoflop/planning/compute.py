"""Compute budgets as people write them, in FLOPs: FLOPs themselves, PF-days, hours of a device, or money for these."""

from __future__ import annotations

import math
import re

from isoflop.errors import PlanError
from isoflop.laws.presets import PF_DAY

_HOW = (
    'write FLOPs or PF-days: "5.76e23 FLOP", "1e24", 1e24 or "300 PF-days"; hours of a device: '
    '"10000 H100-hours @ 40% MFU"; or money: "$2M @ $2.50/H100-hour @ 40% MFU"'
)

_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21, "y": 1e24}

_QUANTITY = re.compile(r"([-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(.*)", re.IGNORECASE)
_FLOP = re.compile(r"([kmgtpezy]?)flops?", re.IGNORECASE)
_DEVICE_TIME = re.compile(r"(.+?)[\s-]*(hours?|hrs?|h|days?)", re.IGNORECASE)
_SECONDS = {"h": 3600.0, "d": 86400.0}
_MFU = re.compile(r"(\d+\.?\d*|\.\d+)\s*(%?)\s*(?:mfu|utili[sz]ation)", re.IGNORECASE)
_MONEY = re.compile(r"([$€£])\s*([\d,]+\.?\d*)\s*(k|m|b|thousand|million|billion|bn)?", re.IGNORECASE)
_USUAL = {"h100": "h100-sxm", "a100": "a100-sxm-80gb"}
"""What people mean by a name that several devices share."""
_THOUSANDS = {"k": 1e3, "t": 1e3, "m": 1e6, "b": 1e9}
_DAY = re.compile(r"(?:pf|pflops?|pflop/s|petaflops?|petaflop/s)[\s-]*(?:days?|d)", re.IGNORECASE)


def parse_compute(compute: str | float) -> float:
    """Training compute in FLOPs.

    Args:
        compute: a number of FLOPs, or text: a number with or without FLOP(s) (k to Y before it); PF-days (1e15 FLOP/s
            for a day, 8.64e19 FLOPs); hours or days of a device of :data:`isoflop.hardware.DEVICES` at a share of its
            dense bf16 peak, "10000 H100-hours @ 40% MFU"; or money at a price of these, "$2M @ $2.50/H100-hour @ 40%
            MFU".

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
    if "@" in text or _MONEY.match(text.strip()):
        return _of_devices(text)
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
    if _DEVICE_TIME.fullmatch(unit):
        raise PlanError(f"{text!r} does not say how busy the devices are", hint=_HOW)
    if re.fullmatch(r".*flops?(/s|ps| per second)", unit, re.IGNORECASE):
        raise PlanError(f"{unit!r} in {text!r} is a rate, a budget is an amount", hint=_HOW)
    raise PlanError(f"unknown unit {unit!r} in {text!r}", hint=_HOW)


def _of_devices(text: str) -> float:
    """FLOPs of devices' time, or of the time that money buys."""
    first, *others = (part.strip() for part in text.split("@"))
    shares = [share for part in others if (share := _MFU.fullmatch(part))]
    prices = [part for part in others if not _MFU.fullmatch(part)]
    if len(shares) != 1:
        raise PlanError(f"{text!r} does not say how busy the devices are", hint=_HOW)
    mfu = float(shares[0][1]) / (100 if shares[0][2] else 1)
    if not 0 < mfu <= 1:
        raise PlanError(f"a utilisation of {mfu:.4g} in {text!r} is not between 0 and 1", hint=_HOW)
    money = _MONEY.fullmatch(first)
    if money is None and not prices:
        amount = _QUANTITY.fullmatch(first)
        if amount is None:
            raise PlanError(f"cannot read devices' time from {first!r}", hint=_HOW)
        return float(amount[1].replace(",", "")) * _per_unit(amount[2], text) * mfu
    if money is None or len(prices) != 1:
        raise PlanError(f"{text!r} has no price of a device's hour" if money else f"cannot read {text!r}", hint=_HOW)
    each, _, unit = prices[0].partition("/")
    price = _MONEY.fullmatch(each.strip())
    if price is None or price[1] != money[1] or not _worth(price):
        raise PlanError(f"cannot read a price in {money[1]} from {prices[0]!r}", hint=_HOW)
    return _worth(money) / _worth(price) * _per_unit(unit.strip(), text) * mfu


def _per_unit(unit: str, text: str) -> float:
    """FLOPs of a device's hour or day at its peak."""
    from isoflop.hardware import device

    time = _DEVICE_TIME.fullmatch(unit)
    if time is None:
        raise PlanError(f"unknown unit {unit!r} in {text!r}", hint=_HOW)
    return device(_USUAL.get(time[1].lower(), time[1])).peak("bf16") * _SECONDS[time[2][0].lower()]


def _worth(money: re.Match[str]) -> float:
    amount = money[2].replace(",", "")
    return float(amount or 0) * (_THOUSANDS[money[3][0].lower()] if money[3] else 1.0)
