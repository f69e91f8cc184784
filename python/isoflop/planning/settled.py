"""A training of which something is settled: N, D, the compute or the loss. The law and C = 6 N D give the rest.

N or D and one more of the four settle the other two. A loss alone is reached with the least compute. What was not
chosen freely costs more than it need: the overhead says how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.isoloss import cheapest, log_params, log_tokens
from isoflop.laws.law import Law
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, losses, optimum
from isoflop.laws.presets import Preset
from isoflop.planning.basis import Basis, with_constants
from isoflop.planning.compute import parse_compute
from isoflop.planning.concrete import Concrete, Space, choose_shape
from isoflop.planning.page import Page, Paged, page_of, record_of

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_HALVINGS = 60
_BEYOND = 1e300
"""Stands for what is infinite while quantiles of draws are taken."""
_QUANTITIES = ("compute", "n_params", "n_tokens", "loss", "least_compute", "overhead")
_LABELS = {
    "compute": ("C", "FLOP"),
    "n_params": ("N", "parameters"),
    "n_tokens": ("D", "tokens"),
    "loss": ("L", "nats/token"),
    "least_compute": ("C_least", "FLOP at the optimal size for this loss"),
}
_PAIR = "settle n_params or n_tokens and one more of compute, n_params, n_tokens and loss; or the loss alone"


@dataclass(frozen=True)
class Settled(Paged):
    """A training with what was given, and what follows.

    Attributes:
        given: names of what was given.
        compute, n_params, n_tokens, loss: FLOPs = 6 N D, parameters, tokens, nats per token.
        least_compute: that gives this loss, at the optimal size.
        overhead: compute above that, as a share of it.
        optimal_at: FLOPs whose optimum has this N, or this D where D was given: beyond them a larger model (or more
            tokens) gives more; None where neither was given.
        intervals: of compute, n_params, n_tokens, loss, least_compute and overhead where they were not given; None for
            published sets.
        level: of the intervals.
        law, source, n_convention, label, warnings, shape, basis: as of :class:`isoflop.Plan`.
    """

    given: tuple[str, ...]
    compute: float
    n_params: float
    n_tokens: float
    loss: float
    least_compute: float
    overhead: float
    optimal_at: float | None
    intervals: dict[str, tuple[float, float]] | None
    level: float
    law: str
    source: str
    n_convention: str
    label: str
    warnings: tuple[str, ...]
    shape: Concrete | None = None
    basis: Basis | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an end of an interval that is infinite is None."""
        return record_of(self) | {"given": list(self.given)}

    @property
    def page(self) -> Page:
        """As it is shown."""
        shown = _LABELS if len(self.given) > 1 else {k: v for k, v in _LABELS.items() if k != "least_compute"}
        follows = [f"{self.overhead:.1%} above the least compute of this loss"] if len(self.given) > 1 else []
        if self.optimal_at is not None:
            follows.append(f"the optimal choice at {self.optimal_at:.4g} FLOP")
        return page_of(self, f"training with given {' and '.join(self.given)}", shown, follows)


def settle(
    law: str | Fit | Preset, *, compute: str | float | None = None, n_params: float | None = None,
    n_tokens: float | None = None, loss: float | None = None, level: float = 0.95, shape: Space | None = None,
) -> Settled:  # fmt: skip
    """What follows from N or D and one more of compute, N, D and loss; a loss alone is reached with the least compute.

    Args:
        law: a fit of a law in N and D, or the name of a published set.
        compute: FLOPs, or text as :func:`parse_compute` reads it.
        n_params, n_tokens: N and D.
        loss: nats per token.
        level: of the intervals that a fit gives.
        shape: which shapes a concrete one may be chosen from, as of :func:`isoflop.plan`.

    Raises:
        PlanError: given other than that, numbers that are not positive, a loss that is out of reach
            (the error says the floor of the law), or a law that does not trade N against D.
        LawError: no published set of that name.
    """
    basis = with_constants(law)
    numbers = {"compute": None if compute is None else parse_compute(compute), "n_params": n_params}
    given = {k: v for k, v in {**numbers, "n_tokens": n_tokens, "loss": loss}.items() if v is not None}
    if set(given) != {"loss"} and (len(given) != 2 or set(given) == {"compute", "loss"}):
        raise PlanError(f"given: {', '.join(given) or 'nothing'}", hint=_PAIR)
    for name, value in given.items():
        if not 0 < value < math.inf:
            raise PlanError(f"{name} = {value!r} of a plan", hint="a positive number")
    own = solve(basis.law, basis.params, given)[0]
    if not own[0] < _BEYOND:
        at = "".join(f" at {name} = {value:.4g}" for name, value in given.items() if name != "loss")
        raise PlanError(f"{basis.name} never gives a loss of {given['loss']:.6g}{at}", hint=_out_of_reach(basis, given))
    values = dict(zip(_QUANTITIES, own.tolist(), strict=True))
    label, warnings = basis.label(N=values["n_params"], D=values["n_tokens"])
    sizes = [name for name in ("n_params", "n_tokens") if name in given]
    return Settled(
        given=tuple(given),
        **values,
        optimal_at=optimal_compute(basis, sizes[0], given[sizes[0]]) if sizes else None,
        intervals=_intervals(basis, given, level),
        level=level,
        law=basis.name,
        source=basis.source,
        n_convention=basis.n_convention,
        label=label,
        warnings=warnings,
        shape=None
        if shape is None
        else choose_shape(values["compute"], values["n_params"], basis.n_convention, shape, basis.loss),
        basis=basis,
    )


def optimal_compute(basis: Basis, name: str, value: float) -> float:
    """FLOPs whose optimum has this ``n_params`` or ``n_tokens``."""
    low, high = math.log(FLOP_PER_PARAM_TOKEN * value), math.log(FLOP_PER_PARAM_TOKEN * value) + 80
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        asked = getattr(optimum(basis.law, basis.params, np.array([math.exp(middle)])), name)[0, 0]
        low, high = (middle, high) if asked < value else (low, middle)
    return math.exp(high)


def solve(law: Law, draws: Array, given: dict[str, float]) -> Array:
    """Compute, N, D, loss, least compute and overhead (draws, 6); compute is :data:`_BEYOND` out of reach."""
    logs = {name: np.full((len(draws), 1), math.log(value)) for name, value in given.items() if name != "loss"}
    loss = np.full((len(draws), 1), given.get("loss", math.nan))
    log_n, log_d = _sizes(law, draws, logs, loss)
    reached = np.isfinite(log_n) & np.isfinite(log_d)
    log_n, log_d = np.where(reached, log_n, 0.0), np.where(reached, log_d, 0.0)
    if "loss" not in given:
        loss = losses(law, draws, log_n, log_d)
    compute = np.exp(log_n + log_d) * FLOP_PER_PARAM_TOKEN
    best_n, best_d = (log_n, log_d) if set(given) == {"loss"} else cheapest(law, draws, loss, np.zeros_like(loss))
    least = FLOP_PER_PARAM_TOKEN * np.exp(best_n + best_d)
    rows = np.concatenate([compute, np.exp(log_n), np.exp(log_d), loss, least, compute / least - 1], axis=1)
    return np.where(reached, rows, _BEYOND)


def _sizes(law: Law, draws: Array, logs: dict[str, Array], loss: Array) -> tuple[Array, Array]:
    """ln N and ln D (draws, 1) of what is given, infinite or NaN where the loss is out of reach."""
    if not logs:
        return cheapest(law, draws, loss, np.zeros_like(loss))
    if "compute" in logs:
        rest = logs["compute"] - math.log(FLOP_PER_PARAM_TOKEN)
        return (
            (logs["n_params"], rest - logs["n_params"])
            if "n_params" in logs
            else (rest - logs["n_tokens"], logs["n_tokens"])
        )
    log_n, log_d = logs.get("n_params"), logs.get("n_tokens")
    if log_n is None and log_d is not None:
        return log_params(law, draws, log_d, loss), log_d
    assert log_n is not None
    return log_n, log_tokens(law, draws, log_n, loss) if log_d is None else log_d


def _out_of_reach(basis: Basis, given: dict[str, float]) -> str:
    """The floor of the law, at the size given where there is one, and what would reach the loss."""
    held = {name: given.get(name, 1e30) for name in ("n_params", "n_tokens")}
    if len(given) == 1:
        return basis.floor
    return f"there the law falls towards {basis.loss(held['n_params'], held['n_tokens']):.4g}; {basis.floor}"


def _intervals(basis: Basis, given: dict[str, float], level: float) -> dict[str, tuple[float, float]] | None:
    found = basis.intervals(_QUANTITIES, lambda draws: solve(basis.law, draws, given), level)
    if found is None:
        return None
    ends = {name: found[name] for name in _QUANTITIES if name not in given}
    return {name: (low, high if high < _BEYOND / 10 else math.inf) for name, (low, high) in ends.items()}
