"""How long runs take: seconds = steps x (overhead + FLOPs / speed), the two constants measured on this machine.

Evaluations count as the forward passes that they are: a third of the FLOPs of training on as many tokens, and once
more for each that is measured besides the held-out loss.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from isoflop.errors import SpecError
from isoflop.hardware import device, gpus
from isoflop.runs import RunStore, run_id
from isoflop.train.partings import partings
from isoflop.train.spec import TrainSpec


@dataclass(frozen=True)
class StepTime:
    """Seconds of one optimizer step on one core: ``overhead`` seconds plus its exact FLOPs at ``flops_per_second``."""

    overhead: float
    flops_per_second: float

    def seconds(self, spec: TrainSpec) -> float:
        """The whole run, its evaluations too."""
        judged = spec.judged_tokens / 3
        flops = spec.counts()["C_exact_causal"] * (1 + judged / spec.tokens)
        return spec.n_steps * self.overhead + flops / self.flops_per_second


@dataclass(frozen=True)
class Forecast:
    """What a sweep would take.

    Attributes:
        runs, to_make: in all, and those not made yet.
        flops: of training, exact.
        hours: from the first to the last, on ``workers`` workers.
        busy_hours: of all workers together, those in which they train.
        joules: of the workers while they train; None where nobody says what a worker takes.
        cost: of the workers from the first hour to the last; None without a price.
    """

    runs: int
    to_make: int
    flops: float
    hours: float
    busy_hours: float
    workers: int
    joules: float | None = None
    cost: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        return asdict(self)

    def __str__(self) -> str:
        done = f", {self.runs - self.to_make} of them done already" if self.to_make < self.runs else ""
        lasts = f"{self.hours:.1f} hours" if self.hours >= 2 else f"{60 * self.hours:.1f} minutes"
        joules = "joules unknown: say watts in [workers]" if self.joules is None else f"{self.joules:.3g} J"
        cost = "cost unknown: say price in [workers]" if self.cost is None else f"costs {self.cost:.2f}"
        return (
            f"{self.runs} runs{done}; to make {self.to_make}: {self.flops:.3g} FLOP, "
            f"about {lasts}, {self.workers} at a time; {joules}; {cost}"
        )


# A typical core: good enough to put the longest run first and to weigh what is left.
_TYPICAL = {
    "torch": StepTime(overhead=1.5e-3, flops_per_second=6e10),
    "native": StepTime(overhead=1e-4, flops_per_second=2e11),
    "triton": StepTime(overhead=1e-4, flops_per_second=1e14),
}

_WARM_STEPS, _TIMED_SECONDS, _TIMED_STEPS = 2, 0.4, 20


def typical_seconds(spec: TrainSpec) -> float:
    """Of the whole run on a typical core, by its engine: nothing is measured."""
    return _TYPICAL[spec.engine].seconds(spec)


def own_shares(specs: Sequence[TrainSpec]) -> dict[TrainSpec, float]:
    """The share of its steps that each run makes itself: the others it has from a longer run of ``specs``."""
    followed = partings(specs)
    steps = {spec: followed[k].step if k in followed else 0 for k, spec in enumerate(specs)}
    return {spec: 1 - step / spec.n_steps for spec, step in steps.items()}


def estimate(
    specs: Sequence[TrainSpec],
    store: RunStore | None,
    workers: int,
    *,
    watts: float | None = None,
    price: float | None = None,
) -> Forecast:
    """Forecast the runs of ``specs`` that ``store`` lacks, on ``workers`` workers, from steps timed here and now.

    Each engine and precision among them is timed by itself; steps that runs share are counted once. A worker takes
    ``watts`` while it trains and costs ``price`` an hour; runs on a GPU take its published power where nothing is said.
    """
    todo = [spec for spec in specs if store is None or not store.has_ended(run_id(spec.to_dict()))]
    own = own_shares(todo)
    flops = sum(own[spec] * spec.counts()["C_exact_causal"] for spec in todo)
    kinds: dict[tuple[str, str], list[TrainSpec]] = defaultdict(list)
    for spec in todo:
        kinds[spec.engine, spec.precision].append(spec)
    timed = {kind: measure(of_kind) for kind, of_kind in kinds.items()}
    busy = [0.0] * workers
    for seconds in sorted(
        (own[spec] * timed[spec.engine, spec.precision].seconds(spec) for spec in todo), reverse=True
    ):
        busy[busy.index(min(busy))] += seconds
    power = _published_watts() if watts is None and {spec.engine for spec in todo} == {"triton"} else watts
    hours, busy_hours = max(busy) / 3600, sum(busy) / 3600
    return Forecast(
        runs=len(specs),
        to_make=len(todo),
        flops=flops,
        hours=hours,
        busy_hours=busy_hours,
        workers=workers,
        joules=None if power is None else 3600 * busy_hours * power,
        cost=None if price is None else hours * workers * price,
    )


def _published_watts() -> float | None:
    """What the GPU of this machine is published to take; None where it has none, or none that is known."""
    for gpu in gpus():
        try:
            return device(gpu.name).tdp
        except SpecError:
            return None
    return None


def measure(specs: Sequence[TrainSpec]) -> StepTime:
    """Time real steps of the smallest and of the largest model of ``specs`` and solve for the two constants."""
    ordered = sorted(specs, key=_step_flops)
    small, large = ordered[0], ordered[-1]
    small_seconds, large_seconds = _seconds_per_step(small), _seconds_per_step(large)
    more_flops, more_seconds = _step_flops(large) - _step_flops(small), large_seconds - small_seconds
    if more_flops < 0.5 * _step_flops(large) or more_seconds <= 0:  # too alike to tell overhead from speed
        return StepTime(0.0, _step_flops(large) / large_seconds)
    speed = more_flops / more_seconds
    return StepTime(max(0.0, small_seconds - _step_flops(small) / speed), speed)


def _step_flops(spec: TrainSpec) -> float:
    return spec.counts()["C_exact_causal"] / spec.n_steps


def _seconds_per_step(spec: TrainSpec) -> float:
    from isoflop.train import steps_on_noise

    times = []
    began = time.monotonic()
    for index, seconds in enumerate(steps_on_noise(spec)):
        times.append(seconds)
        if index >= _WARM_STEPS and (time.monotonic() - began > _TIMED_SECONDS or index >= _TIMED_STEPS):
            break
    timed = sorted(times[_WARM_STEPS:])
    return timed[len(timed) // 2]
