"""Published constants by name, read once from ``presets.toml``: each set with its source, never mixed."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import Any

from isoflop.errors import LawError, nearest
from isoflop.laws.catalogue import get_law
from isoflop.laws.on_demand import OnDemand
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN
from isoflop.laws.schedules import MULTI_POWER

PF_DAY = 8.64e19
"""FLOPs in one petaflop/s-day."""

_SIZES, _LOSSES = "-n-opt", "-c"
"""What the names of a modality's two laws of compute end in."""

FLOP_PER_UNIT = {"FLOP": 1.0, "PF-day": PF_DAY}


@dataclass(frozen=True)
class Preset:
    """Constants published for a law.

    Attributes:
        name: how the set is asked for.
        law: name of the law.
        values: natural parameters of the law.
        source: paper and table, or how they were recomputed.
        n_convention: which parameters N counts: total, non-embedding, or empty where N does not occur or nobody said.
        d_unit, c_unit: units of D and C.
        units: units of other inputs and of the output, where they are not those of the law.
        log_base: base of the logarithm of a loss, "e" for nats.
        verified: read in the paper or its code, attested by independent texts, or recomputed from their data.
        intervals: printed 95 % intervals, where there are any.
        note: what to know before using the set.
    """

    name: str
    law: str
    values: Mapping[str, float]
    source: str
    n_convention: str = ""
    d_unit: str = "tokens"
    c_unit: str = "FLOP"
    log_base: str = "e"
    verified: bool = True
    units: Mapping[str, str] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Allocation:
    """Published power laws of the budget: N = scale C**exponent, D likewise; L = floor + (scale/C)**exponent."""

    name: str
    n_params: tuple[float, float]
    n_tokens: tuple[float, float]
    loss: tuple[float, float]
    source: str
    n_convention: str
    d_unit: str
    c_unit: str
    log_base: str = "e"
    verified: bool = True
    note: str = ""
    floor: float = 0.0


@dataclass(frozen=True)
class Exponents:
    """Published exponents whose coefficients were not: N_opt ~ C**a, D_opt ~ C**b, or of what ``note`` says."""

    name: str
    values: Mapping[str, float]
    source: str
    n_convention: str = ""
    verified: bool = True
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    note: str = ""


Published = Preset | Allocation | Exponents


def _power(table: dict[str, float]) -> tuple[float, float]:
    return float(table["scale"]), float(table["exponent"])


def _published(name: str, table: dict[str, Any]) -> Published:
    intervals = {key: (float(low), float(high)) for key, (low, high) in table.pop("intervals", {}).items()}
    if "n_params" in table:
        n_params, n_tokens, loss = (_power(table.pop(key)) for key in ("n_params", "n_tokens", "loss"))
        return Allocation(name, n_params, n_tokens, loss, **table)
    given = {key: math.exp(value) for key, value in table.pop("ln_values", {}).items()} | table.pop("values")
    if "law" not in table:
        return Exponents(name, {key: float(value) for key, value in given.items()}, intervals=intervals, **table)
    law = MULTI_POWER if table["law"] == MULTI_POWER.name else get_law(table["law"])
    values = {key: float(given.pop(key)) for key in law.names}
    if given:
        raise LawError(f"preset {name}: {table['law']} has no parameter {min(given)!r}")
    return Preset(name, values=values, intervals=intervals, **table)


def _modality(name: str) -> Allocation:
    """N and L of a budget, printed as two laws of it: D is what is left of C = 6 N D."""
    size, loss = PRESETS[f"{name}{_SIZES}"], PRESETS[f"{name}{_LOSSES}"]
    assert isinstance(size, Preset)
    assert isinstance(loss, Preset)
    scale, b = size.values["C_0"] ** -size.values["b"], size.values["b"]
    return Allocation(
        name,
        n_params=(scale, b),
        n_tokens=(FLOP_PER_UNIT[size.c_unit] / (FLOP_PER_PARAM_TOKEN * scale), 1 - b),
        loss=(loss.values["C_c"], loss.values["alpha"]),
        source=size.source,
        n_convention=size.n_convention,
        d_unit=size.d_unit,
        c_unit=size.c_unit,
        verified=size.verified and loss.verified,
        floor=loss.values["E"],
    )


def _read() -> Mapping[str, Published]:
    text = files("isoflop.laws").joinpath("presets.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    sizes = [name for name, table in tables.items() if table.get("law") == "henighan-n-opt"]
    modalities = [name.removesuffix(_SIZES) for name in sizes]
    return OnDemand(
        {name: partial(_published, name, table) for name, table in tables.items()}
        | {name: partial(_modality, name) for name in modalities if f"{name}{_LOSSES}" in tables}
    )


PRESETS: Mapping[str, Published] = _read()
"""Every published set by name; each is made when it is first asked for."""


def get_preset(name: str) -> Published:
    """The published set of that name.

    Raises:
        LawError: there is none; the hint names the nearest.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise LawError(f"unknown preset {name!r}", hint=nearest(name, PRESETS)) from None
