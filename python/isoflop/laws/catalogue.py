"""The laws that ship, one declaration each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from isoflop.errors import LawError, nearest
from isoflop.laws.law import Law, Parameter
from isoflop.laws.power_sum import EXPONENT_BOUNDS, OUTER_BOUNDS, PowerSum, Term

POSITIVE = (0.0, math.inf)
FLOOR = Parameter("E", "loss that no amount of scale removes", "nats/token", POSITIVE)

# input: (coefficient, exponent, what grows, source of the law without floor, source of the law with floor)
_SINGLE = {
    "N": ("A", "alpha", "parameters", "Kaplan 2020 eq 1.1, with A = N_c**alpha", "Henighan 2020 eq 1.1"),
    "D": ("B", "beta", "tokens", "Kaplan 2020 eq 1.2, with B = D_c**beta", "Henighan 2020 eq 1.1"),
    "C": ("K", "gamma", "training FLOPs", "Kaplan 2020 eq 1.3, with K = C_c**gamma", "Henighan 2020 eq 1.1"),
}


def _exponent(name: str, quantity: str) -> Parameter:
    return Parameter(name, f"how fast the loss falls with {quantity}", "1", EXPONENT_BOUNDS)


def _coefficient(name: str, quantity: str, exponent: str) -> Parameter:
    return Parameter(
        name, f"reducible loss at one unit of {quantity}", f"nats/token * {quantity}**{exponent}", POSITIVE
    )


def _power_law(variable: str, *, floor: bool) -> Law:
    coefficient, exponent, quantity, plain, floored = _SINGLE[variable]
    power = f"{coefficient}/{variable}**{exponent}"
    parameters = (_coefficient(coefficient, quantity, exponent), _exponent(exponent, quantity))
    return Law(
        name=f"power-{variable.lower()}" + ("-floor" if floor else ""),
        formula=f"L = E + {power}" if floor else f"L = {power}",
        inputs=(variable,),
        parameters=(FLOOR, *parameters) if floor else parameters,
        source=floored if floor else plain,
        form=PowerSum((Term(variable, coefficient, exponent),), floor="E" if floor else None),
    )


_CHINCHILLA = Law(
    name="chinchilla",
    formula="L = E + A/N**alpha + B/D**beta",
    inputs=("N", "D"),
    parameters=(
        FLOOR,
        _coefficient("A", "parameters", "alpha"),
        _coefficient("B", "tokens", "beta"),
        _exponent("alpha", "parameters"),
        _exponent("beta", "tokens"),
    ),
    source="Hoffmann 2022 (arXiv 2203.15556) section 3.3",
    form=PowerSum((Term("N", "A", "alpha"), Term("D", "B", "beta")), floor="E"),
)

_KAPLAN = Law(
    name="kaplan",
    formula="L = ((N_c/N)**(alpha_N/alpha_D) + D_c/D)**alpha_D",
    inputs=("N", "D"),
    parameters=(
        _exponent("alpha_N", "parameters"),
        Parameter("alpha_D", "how fast the loss falls with tokens", "1", OUTER_BOUNDS),
        Parameter("N_c", "parameters at which unlimited data give one nat/token", "parameters", POSITIVE),
        Parameter("D_c", "tokens at which unlimited parameters give one nat/token", "tokens", POSITIVE),
    ),
    source="Kaplan 2020 (arXiv 2001.08361) eq 1.5",
    form=PowerSum((Term("N", "N_c", "alpha_N"), Term("D", "D_c", "alpha_D")), outer="alpha_D"),
)

LAWS: Mapping[str, Law] = MappingProxyType(
    {
        law.name: law
        for law in (
            *(_power_law(variable, floor=floor) for floor in (False, True) for variable in "NDC"),
            _CHINCHILLA,
            _KAPLAN,
        )
    }
)


def get_law(name: str) -> Law:
    """The shipped law of that name.

    Raises:
        LawError: there is none; the hint names the nearest.
    """
    try:
        return LAWS[name]
    except KeyError:
        raise LawError(f"unknown law {name!r}", hint=nearest(name, LAWS)) from None
