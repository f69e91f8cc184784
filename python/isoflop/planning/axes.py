"""A budget spent on more than N and D: bits of the numbers, experts at rest.

What stands beside N and D changes what a parameter costs a token, so that each value of it has an optimum of its own:

    precision (Kumar 2024, arXiv 2411.04330, section 4)     C = 6 N D P/16
    sparsity  (Abnar 2025, arXiv 2501.12370, section 3)     C = 6 N (1 - S) D
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
from isoflop.planning.basis import with_constants
from isoflop.planning.compute import parse_compute

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """What a law sees beside N and D.

    Attributes:
        name: of the column of values.
        inputs: of the law, all of which take the value.
        price: of a parameter and token, in those of 6 N D.
        allowed: low and high, the latter not included.
    """

    name: str
    inputs: tuple[str, ...]
    price: Callable[[float], float]
    allowed: tuple[float, float]


AXES: Mapping[str, Axis] = {
    "kumar": Axis("P", ("P_w", "P_a", "P_kv"), lambda bits: bits / 16, (1.0, 33.0)),
    "abnar": Axis("S", ("S",), lambda at_rest: 1 - at_rest, (0.0, 1.0)),
}
"""By law."""


def vary(
    compute: str | float, law: str | Fit | Preset, values: Iterable[float], *, level: float = 0.95
) -> dict[str, Array]:
    """The best N, D and loss of a budget at each value of what the law sees beside them.

    Args:
        compute: FLOPs of 16-bit products on active parameters, or text as :func:`parse_compute` reads it.
        law: a fit of a law of :data:`AXES`, or the name of a published set of one: "kumar" or "abnar".
        values: bits P of weights, activations and cache; or shares S of experts at rest.
        level: of the intervals that a fit gives.

    Returns:
        Columns P or S, N, D, L; and from a fit also N_low, N_high, D_low, D_high, L_low and L_high.

    Raises:
        PlanError: an unreadable budget, a value that is not allowed, a law without such an axis, or one that has no
            optimum in N.
        LawError: no published set of that name.
    """
    flops, axis = parse_compute(compute), _axis(law)
    basis = with_constants(law, ("N", "D", *axis.inputs))
    given = np.array(list(values), dtype=np.float64)
    low, high = axis.allowed
    if not ((given >= low) & (given < high)).all():
        raise PlanError(f"{axis.name} = {given.tolist()} of {basis.name}", hint=f"{low:g} to below {high:g}")
    budgets = np.log(flops / FLOP_PER_PARAM_TOKEN / np.array([axis.price(float(value)) for value in given]))

    def best(draws: Array) -> Array:
        return np.concatenate(_best(basis.law, draws, budgets, given, axis), axis=1)

    n, d, loss = np.split(best(basis.params)[0], 3)
    columns = {axis.name: given, "N": n, "D": d, "L": loss}
    names = [f"{name}{i}" for name in "NDL" for i in range(len(given))]
    found = basis.intervals(names, best, level)
    for name in "NDL" if found is not None else "":
        ends = np.array([(found or {})[f"{name}{i}"] for i in range(len(given))]).reshape(-1, 2)
        columns[f"{name}_low"], columns[f"{name}_high"] = ends.T
    return columns


def _axis(law: str | Fit | Preset) -> Axis:
    if isinstance(law, str):
        found = PRESETS.get(law)
        name = found.law if isinstance(found, Preset) else law
    else:
        name = law.law if isinstance(law.law, str) else law.law.name
    if name not in AXES:
        raise PlanError(f"{name} has nothing beside N and D that a budget pays for", hint=f"laws: {', '.join(AXES)}")
    return AXES[name]


def _best(law: Law, draws: Array, budgets: Array, values: Array, axis: Axis) -> tuple[Array, Array, Array]:
    """N, D and the loss (draws, values) of ln N D (values,)."""
    shape = (len(draws), len(budgets))

    def loss(log_n: Array) -> Array:
        at = {"N": np.exp(log_n), "D": np.exp(budgets - log_n)}
        at |= {name: np.broadcast_to(values, shape) for name in axis.inputs}
        with np.errstate(over="ignore"):
            constants = list(draws.T[:, :, None])
            return np.asarray(law.code.evaluate(constants, [at[name] for name in law.inputs]), dtype=np.float64)

    log_n, inside = lowest(loss, np.zeros(shape), np.broadcast_to(budgets, shape))
    if not inside.all():
        raise PlanError(f"{law.name} has no optimum in N at this budget", hint="a larger one, or other constants")
    return np.exp(log_n), np.exp(budgets - log_n), loss(log_n)
