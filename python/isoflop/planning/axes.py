"""A budget spent on more than N and D: bits of the numbers, experts at rest, experts and how fine they are.

What stands beside N and D changes what a token costs, so that each value of it has an optimum of its own:

    precision   (Kumar 2024, arXiv 2411.04330, section 4)       C = 6 N D P/16
    sparsity    (Abnar 2025, arXiv 2501.12370, section 3)       C = 6 N (1 - S) D
    granularity (Krajewski 2024, arXiv 2402.07871, section 5)   C = (6 N_active + 14 d_model E G n_layer) D
    experts     (Clark 2022, arXiv 2202.01169)                  C = 6 N D, D = 1.3e11 in all its runs
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.law import Law
from isoflop.laws.lowest import lowest
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN
from isoflop.laws.presets import PRESETS, Preset
from isoflop.planning.basis import Basis, with_constants
from isoflop.planning.compute import parse_compute

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_EXPANSION = 64
"""Krajewski's experts have so many times the parameters of the dense layer."""
_DENSE_SHARE = 12 / (8 * _EXPANSION + 4)
"""Of his parameters, those that a token sees: 12 d_model^2 a layer of (8 E + 4) d_model^2."""
_WIDTH_PER_LAYER = 64
_ROUTING = 14
"""FLOPs of routing, forward and backward: a token, layer, unit of d_model and expert."""
_LARGEST = 200.0
"""Of ln N."""
_HALVINGS = 60


@dataclass(frozen=True)
class Axis:
    """What a law sees beside N and D.

    Attributes:
        name: of the column of values.
        inputs: of the law, all of which take the value.
        active: of N at a value, the parameters that a token sees.
        per_token: training FLOPs a token, of N and a value.
        allowed: low and high, the latter not included.
        n_tokens: D of all runs of a law that does not see it; None for others.
    """

    name: str
    inputs: tuple[str, ...]
    active: Callable[[Array, Array], Array]
    per_token: Callable[[Array, Array], Array]
    allowed: tuple[float, float]
    n_tokens: float | None = None


def _all(n: Array, _: Array) -> Array:
    return n


def _awake(n: Array, at_rest: Array) -> Array:
    return n * (1 - at_rest)


def _dense_part(n: Array, _: Array) -> Array:
    return n * _DENSE_SHARE


def _with_routing(n: Array, granularity: Array) -> Array:
    active = n * _DENSE_SHARE
    n_layer = np.cbrt(active / (12 * _WIDTH_PER_LAYER**2))
    routed = _ROUTING * _WIDTH_PER_LAYER * n_layer**2 * _EXPANSION * granularity
    return FLOP_PER_PARAM_TOKEN * active + np.asarray(routed)


AXES: Mapping[str, Axis] = {
    "kumar": Axis("P", ("P_w", "P_a", "P_kv"), _all, lambda n, bits: FLOP_PER_PARAM_TOKEN * n * bits / 16, (1, 33)),
    "abnar": Axis("S", ("S",), _awake, lambda n, at_rest: FLOP_PER_PARAM_TOKEN * _awake(n, at_rest), (0, 1)),
    "krajewski": Axis("G", ("G",), _dense_part, _with_routing, (1, 4096)),
    "clark": Axis("E", ("E",), _all, lambda n, _: FLOP_PER_PARAM_TOKEN * n, (1, 1e6), n_tokens=1.3e11),
}
"""What a law sees beside N and D, by the name of the law."""


def vary(
    compute: str | float, law: str | Fit | Preset, values: Iterable[float], *, level: float = 0.95
) -> dict[str, Array]:
    """The best N, D and loss of a budget at each value of what the law sees beside them.

    Args:
        compute: FLOPs (of 16-bit products where the law sees bits), or text as :func:`parse_compute` reads it.
        law: a fit of a law of :data:`AXES`, or the name of a published set of one: "kumar", "abnar", "krajewski-moe",
            "clark-s-base".
        values: bits P of weights, activations and cache; shares S of experts at rest; granularities G, experts of a
            G-th of the dense layer's width; or numbers of experts E, of which a token sees one.
        level: of the intervals that a fit gives.

    Returns:
        Columns P, S, G or E; N as the law counts it, N_active of them that a token sees, D, L; and from a fit also
        N_low, N_high, D_low, D_high, L_low and L_high. A law of one D, Clark's, gives N by the budget alone.

    Raises:
        PlanError: an unreadable budget, a value that is not allowed, a law without such an axis, or one that has no
            optimum in N.
        LawError: no published set of that name.
    """
    flops, (axis, basis) = parse_compute(compute), basis_of_axis(law)
    given = np.array(list(values), dtype=np.float64)
    low, high = axis.allowed
    if not ((given >= low) & (given < high)).all():
        raise PlanError(f"{axis.name} = {given.tolist()} of {basis.name}", hint=f"{low:g} to below {high:g}")

    def best(draws: Array) -> Array:
        return np.concatenate(_best(basis.law, draws, flops, given, axis), axis=1)

    n, d, loss = np.split(best(basis.params)[0], 3)
    columns = {axis.name: given, "N": n, "N_active": axis.active(n, given), "D": d, "L": loss}
    names = [f"{name}{i}" for name in "NDL" for i in range(len(given))]
    found = basis.intervals(names, best, level)
    for name in "NDL" if found is not None else "":
        ends = np.array([(found or {})[f"{name}{i}"] for i in range(len(given))]).reshape(-1, 2)
        columns[f"{name}_low"], columns[f"{name}_high"] = ends.T
    return columns


def basis_of_axis(law: str | Fit | Preset) -> tuple[Axis, Basis]:
    """What a law sees beside N and D, and its constants.

    Raises as :func:`vary` does.
    """
    if isinstance(law, str):
        found = PRESETS.get(law)
        name = found.law if isinstance(found, Preset) else law
    else:
        name = law.law if isinstance(law.law, str) else law.law.name
    if name not in AXES:
        raise PlanError(f"{name} has nothing beside N and D that a budget pays for", hint=f"laws: {', '.join(AXES)}")
    axis = AXES[name]
    return axis, with_constants(law, ("N", *(() if axis.n_tokens else ("D",)), *axis.inputs))


def _best(law: Law, draws: Array, flops: float, values: Array, axis: Axis) -> tuple[Array, Array, Array]:
    """N, D and the loss (draws, values) of a budget."""
    shape = (len(draws), len(values))
    at_value = np.broadcast_to(values, shape)

    def tokens(log_n: Array) -> Array:
        return flops / axis.per_token(np.exp(log_n), at_value)

    def loss(log_n: Array) -> Array:
        at = {"N": np.exp(log_n), "D": tokens(log_n), **dict.fromkeys(axis.inputs, at_value)}
        with np.errstate(over="ignore"):
            constants = list(draws.T[:, :, None])
            return np.asarray(law.code.evaluate(constants, [at[name] for name in law.inputs]), dtype=np.float64)

    if axis.n_tokens is not None:
        log_n = _where(tokens, axis.n_tokens, shape)
        return np.exp(log_n), tokens(log_n), loss(log_n)
    log_n, inside = lowest(loss, np.zeros(shape), _where(tokens, 1.0, shape))
    if not inside.all():
        raise PlanError(f"{law.name} has no optimum in N at this budget", hint="a larger one, or other constants")
    return np.exp(log_n), tokens(log_n), loss(log_n)


def _where(falling: Callable[[Array], Array], value: float, shape: tuple[int, ...]) -> Array:
    """ln N at which a curve that falls has come down to ``value``."""
    low, high = np.zeros(shape), np.full(shape, _LARGEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = falling(middle) > value
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray((low + high) / 2)
