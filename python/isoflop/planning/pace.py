"""Time against compute: the batch of a training decides how many devices can work at once, and what they waste.

    S = S_min (1 + B_crit/B)        E = E_min (1 + B/B_crit)        C = 6 N E           (Kaplan 2020, eq 5.4, 5.5)

E_min = D is the law's, whose runs are taken to have batches far below critical, and S_min = E_min/B_crit. Each of n
devices gets at least a share of so many tokens a step, and a step takes 6 N B/(n F) + latency seconds, F = peak * mfu:
however many they are, they do not end before S_min steps of the smallest share.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoflop.errors import PlanError
from isoflop.laws.catalogue import LAWS
from isoflop.laws.isoloss import log_tokens
from isoflop.laws.law import Law
from isoflop.laws.lowest import lowest
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN, losses
from isoflop.laws.presets import Preset, get_preset
from isoflop.planning.basis import with_constants
from isoflop.planning.fleet import Fleet
from isoflop.planning.page import Page, Paged, finite, quantity
from isoflop.planning.plan import Plan, plan
from isoflop.planning.settled import Settled, settle, solve

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_DAY = 86_400.0
_MOST = 10**9
"""Devices."""
_HALVINGS = 50
_NAMES = ("b_crit", "batch", "steps", "n_tokens", "compute", "overhead", "days", "least_days")
_LABELS = {
    "n_params": ("N", "parameters"),
    "loss": ("L", "nats/token"),
    "batch": ("B", "tokens a step, of least time"),
    "b_crit": ("B_crit", "tokens a step, critical"),
    "steps": ("S", "steps"),
    "n_tokens": ("E", "tokens"),
    "compute": ("C", "FLOP"),
    "days": ("", "days"),
}


@dataclass(frozen=True)
class Pace(Paged):
    """A training on so many devices.

    Attributes:
        n_params, loss: N, and the loss reached, nats per token.
        b_crit: critical batch there, tokens; ``batch`` the one of least time.
        steps, n_tokens: taken, more than S_min and E_min both.
        compute: FLOPs spent; ``overhead`` share of it above 6 N E_min.
        count, days: of devices, until it ends.
        least_days: that no number of devices ends before.
        law, critical: sources of the loss and of the critical batch.
        intervals: of b_crit, batch, steps, n_tokens, compute, overhead, days and least_days, where a fit was planned
            from: N and D are as planned, what they come to is as uncertain as the law. None for published sets.
        level: of the intervals.
    """

    n_params: float
    loss: float
    b_crit: float
    batch: float
    steps: float
    n_tokens: float
    compute: float
    overhead: float
    count: int
    days: float
    least_days: float
    law: str
    critical: str
    intervals: dict[str, tuple[float, float]] | None = None
    level: float = 0.95

    @property
    def least_compute(self) -> float:
        """FLOPs that the same model takes with the smallest batches, 6 N E_min."""
        return self.compute / (1 + self.overhead)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"intervals": None if self.intervals is None else finite(self.intervals)}

    @property
    def page(self) -> Page:
        """As it is shown."""
        known = self.intervals or {}
        rows = [quantity(s, getattr(self, name), known.get(name), m) for name, (s, m) in _LABELS.items()]
        head = f"{self.days:.4g} days on {self.count:,} devices, {self.least_days:.3g} on any number of them"
        below = f"{self.overhead:.1%} more compute than with the smallest batches"
        within = "" if self.intervals is None else f", {self.level:.0%} intervals"
        return Page(head, rows, [below, f"{self.law}; critical batch: {self.critical}{within}"])


def pace(
    training: Plan | Settled, fleet: Fleet, *, count: int | None = None, days: float | None = None,
    critical: str | Preset = "kaplan-table5-batch",
) -> Pace:  # fmt: skip
    """How a planned training goes on ``count`` devices, or on the fewest that end it in ``days``.

    Args:
        training: what is to be trained, of :func:`plan` or :func:`settle`.
        fleet: the devices, ``count`` of them.
        days: until the end, in the place of ``count``.
        critical: a published set of B_crit(L), or one of your own.

    Raises:
        PlanError: both or neither of ``count`` and ``days``, a number that is not positive, days that no number of
            devices keeps to, or a set that is not of B_crit(L).
        LawError: no published set of that name.
    """
    if (count is None) == (days is None):
        raise PlanError("a training takes as long as `count` devices need, or `days`", hint="give one of them")
    known = _critical(critical)
    if count is None:
        assert days is not None
        count = _fewest(training, fleet, days, known)
    return _paced(training, fleet, _whole(count), known)


def fastest(
    law: str | Fit | Preset, loss: float, fleet: Fleet, count: int, *, critical: str | Preset = "kaplan-table5-batch"
) -> Pace:
    """The N that reaches a loss soonest on ``count`` devices: the optimum, or a larger one where steps are slow.

    Raises as :func:`pace` and :func:`settle` do.
    """
    least, known, devices = settle(law, loss=loss), _critical(critical), _whole(count)
    basis, b_crit = with_constants(law), _b_crit(known, loss)

    def log_seconds(log_n: Array) -> Array:
        with np.errstate(over="ignore"):
            d = np.exp(log_tokens(basis.law, basis.params, log_n, np.full_like(log_n, loss)))
            return np.log(_time(np.exp(log_n), d, b_crit, devices, fleet)[1])

    middle = np.log(np.array([[least.n_params]]))
    log_n, _ = lowest(log_seconds, middle - 2, middle + 5)
    return _paced(settle(law, n_params=math.exp(log_n[0, 0]), loss=loss), fleet, devices, known)


def within(
    law: str | Fit | Preset, fleet: Fleet, count: int, days: float, *, critical: str | Preset = "kaplan-table5-batch"
) -> Pace:
    """The compute-optimal training that ``count`` devices end in so many days: the time that batches waste is off.

    Raises as :func:`pace` and :func:`plan` do.
    """
    known, devices = _critical(critical), _whole(count)
    _positive(days)
    high = math.log(devices * fleet.rate * days * _DAY)
    low = high - 50
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        late = _days(plan(math.exp(middle), law), fleet, devices, known) > days
        low, high = (low, middle) if late else (middle, high)
    return _paced(plan(math.exp(low), law), fleet, devices, known)


def _critical(name: str | Preset) -> Preset:
    found = get_preset(name) if isinstance(name, str) else name
    if not isinstance(found, Preset) or found.law not in LAWS or LAWS[found.law].inputs != ("L",):
        raise PlanError(f"{found.name} gives no critical batch of a loss", hint="kaplan-table5-batch does")
    return found


def _b_crit(critical: Preset, loss: ArrayLike) -> Array:
    return np.asarray(LAWS[critical.law].predict(critical.values, L=loss), dtype=np.float64)


def _time(n: Array, d: Array, b_crit: Array, count: float, fleet: Fleet) -> tuple[Array, Array]:
    """Batch of the least time, and that time in seconds."""
    a_token = FLOP_PER_PARAM_TOKEN * n / (count * fleet.rate)
    batch = np.maximum(count * fleet.share, np.sqrt(b_crit * fleet.latency / a_token))
    return batch, d / b_crit * (1 + b_crit / batch) * (a_token * batch + fleet.latency)


def _paced(training: Plan | Settled, fleet: Fleet, count: int, critical: Preset) -> Pace:
    n, d, loss = (np.array([value]) for value in (training.n_params, training.n_tokens, training.loss))
    own = _columns(n, d, loss, fleet, count, critical)[0]
    basis, found = training.basis, None
    if basis is not None:
        found = basis.intervals(
            _NAMES, lambda draws: _columns(*_drawn(training, basis.law, draws), fleet, count, critical), training.level
        )
    return Pace(
        n_params=training.n_params,
        loss=training.loss,
        **dict(zip(_NAMES, own.tolist(), strict=True)),
        count=count,
        law=f"{training.law}: {training.source}",
        critical=f"{critical.name}, {critical.source}",
        intervals=found,
        level=training.level,
    )


def _columns(n: Array, d: Array, loss: Array, fleet: Fleet, count: int, critical: Preset) -> Array:
    """The quantities (draws, 8) of N, D and the loss (draws,)."""
    b_crit = _b_crit(critical, loss)
    batch, seconds = _time(n, d, b_crit, count, fleet)
    smallest = d / b_crit * (FLOP_PER_PARAM_TOKEN * n * fleet.share / fleet.rate + fleet.latency)
    steps, tokens = d / b_crit * (1 + b_crit / batch), d * (1 + batch / b_crit)
    spent = FLOP_PER_PARAM_TOKEN * n * tokens
    columns = (b_crit, batch, steps, tokens, spent, batch / b_crit, seconds / _DAY, smallest / _DAY)
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def _drawn(training: Plan | Settled, law: Law, draws: Array) -> tuple[Array, Array, Array]:
    """N, D and the loss (draws,): as they are settled, or what draws of the law make of a planned N and D."""
    if isinstance(training, Settled):
        n, d, loss = solve(law, draws, {name: getattr(training, name) for name in training.given})[:, 1:4].T
        return n, d, loss
    n, d = (np.full(len(draws), value) for value in (training.n_params, training.n_tokens))
    return n, d, losses(law, draws, np.log(n)[:, None], np.log(d)[:, None])[:, 0]


def _days(training: Plan | Settled, fleet: Fleet, count: int, critical: Preset) -> float:
    n, d = (np.array([value]) for value in (training.n_params, training.n_tokens))
    return float(_time(n, d, _b_crit(critical, training.loss), count, fleet)[1][0]) / _DAY


def _fewest(training: Plan | Settled, fleet: Fleet, days: float, critical: Preset) -> int:
    _positive(days)
    low, high = 0, _MOST
    most = _paced(training, fleet, high, critical)
    if most.days > days:
        raise PlanError(
            f"no number of {fleet.device} ends this in {days:.4g} days",
            hint=f"{most.least_days:.4g} days is the least; a smaller `share` or `latency` lowers it",
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _days(training, fleet, middle, critical) <= days else (middle, high)
    return high


def _whole(count: int) -> int:
    if isinstance(count, bool) or not hasattr(count, "__index__") or count < 1:
        raise PlanError(f"count = {count!r} devices", hint="a whole number, 1 or more")
    return int(count)


def _positive(days: float) -> None:
    if not 0 < days < math.inf:
        raise PlanError(f"days = {days!r} of a training", hint="a positive number")
