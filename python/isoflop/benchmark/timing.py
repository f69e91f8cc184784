"""Clocks: the time of calls side by side, on a GPU by its own events, on a CPU by the wall.

Variants are timed in turns, so that a machine that warms up or slows down does so for all of them; times are medians.
On a GPU every call finds its caches flushed, and the GPU busy until the host has queued the call: what is measured is
the GPU's own time, however short. Time with the host is that of many calls in a row, waited for at the end.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch

Call = Callable[[], object]

WARM = 3  # calls before any is timed
FEWEST, MOST = 5, 100  # timed calls of a variant
_FLUSHED = 4  # times the last cache: what is written to empty it
_BACKLOG = 0.02  # seconds that a GPU is kept busy at most while the host queues a call; calls so long hide the host


class Time(NamedTuple):
    """Seconds of a call: the median, the lower and upper quartile, with the host, and of how many calls."""

    median: float
    low: float
    high: float
    with_host: float
    calls: int


class Clock(Protocol):
    """What times calls."""

    def time(self, variants: Mapping[str, Call], seconds: float) -> dict[str, Time]:
        """The time of each variant, in turns, over about ``seconds`` in all."""
        ...


class HostClock:
    """The wall's time, for calls that have done their work when they return."""

    def time(self, variants: Mapping[str, Call], seconds: float) -> dict[str, Time]:
        """As :class:`Clock` says; on a CPU time with the host is no other."""
        for call in variants.values():
            _warm(call)
        taken = _in_turns(variants, lambda name, call: _wall(call), seconds)
        return {name: _summary(times, statistics.median(times)) for name, times in taken.items()}


class GpuClock:
    """The GPU's time between two events around a call."""

    def __init__(self, device: torch.device) -> None:
        cache = torch.cuda.get_device_properties(device).L2_cache_size
        self.flushed = torch.empty(max(_FLUSHED * cache, 2**26), dtype=torch.uint8, device=device)
        _warm(self.flushed.zero_)
        self.flush_seconds = min(self._between(self.flushed.zero_, 1) for _ in range(WARM))

    def time(self, variants: Mapping[str, Call], seconds: float) -> dict[str, Time]:
        """As :class:`Clock` says."""
        fills, with_host = {}, {}
        for name, call in variants.items():
            _warm(call)
            queued, with_host[name] = self._in_a_row(call)
            fills[name] = 1 + math.ceil(min(2 * queued, _BACKLOG) / self.flush_seconds)
        taken = _in_turns(variants, lambda name, call: self._between(call, fills[name]), seconds)
        return {name: _summary(times, with_host[name]) for name, times in taken.items()}

    def _between(self, call: Call, fills: int) -> float:
        begun: Any
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        for _ in range(fills):
            self.flushed.zero_()
        begun.record()
        call()
        ended.record()
        ended.synchronize()
        return float(begun.elapsed_time(ended)) / 1e3

    def _in_a_row(self, call: Call) -> tuple[float, float]:
        """Seconds of the host to queue a call, and of a call when many are waited for together."""
        torch.cuda.synchronize()
        times = FEWEST if self._between(call, 1) > _BACKLOG else 4 * FEWEST
        begun = time.perf_counter()
        for _ in range(times):
            call()
        queued = time.perf_counter() - begun
        torch.cuda.synchronize()
        return queued / times, (time.perf_counter() - begun) / times


def clock_of(device: torch.device) -> Clock:
    """The clock for calls on ``device``."""
    return GpuClock(device) if device.type == "cuda" else HostClock()


def _in_turns(
    variants: Mapping[str, Call], once: Callable[[str, Call], float], seconds: float
) -> dict[str, list[float]]:  # fmt: skip
    taken: dict[str, list[float]] = {name: [] for name in variants}
    end, turns = time.perf_counter() + seconds, 0
    while turns < FEWEST or (turns < MOST and time.perf_counter() < end):
        for name, call in variants.items():
            taken[name].append(once(name, call))
        turns += 1
    return taken


def _warm(call: Call) -> None:
    for _ in range(WARM):
        call()


def _wall(call: Call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _summary(times: list[float], with_host: float) -> Time:
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return Time(median, low, high, with_host, len(times))
