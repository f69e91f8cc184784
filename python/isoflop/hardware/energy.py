"""Joules, by the counters that hardware keeps of itself: packages of the processor (RAPL), NVIDIA's GPUs (NVML)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

RAPL = Path("/sys/class/powercap")
"""Where Linux shows the energy counters of the processor's packages (Running Average Power Limit)."""


class Counter(Protocol):
    """What takes energy and counts it. Never torn apart by process: it is that of the whole package or GPU."""

    name: str

    def joules(self) -> float | None:
        """Since the last call, the first since it was made; None where it cannot be read (any more)."""
        ...


class Package:
    """A package of the processor. Its counter wraps, after a minute or so: to be asked more often than that."""

    name = "processor"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wraps, self._last = _number(folder / "max_energy_range_uj"), _number(folder / "energy_uj")

    def joules(self) -> float | None:
        """As :class:`Counter` says."""
        now, last = _number(self._folder / "energy_uj"), self._last
        self._last = now
        if now is None or last is None or self._wraps is None:
            return None
        return (now - last if now >= last else now - last + self._wraps) / 1e6


class Board:
    """An NVIDIA GPU, of Volta or newer, by its UUID as torch gives it; ``nvml`` is the module ``pynvml``."""

    name = "GPU"

    def __init__(self, uuid: str, nvml: Any) -> None:
        self._nvml, self._handle = nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        self._last: int | None = self._millijoules()

    def joules(self) -> float | None:
        """As :class:`Counter` says."""
        now, last = self._millijoules(), self._last
        self._last = now
        return None if now is None or last is None else (now - last) / 1e3

    def _millijoules(self) -> int | None:
        try:
            return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError:
            return None


class Energy:
    """Joules taken since this was made, by all ``counters`` together.

    Attributes:
        of: what is counted: "processor", "GPU", both or nothing.
    """

    def __init__(self, counters: Iterable[Counter]) -> None:
        self._counters = [counter for counter in counters if counter.joules() is not None]
        self.of = tuple(dict.fromkeys(counter.name for counter in self._counters))
        self._total = 0.0
        self._lost = not self._counters

    def joules(self) -> float | None:
        """Since the beginning; None where nothing can be read, or something no more."""
        taken = [counter.joules() for counter in self._counters]
        self._lost |= None in taken
        self._total += sum(joules or 0.0 for joules in taken)
        return None if self._lost else self._total


def energy(gpu: str | None = None) -> Energy:
    """The counters of this machine that can be read: of its processor, and of the GPU of that UUID."""
    return Energy([*packages(), *boards(gpu)])


def unreadable(gpu: str | None = None, folder: Path = RAPL) -> str:
    """Why ``energy(gpu)`` counts nothing, in words."""
    counters = packages(folder)
    if not counters:
        of_processor = f"no counter of the processor's energy in {folder}"
    elif not any((each.joules() is not None) for each in counters):
        of_processor = f"the counters in {folder} may not be read by this user"
    else:
        of_processor = "the processor's can be read"
    if gpu is None:
        return of_processor
    try:
        import pynvml
    except ImportError:
        return f"{of_processor}; the GPU's needs nvidia-ml-py"
    del pynvml
    return f"{of_processor}; the GPU's driver shows none"


def packages(folder: Path = RAPL) -> list[Package]:
    """The packages of the processor; what ``folder`` names below one is counted in it."""
    return [Package(each) for each in sorted(folder.glob("*-rapl:[0-9]*")) if each.name.count(":") == 1]


def boards(gpu: str | None) -> list[Board]:
    """The GPU of that UUID; none where NVML, its Python package (``nvidia-ml-py``) or its driver is not to be had."""
    if gpu is None:
        return []
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        return [Board(gpu, pynvml)]
    except pynvml.NVMLError:
        return []


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
