"""Energy of a call: what the counters of processor and GPU took while it was called in a row."""

from __future__ import annotations

import math

import torch

from isoflop.benchmark.timing import Call
from isoflop.hardware import Energy, energy, unreadable

LEAST = 0.3
"""Seconds of calls: counters move some ten times a second or more."""


def counters(device: torch.device) -> Energy:
    """Those of the processor, and of ``device`` where it is a GPU that has one."""
    return energy(_uuid(device))


def counted(device: torch.device) -> str:
    """Whose energy is counted, or why none is."""
    of = counters(device).of
    return " and ".join(of) if of else f"not readable: {unreadable(_uuid(device))}"


def joules(call: Call, each: float, device: torch.device) -> float | None:
    """Of one ``call`` of about ``each`` seconds, with all else that runs meanwhile; None where nothing can be read."""
    taken = counters(device)
    if not taken.of:
        return None
    times = max(1, math.ceil(LEAST / each))
    _wait(device)
    before = taken.joules()
    for _ in range(times):
        call()
    _wait(device)
    after = taken.joules()
    return None if before is None or after is None else (after - before) / times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _uuid(device: torch.device) -> str | None:
    """As ``energy`` takes it; torch of AMD's GPUs has none that NVML knows."""
    if device.type != "cuda" or torch.version.hip:
        return None
    return str(torch.cuda.get_device_properties(device).uuid)
