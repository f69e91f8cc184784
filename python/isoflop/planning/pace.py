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
from numpy.typing import NDArray

from isoflop.errors import PlanError
from isoflop.laws.catalogue import LAWS
from isoflop.laws.isoloss import log_tokens
from isoflop.laws.lowest import lowest
from isoflop.laws.optimum import FLOP_PER_PARAM_TOKEN
from isoflop.laws.presets import Preset, get_preset
from isoflop.planning.basis import with_constants
from isoflop.planning.page import Shown
from isoflop.planning.plan import Plan, plan
from isoflop.planning.settled import Settled, settle

if TYPE_CHECKING:
    from isoflop.fitting.fitted import Fit

Array = NDArray[np.float64]

_DAY = 86_400.0
_MOST = 10**9
"""Devices."""
_HALVINGS = 50


@dataclass(frozen=True)
class Fleet:
    """Devices that share a batch out.

    Attributes:
        device: its name.
        mfu: share of the dense peak of ``dtype`` that work on a full batch reaches, in (0, 1].
        share: tokens a device gets a step at least, such as one sequence.
        latency: seconds that a step takes besides, however small it is.
    """

    device: str
    mfu: float
    dtype: str = "bf16"
    share: float = 2048.0
    latency: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("mfu", 0.0, 1.0), ("share", 0.0, math.inf)):
            if not low < (value := getattr(self, name)) <= high or not math.isfinite(value):
                raise PlanError(f"{name} = {value!r} of a fleet", hint="Fleet('h100-sxm', mfu=0.4, share=4096)")
        if not 0 <= self.latency < math.inf:
            raise PlanError(f"latency = {self.latency!r} of a fleet", hint="seconds a step, 0 or more")

    @property
    def rate(self) -> float:
        """FLOP/s of one device at work."""
        from isoflop.hardware import device

        return device(self.device).peak(self.dtype) * self.mfu


@dataclass(frozen=True)
class Pace(Shown):
    """A training on so many devices.

    Attributes:
        n_params, loss: N, and the loss reached, nats per token.
        b_crit: critical batch there, tokens; ``batch`` the one of least time.
        steps, n_tokens: taken, more than S_min and E_min both.
        compute: FLOPs spent; ``overhead`` share of it above 6 N E_min.
        count, days: of devices, until it ends.
        least_days: that no number of devices ends before.
        law, critical: sources of the loss and of the critical batch.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{self.days:.4g} days on {self.count:,} devices, {self.least_days:.3g} on any number of them",
            f"  N {self.n_params:.4g}, L {self.loss:.4g}, batch {self.batch:.4g} tokens of {self.b_crit:.4g} critical",
            f"  {self.steps:.4g} steps, {self.n_tokens:.4g} tokens, {self.compute:.4g} FLOP: {self.overhead:.1%} more",
            f"{self.law}; critical batch: {self.critical}",
        ]
        return "\n".join(lines)


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
    _positive("days", days)
    high = math.log(devices * fleet.rate * days * _DAY)
    low = high - 50
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        late = _paced(plan(math.exp(middle), law), fleet, devices, known).days > days
        low, high = (low, middle) if late else (middle, high)
    return _paced(plan(math.exp(low), law), fleet, devices, known)


def _critical(name: str | Preset) -> Preset:
    found = get_preset(name) if isinstance(name, str) else name
    if not isinstance(found, Preset) or found.law not in LAWS or LAWS[found.law].inputs != ("L",):
        raise PlanError(f"{found.name} gives no critical batch of a loss", hint="kaplan-table5-batch does")
    return found


def _b_crit(critical: Preset, loss: float) -> float:
    return float(LAWS[critical.law].predict(critical.values, L=loss))


def _time(n: Array, d: Array, b_crit: float, count: float, fleet: Fleet) -> tuple[Array, Array]:
    """Batch of the least time, and that time in seconds."""
    a_token = FLOP_PER_PARAM_TOKEN * n / (count * fleet.rate)
    batch = np.maximum(count * fleet.share, np.sqrt(b_crit * fleet.latency / a_token))
    return batch, d / b_crit * (1 + b_crit / batch) * (a_token * batch + fleet.latency)


def _paced(training: Plan | Settled, fleet: Fleet, count: int, critical: Preset) -> Pace:
    n, d, b_crit = training.n_params, training.n_tokens, _b_crit(critical, training.loss)
    batch, seconds = (float(each[0]) for each in _time(np.array([n]), np.array([d]), b_crit, count, fleet))
    smallest = d / b_crit * (FLOP_PER_PARAM_TOKEN * n * fleet.share / fleet.rate + fleet.latency)
    return Pace(
        n_params=n,
        loss=training.loss,
        b_crit=b_crit,
        batch=batch,
        steps=d / b_crit * (1 + b_crit / batch),
        n_tokens=d * (1 + batch / b_crit),
        compute=FLOP_PER_PARAM_TOKEN * n * d * (1 + batch / b_crit),
        overhead=batch / b_crit,
        count=count,
        days=seconds / _DAY,
        least_days=smallest / _DAY,
        law=f"{training.law}: {training.source}",
        critical=f"{critical.name}, {critical.source}",
    )


def _fewest(training: Plan | Settled, fleet: Fleet, days: float, critical: Preset) -> int:
    _positive("days", days)
    low, high = 0, _MOST
    most = _paced(training, fleet, high, critical)
    if most.days > days:
        raise PlanError(
            f"no number of {fleet.device} ends this in {days:.4g} days",
            hint=f"{most.least_days:.4g} days is the least; a smaller `share` or `latency` lowers it",
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _paced(training, fleet, middle, critical).days <= days else (middle, high)
    return high


def _whole(count: int) -> int:
    if isinstance(count, bool) or not hasattr(count, "__index__") or count < 1:
        raise PlanError(f"count = {count!r} devices", hint="a whole number, 1 or more")
    return int(count)


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise PlanError(f"{name} = {value!r} of a training", hint="a positive number")
