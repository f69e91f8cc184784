"""Published constants by name, read once from ``presets.toml``: each set with its source, never mixed."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from isoflop.errors import LawError, nearest
from isoflop.laws.catalogue import get_law

PF_DAY = 8.64e19
"""FLOPs in one petaflop/s-day."""

FLOP_PER_UNIT = {"FLOP": 1.0, "PF-day": PF_DAY}


@dataclass(frozen=True)
class Preset:
    """Constants published for a law.

    Attributes:
        name: how the set is asked for.
        law: name of the law.
        values: natural parameters of the law.
        source: paper and table, or how they were recomputed.
        n_convention: which parameters N counts, "total" or "non-embedding".
        d_unit, c_unit: units of D and C.
        log_base: base of the loss's logarithm, "e" for nats.
        verified: read in the paper or its code, or recomputed from its data.
        intervals: printed 95 % intervals, where there are any.
        note: what to know before using the set.
    """

    name: str
    law: str
    values: Mapping[str, float]
    source: str
    n_convention: str
    d_unit: str
    c_unit: str
    log_base: str
    verified: bool
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Allocation:
    """Published power laws of the compute budget: N = scale C**exponent, D likewise, L = (scale/C)**exponent."""

    name: str
    n_params: tuple[float, float]
    n_tokens: tuple[float, float]
    loss: tuple[float, float]
    source: str
    n_convention: str
    d_unit: str
    c_unit: str
    log_base: str
    verified: bool
    note: str = ""


def _power(table: dict[str, float]) -> tuple[float, float]:
    return float(table["scale"]), float(table["exponent"])


def _preset(name: str, table: dict[str, Any]) -> Preset | Allocation:
    if "law" not in table:
        n_params, n_tokens, loss = (_power(table.pop(key)) for key in ("n_params", "n_tokens", "loss"))
        return Allocation(name, n_params, n_tokens, loss, **table)
    given = {key: math.exp(value) for key, value in table.pop("ln_values", {}).items()} | table.pop("values")
    values = {key: float(given[key]) for key in get_law(table["law"]).names}
    intervals = {key: (float(low), float(high)) for key, (low, high) in table.pop("intervals", {}).items()}
    return Preset(name, values=values, intervals=intervals, **table)


def _read() -> Mapping[str, Preset | Allocation]:
    text = files("isoflop.laws").joinpath("presets.toml").read_text(encoding="utf-8")
    return MappingProxyType({name: _preset(name, table) for name, table in tomllib.loads(text).items()})


PRESETS: Mapping[str, Preset | Allocation] = _read()


def get_preset(name: str) -> Preset | Allocation:
    """The published set of that name.

    Raises:
        LawError: there is none; the hint names the nearest.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise LawError(f"unknown preset {name!r}", hint=nearest(name, PRESETS)) from None
