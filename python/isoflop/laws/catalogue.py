"""The laws that ship: those declared in ``laws.toml``, and members of families."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import partial
from importlib.resources import files

from isoflop.errors import LawError, nearest
from isoflop.laws.families import bnsl, power_law
from isoflop.laws.law import Law
from isoflop.laws.on_demand import OnDemand
from isoflop.laws.schedules import MULTI_POWER


def _read() -> Mapping[str, Law]:
    text = files("isoflop.laws").joinpath("laws.toml").read_text(encoding="utf-8")
    declared = {name: partial(Law.declared, name, table) for name, table in tomllib.loads(text).items()}
    powers = {
        f"power-{variable.lower()}{'-floor' if floor else ''}": partial(power_law, variable, floor=floor)
        for floor in (False, True)
        for variable in "NDC"
    }
    return OnDemand({**powers, **declared, **{f"bnsl-{breaks}": partial(bnsl, breaks) for breaks in (1, 2, 3)}})


LAWS: Mapping[str, Law] = _read()
"""Every shipped law by name; each is made when it is first asked for."""


def get_law(name: str) -> Law:
    """The shipped law of that name.

    Raises:
        LawError: there is none; the hint names the nearest.
    """
    if name == MULTI_POWER.name:
        raise LawError(
            f"{name} is a law of whole schedules, not of points", hint="isoflop.laws.MULTI_POWER.predict(params, lr)"
        )
    try:
        return LAWS[name]
    except KeyError:
        raise LawError(f"unknown law {name!r}", hint=nearest(name, LAWS)) from None
