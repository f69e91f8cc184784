"""What a design is to pin down: a number that follows from the parameters of a law."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError, nearest
from isoflop.laws.law import Law
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, Optimum, optimum, require_optimum
from isoflop.planning.compute import parse_compute

Array = NDArray[np.float64]

_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*")
_EQUALS = re.compile(r"\s*(\w+)\s*=\s*([-+\d.eE]+)\s*")
_AT_OPTIMUM: Mapping[str, str] = {"L_opt": "loss", "N_opt": "n_params", "D_opt": "n_tokens"}
_EXPONENTS = ("a", "b")
_HOW = '"L_opt(1e23)", "N_opt(300 PF-days)", "L(N=7e9, D=1.4e12)", "a", or a parameter such as "alpha"'
_ANY = 1e21
"""Budget at which exponents of a law that has them everywhere alike are taken, FLOPs."""


@dataclass(frozen=True)
class Target:
    """A number of the law.

    Attributes:
        name: as it was asked for.
        of: from natural parameters (n, p) to the number (n,).
        log: whether its logarithm is what is estimated: of sizes and losses, not of exponents.
        compute: the budget in FLOPs that it is about; None where it is about none.
        place: N and D of the loss that it is, (n,) each, from natural parameters (n, p); None where it is no loss.
    """

    name: str
    of: Callable[[Array], Array]
    log: bool
    compute: float | None = None
    place: Callable[[Array], tuple[Array, Array]] | None = None

    def scaled(self, params: Array) -> Array:
        """The number, or its logarithm, (n,)."""
        values = self.of(params)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(values) if self.log else values

    def natural(self, scaled: float) -> float:
        """The number again."""
        return float(np.exp(scaled)) if self.log else scaled


Asked = str | Callable[[Mapping[str, float]], float]


def read_targets(asked: Asked | Sequence[Asked], law: Law) -> tuple[Target, ...]:
    """The targets that were asked for; "parameters" is every parameter.

    Raises:
        PlanError: text that is no target of this law, or a target that needs an optimum that the law does not have.
    """
    several = [asked] if isinstance(asked, str) or callable(asked) else list(asked)
    named = [name for each in several for name in (law.names if each == "parameters" else [each])]
    if not named:
        raise PlanError("a design needs a target", hint=_HOW)
    return tuple(_read(each, law) for each in named)


def _read(asked: Asked, law: Law) -> Target:
    if not isinstance(asked, str):
        fn = asked

        def each(params: Array) -> Array:
            return np.array([float(fn(dict(zip(law.names, row, strict=True)))) for row in params.tolist()])

        return Target(getattr(asked, "__name__", "target"), each, log=False)
    text = asked.strip()
    if text in law.names:
        at = law.names.index(text)
        scale = law.parameters[at].role == "scale"
        return Target(text, lambda params: params[:, at], log=scale)
    if text in _EXPONENTS:
        require_optimum(law)
        return Target(text, lambda params: np.asarray(getattr(optimum(law, params, np.array([_ANY])), text)), log=False)
    call = _CALL.fullmatch(text)
    if call is not None and call[1] in _AT_OPTIMUM:
        require_optimum(law)
        return _at_optimum(text, _AT_OPTIMUM[call[1]], parse_compute(call[2]), law)
    if call is not None and call[1] == law.output:
        return _prediction(text, call[2], law)
    known = (*law.names, *_EXPONENTS, *_AT_OPTIMUM, law.output)
    raise PlanError(f"{asked!r} is no target of {law.name}", hint=f"{nearest(text, known)}; write {_HOW}")


def _at_optimum(text: str, quantity: str, budget: float, law: Law) -> Target:
    def best(params: Array) -> Optimum:
        return optimum(law, params, np.array([budget]))

    def place(params: Array) -> tuple[Array, Array]:
        found = best(params)
        return found.n_params[:, 0], found.n_tokens[:, 0]

    return Target(
        text,
        lambda params: np.asarray(getattr(best(params), quantity)[:, 0]),
        log=True,
        compute=budget,
        place=place if quantity == "loss" else None,
    )


def _prediction(text: str, inside: str, law: Law) -> Target:
    pairs = [_EQUALS.fullmatch(part) for part in inside.split(",")]
    try:
        at = {pair[1]: float(pair[2]) for pair in pairs if pair is not None}
    except ValueError:
        at = {}
    if set(at) != set(law.inputs) or any(not value > 0 for value in at.values()):
        raise PlanError(f"{text!r} does not say every input of {law.name}: {', '.join(law.inputs)}", hint=_HOW)
    inputs = [np.array(at[name]) for name in law.inputs]
    whole = {"N", "D"} <= set(at)

    def place(params: Array) -> tuple[Array, Array]:
        return np.full(len(params), at["N"]), np.full(len(params), at["D"])

    def loss(params: Array) -> Array:
        return np.asarray(law.code.evaluate(list(params.T), inputs), dtype=np.float64) + np.zeros(len(params))

    return Target(
        text,
        loss,
        log=law.output not in law.signed,
        compute=FLOP_PER_PARAM_TOKEN * at["N"] * at["D"] if whole else None,
        place=place if whole else None,
    )
