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
from typing import NamedTuple, Protocol

import torch

Call = Callable[[], object]

WARM = 3  # calls before any is timed
FEWEST, MOST = 5, 100  # timed calls of a variant
_FLUSHED = 4  # times the last cache: what is written to empty it


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
        taken = _in_turns({name: lambda call=call: _wall(call) for name, call in variants.items()}, variants, seconds)
        return {name: _summary(times, statistics.median(times)) for name, times in taken.items()}


class GpuClock:
    """The GPU's time between two events around a call."""

    def __init__(self, device: torch.device) -> None:
        cache = torch.cuda.get_device_properties(device).L2_cache_size
        self.flushed = torch.empty(max(_FLUSHED * cache, 2**26), dtype=torch.uint8, device=device)
        self.flush_seconds = self._between(lambda: self.flushed.zero_(), 1)

    def time(self, variants: Mapping[str, Call], seconds: float) -> dict[str, Time]:
        """As :class:`Clock` says."""
        fills, host = {}, {}
        for name, call in variants.items():
            for _ in range(WARM):
                call()
            queued, host[name] = self._in_a_row(call)
            fills[name] = 1 + math.ceil(2 * queued / self.flush_seconds)
        calls = {
            name: lambda call=call, name=name: self._between(call, fills[name]) for name, call in variants.items()
        }
        taken = _in_turns(calls, {}, seconds)
        return {name: _summary(times, host[name]) for name, times in taken.items()}

    def _between(self, call: Call, fills: int) -> float:
        begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        for _ in range(fills):
            self.flushed.zero_()
        begun.record()
        call()
        ended.record()
        ended.synchronize()
        return float(begun.elapsed_time(ended)) / 1e3

    def _in_a_row(self, call: Call, times: int = 10) -> tuple[float, float]:
        """Seconds of the host to queue a call, and of a call when so many are waited for together."""
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(times):
            call()
        queued = time.perf_counter() - begun
        torch.cuda.synchronize()
        return queued / times, (time.perf_counter() - begun) / times


def clock_of(device: torch.device) -> Clock:
    """The clock for calls on ``device``."""
    return GpuClock(device) if device.type == "cuda" else HostClock()


def _in_turns(timed: Mapping[str, Callable[[], float]], warm: Mapping[str, Call], seconds: float) -> dict[str, list[float]]:
    for call in warm.values():
        for _ in range(WARM):
            call()
    taken: dict[str, list[float]] = {name: [] for name in timed}
    end, turns = time.perf_counter() + seconds, 0
    while turns < FEWEST or (turns < MOST and time.perf_counter() < end):
        for name, once in timed.items():
            taken[name].append(once())
        turns += 1
    return taken


def _wall(call: Call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _summary(times: list[float], with_host: float) -> Time:
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return Time(median, low, high, with_host, len(times))
