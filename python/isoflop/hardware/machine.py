"""What this process runs on: versions, cores, instruction sets, memory, GPUs. Imports neither torch nor numba."""

from __future__ import annotations

import csv
import dataclasses
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from isoflop import _core

_PACKAGES = ("numpy", "scipy", "numba", "pyarrow", "torch", "triton")
_CGROUP = Path("/sys/fs/cgroup")
_GPU_FIELDS = "name,memory.total,driver_version"


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as its driver names it; memory in bytes."""

    name: str
    memory_bytes: int
    driver: str


@dataclass(frozen=True)
class Info:
    """Versions and hardware; a package that is not installed has version None, a fact that cannot be read too."""

    isoflop: str
    python: str
    platform: str
    packages: dict[str, str | None]
    cpu: str
    cores: float
    instruction_sets: tuple[str, ...]
    memory_bytes: int | None
    gpus: tuple[Gpu, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and scalars, ready for JSON."""
        fields = dataclasses.asdict(self)
        return fields | {"instruction_sets": list(self.instruction_sets), "gpus": list(fields["gpus"])}


def info() -> Info:
    """Look at this process's machine now."""
    return Info(
        isoflop=_core.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: _installed_version(name) for name in _PACKAGES},
        cpu=cpu_model(),
        cores=cores(),
        instruction_sets=tuple(_core.cpu_features()),
        memory_bytes=memory_bytes(),
        gpus=gpus(),
    )


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, or its architecture where the system does not tell the name."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores(cgroup: Path = _CGROUP) -> float:
    """Cores this process may use: its affinity mask, or a container's smaller share, which may be a fraction."""
    affinity = float(len(os.sched_getaffinity(0)))
    quota_file = cgroup / "cpu.max"
    if not quota_file.is_file():
        return affinity
    quota, period = quota_file.read_text().split()
    return affinity if quota == "max" else min(affinity, int(quota) / int(period))


def memory_bytes(cgroup: Path = _CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Memory this process may use: the machine's, or a container's smaller limit; None where neither is told."""
    limits = []
    if (total := _entry(meminfo, "MemTotal:")) is not None:
        limits.append(total * 1024)
    limit_file = cgroup / "memory.max"
    if limit_file.is_file() and (limit := limit_file.read_text().strip()) != "max":
        limits.append(int(limit))
    return min(limits, default=None)


def available_bytes(cgroup: Path = _CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Memory that could be had now without swapping; None where nothing tells it.

    What the system calls available, or what a container's limit leaves: files in its page cache give way.
    """
    left = []
    if (found := _entry(meminfo, "MemAvailable:")) is not None:
        left.append(found * 1024)
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        cached = _entry(cgroup / "memory.stat", "inactive_file") or 0
        left.append(max(0, int(most) - int(used.read_text()) + cached))
    return min(left, default=None)


def _entry(file: Path, name: str) -> int | None:
    """The number after ``name`` in a file of one entry a line; None where there is none."""
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.split()[0] == name), None)


def gpus() -> tuple[Gpu, ...]:
    """NVIDIA GPUs that the driver's own query lists; none where there is no driver or it does not answer."""
    query = ["nvidia-smi", f"--query-gpu={_GPU_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(answer)


def parse_gpus(answer: str) -> tuple[Gpu, ...]:
    """GPUs from the driver's CSV rows of name, memory in MiB, driver version."""
    rows = [row for row in csv.reader(answer.splitlines(), skipinitialspace=True) if row]
    return tuple(Gpu(name, int(mebibytes) * 2**20, driver) for name, mebibytes, driver in rows)


def _installed_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
