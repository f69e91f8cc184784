"""Laws and their published sets as plain values, for tables and JSON."""

from __future__ import annotations

import math
from typing import Any, TypedDict

from isoflop.errors import LawError, nearest
from isoflop.laws.catalogue import LAWS
from isoflop.laws.law import Law
from isoflop.laws.presets import PRESETS, Allocation, Exponents, Preset, Published
from isoflop.laws.schedules import MULTI_POWER, MultiPower


class Sheet(TypedDict):
    """A law, None where a set has none, and sets of constants."""

    law: dict[str, Any] | None
    sets: list[dict[str, Any]]


def law_table() -> list[dict[str, Any]]:
    """Every law: name, formula on one line, inputs, source and the names of its published sets."""
    laws: list[Law | MultiPower] = [*LAWS.values(), MULTI_POWER]
    return [
        {
            "name": law.name,
            "formula": "; ".join(line.strip() for line in law.formula.splitlines() if line.strip()),
            "inputs": list(law.inputs),
            "source": law.source,
            "sets": [preset.name for preset in _sets_of(law.name)],
        }
        for law in laws
    ]


def law_sheet(name: str) -> Sheet:
    """A law with all its sets, or one set with its law.

    Raises:
        LawError: neither a law nor a set has that name; the hint names the nearest.
    """
    laws: dict[str, Law | MultiPower] = {**LAWS, MULTI_POWER.name: MULTI_POWER}
    if name in laws:
        return {"law": _law(laws[name]), "sets": [_set(preset) for preset in _sets_of(name)]}
    if name in PRESETS:
        published = PRESETS[name]
        law = _law(laws[published.law]) if isinstance(published, Preset) else None
        return {"law": law, "sets": [_set(published)]}
    raise LawError(f"no law and no published set is called {name!r}", hint=nearest(name, [*laws, *PRESETS]))


def _sets_of(law: str) -> list[Preset]:
    return [preset for preset in PRESETS.values() if isinstance(preset, Preset) and preset.law == law]


def _law(law: Law | MultiPower) -> dict[str, Any]:
    return {
        "name": law.name,
        "formula": law.formula.strip(),
        "latex": law.latex,
        "output": law.output,
        "inputs": list(law.inputs),
        "signed": list(law.signed),
        "source": law.source,
        "note": law.note,
        "parameters": {
            p.name: {
                "meaning": p.meaning,
                "unit": p.unit,
                "role": p.role,
                "domain": [bound if math.isfinite(bound) else None for bound in p.domain],
            }
            for p in law.parameters
        },
    }


def _set(published: Published) -> dict[str, Any]:
    if isinstance(published, Exponents):
        values, units = dict(published.values), {}
    elif isinstance(published, Allocation):
        pairs = {"N": published.n_params, "D": published.n_tokens, "L": published.loss}
        values = {f"{name}_{part}": v for name, pair in pairs.items() for part, v in zip(_POWER, pair, strict=True)}
        units = {"C": published.c_unit}
    else:
        inputs = LAWS[published.law].inputs if published.law in LAWS else ()
        units = {name: unit for name, unit in (("D", published.d_unit), ("C", published.c_unit)) if name in inputs}
        units |= {"C_min": published.c_unit} if "C_min" in inputs else {}
        values, units = dict(published.values), units | dict(published.units)
    return {
        "name": published.name,
        "values": values,
        "intervals": {} if isinstance(published, Allocation) else {k: list(v) for k, v in published.intervals.items()},
        "source": published.source,
        "n_convention": published.n_convention,
        "units": units,
        "log_base": None if isinstance(published, Exponents) else published.log_base,
        "verified": published.verified,
        "note": published.note,
    }


_POWER = ("scale", "exponent")
